# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime in this process, for measurements that can't use a process of its own."""

import numpy as np
from numpy.typing import NDArray

from aio.runtime.model_file import ModelFile


class OnnxRuntimePeer:
    """ONNX Runtime on one level of a model file.

    Args:
        model: the checked model file.
        level: which level; pruned weights are zeros, which it computes like any other.
        threads: intra-op threads.
        batch: samples per call.

    Raises:
        ModuleNotFoundError: onnx or onnxruntime is not installed.
    """

    name = "ONNX Runtime"

    def __init__(self, model: ModelFile, level: int, threads: int, batch: int = 1) -> None:
        from aio.runtime.benchmark.onnx_model import to_onnx  # noqa: PLC0415 - needs the extra
        from aio.runtime.benchmark.peers.engines import onnxruntime_engine  # noqa: PLC0415

        self._infer = onnxruntime_engine.load(to_onnx(model, level, batch), threads, batch)
        self.version = onnxruntime_engine.version()

    def infer(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the first output for a batch."""
        return self._infer(x)
