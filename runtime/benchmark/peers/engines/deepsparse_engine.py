# SPDX-License-Identifier: Apache-2.0
"""DeepSparse, which is archived and needs Python 3.11 or older: in an environment of its own."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def version() -> str:
    """Return the engine's version."""
    return str(_deepsparse().__version__)


def load(model: str, threads: int, batch: int) -> Callable[[Array], Array]:
    """Return what answers."""
    engine = _deepsparse().compile_model(model, batch_size=batch, num_cores=threads)

    def infer(x: Array) -> Array:
        outputs: list[Array] = engine.run([x])
        return outputs[0]

    return infer


def _deepsparse() -> Any:
    os.environ.setdefault("NM_DISABLE_ANALYTICS", "1")  # it reports its use otherwise
    import deepsparse  # noqa: PLC0415 - never in the environment of this package

    return deepsparse
