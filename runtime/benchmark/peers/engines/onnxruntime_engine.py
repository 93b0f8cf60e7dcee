# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU, with all its graph optimisations, which are the default."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def version() -> str:
    """Return the engine's version."""
    import onnxruntime  # noqa: PLC0415 - an extra that only comparisons need

    return str(onnxruntime.__version__)


def load(model: str | bytes, threads: int, batch: int) -> Callable[[Array], Array]:
    """Return what answers; the model is a path or the serialized model itself."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()

    def infer(x: Array) -> Array:
        outputs: list[Array] = session.run(None, {source.name: x})
        return outputs[0]

    return infer
