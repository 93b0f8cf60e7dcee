# SPDX-License-Identifier: Apache-2.0
"""This runtime as an engine of `peers.engines.worker`: a model file, answering at every level."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aio.runtime import Runtime
from aio.runtime.version import package_version

Array = NDArray[np.float32]


def version() -> str:
    """Return the version of this package."""
    return package_version()


def load(model: str, threads: int, batch: int) -> Callable[[Array], Array]:
    """Return what answers at every level, the densest first, and gives the last answer."""
    runtime = Runtime.load(model, threads=threads, calibrate=False)
    levels = range(len(runtime.levels))

    def infer(x: Array) -> Array:
        answers = [next(iter(runtime.run(x, level=level).outputs.values())) for level in levels]
        return answers[-1]

    return infer
