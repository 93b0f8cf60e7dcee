# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU: one stream for latency, in fp32 as all others compute."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def version() -> str:
    """Return the engine's version."""
    import openvino  # noqa: PLC0415 - an extra that only comparisons need

    return str(openvino.__version__).partition("-")[0]


def load(model: str, threads: int, batch: int) -> Callable[[Array], Array]:
    """Return what answers."""
    import openvino  # noqa: PLC0415

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def infer(x: Array) -> Array:
        answer: Array = request.infer({0: x}, share_inputs=True)[0]
        return answer

    return infer
