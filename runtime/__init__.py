# SPDX-License-Identifier: Apache-2.0
"""Inference whose pruning ratio follows the clock: load a model file, ask it, watch its levels.

Names are resolved on first use, so that importing the package (for its errors, or for the help text
of a command) costs no NumPy and no native code.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from aio.runtime.errors import AioError, ClosedError, ForkError, InputError, ModelFileError

if TYPE_CHECKING:
    from aio.runtime._native import native_info
    from aio.runtime.records import InferenceRecord, LevelInfo, RuntimeStats, TensorInfo
    from aio.runtime.runtime import Inference, Runtime

    __version__: str

__all__ = [
    "AioError",
    "ClosedError",
    "ForkError",
    "Inference",
    "InferenceRecord",
    "InputError",
    "LevelInfo",
    "ModelFileError",
    "Runtime",
    "RuntimeStats",
    "TensorInfo",
    "__version__",
    "native_info",
]

_HOMES = {
    "Inference": "runtime",
    "InferenceRecord": "records",
    "LevelInfo": "records",
    "Runtime": "runtime",
    "RuntimeStats": "records",
    "TensorInfo": "records",
    "native_info": "_native",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = import_module("aio.runtime.version").package_version()
    elif name in _HOMES:
        value = getattr(import_module(f"aio.runtime.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
