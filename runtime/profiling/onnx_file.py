# SPDX-License-Identifier: Apache-2.0
"""Any ONNX network on the CPU through ONNX Runtime, with inputs made up for it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_SEED = 0
# ONNX Runtime's names of element types.
_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
}


class OnnxFile:
    """A network of a file; `call` answers once.

    Floats are drawn from a normal distribution, integers are zeros. The first dimension without
    a size is the batch, others are 1.

    Args:
        path: the ONNX file.
        threads: intra-op threads.
        batch: samples per call, where the file leaves it open.

    Raises:
        ValueError: the file is no ONNX network that can run here.
        FileNotFoundError: there is none.
        ModuleNotFoundError: onnxruntime is not installed.
    """

    def __init__(self, path: Path, threads: int, batch: int = 1) -> None:
        import onnxruntime  # noqa: PLC0415 - an extra that only comparisons need
        from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415

        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors come as exceptions
        broken = (
            *(state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf),
            *(state.NoSuchFile, state.NotImplemented, state.RuntimeException),
        )
        self.version = str(onnxruntime.__version__)
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            self._inputs = {
                item.name: _made_up(item.name, item.type, item.shape, batch)
                for item in session.get_inputs()
            }
            session.run(None, self._inputs)
        except broken as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{path} does not run in ONNX Runtime: {reason}") from error
        self._session = session

    def call(self) -> None:
        """Answer the inputs."""
        self._session.run(None, self._inputs)


def _made_up(
    name: str, kind: str, shape: list[int | str | None], batch: int
) -> NDArray[np.generic]:
    """Return an input of the shape."""
    if kind not in _TYPES:
        raise ValueError(f"input {name} is a {kind}, known are {', '.join(_TYPES)}")
    sizes = [
        size if isinstance(size, int) else (batch if axis == 0 else 1)
        for axis, size in enumerate(shape)
    ]
    dtype = _TYPES[kind]
    if issubclass(dtype, np.floating):
        return np.random.default_rng(_SEED).standard_normal(sizes).astype(dtype)
    return np.zeros(sizes, dtype)
