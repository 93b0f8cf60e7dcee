# SPDX-License-Identifier: Apache-2.0
"""Other engines on the same network and input, for comparison only."""

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
        import onnxruntime  # noqa: PLC0415 - an extra that only comparisons need

        from aio.runtime.benchmark.onnx_model import to_onnx  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            to_onnx(model, level, batch), options, providers=["CPUExecutionProvider"]
        )
        self._input = model.manifest.input.name
        self.version = str(onnxruntime.__version__)

    def infer(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the first output for a batch."""
        outputs: list[NDArray[np.float32]] = self._session.run(None, {self._input: x})
        return outputs[0]
