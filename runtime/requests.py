# SPDX-License-Identifier: Apache-2.0
"""Inputs from files: NumPy arrays and archives, requests of the Open Inference Protocol as JSON."""

import io
import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aio.runtime.errors import InputError
from aio.runtime.records import TensorInfo

_NPY_MAGIC = b"\x93NUMPY"
_NPZ_MAGIC = b"PK"
# Type names of the protocol; BF16 and BYTES have no JSON numbers.
_INTEGERS = tuple(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))
_DATATYPES = ("BOOL", *_INTEGERS, "FP16", "FP32", "FP64")


def read_inputs(source: str, expected: Sequence[TensorInfo]) -> dict[str, NDArray[np.generic]]:
    """Return the arrays in a file, or in standard input if source is "-", by the inputs' names.

    The file is a JSON request, `.npz` with an array of each input's name, or `.npy` for a model of
    one input.

    Raises:
        InputError: it is none of these, or not for these inputs.
        OSError: the file can't be read.
    """
    content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    try:
        if content.startswith(_NPY_MAGIC):
            return {_only(expected).name: _load(content)}
        if content.startswith(_NPZ_MAGIC):
            return _load_archive(content, expected)
        return parse_request(content, expected)
    except (ValueError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        raise InputError(f"{source}: {error}") from error


def _only(expected: Sequence[TensorInfo]) -> TensorInfo:
    if len(expected) != 1:
        names = ", ".join(info.name for info in expected)
        raise ValueError(f"one array for the inputs {names}: give .npz or a request")
    return expected[0]


def _load(content: bytes) -> NDArray[np.generic]:
    return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))


def _load_archive(content: bytes, expected: Sequence[TensorInfo]) -> dict[str, NDArray[np.generic]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        missing = [info.name for info in expected if info.name not in archive.files]
        if missing or len(archive.files) != len(expected):
            found = ", ".join(map(repr, archive.files)) or "nothing"
            names = ", ".join(repr(info.name) for info in expected)
            raise ValueError(f"the archive holds {found}, the model has {names}")
        return {info.name: np.asarray(archive[info.name]) for info in expected}


def parse_request(content: bytes, expected: Sequence[TensorInfo]) -> dict[str, NDArray[np.generic]]:
    """Return the input tensors of a JSON request by name.

    Raises:
        ValueError: the document is no such request.
    """
    try:
        request = json.loads(content.decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"neither .npy, .npz nor JSON: {error}") from None
    inputs = request.get("inputs") if isinstance(request, dict) else None
    if (
        not isinstance(inputs, list)
        or len(inputs) != len(expected)
        or not all(isinstance(tensor, dict) for tensor in inputs)
    ):
        count = "one tensor" if len(expected) == 1 else f"{len(expected)} tensors"
        raise ValueError(f"a request for this model has {count} in 'inputs'")
    names = [info.name for info in expected]
    arrays: dict[str, NDArray[np.generic]] = {}
    for tensor in inputs:
        name = tensor.get("name")
        if name not in names or name in arrays:
            known = ", ".join(map(repr, names))
            again = " again" if name in names else ""
            raise ValueError(f"an input is named {name!r}{again}, the model has {known}")
        arrays[name] = _tensor(tensor)
    return arrays


def _tensor(tensor: dict[str, object]) -> NDArray[np.generic]:
    datatype = tensor.get("datatype")
    if datatype not in _DATATYPES:
        known = ", ".join(_DATATYPES)
        raise ValueError(f"datatype is {datatype!r}, expected one of {known}")
    return _array(tensor.get("data"), tensor.get("shape"))


def _array(data: object, shape: object) -> NDArray[np.generic]:
    if not isinstance(data, list):
        raise ValueError("the tensor's 'data' is no list")
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"the tensor's 'shape' is {shape!r}, expected sizes")
    array: NDArray[np.generic] = np.asarray(data)
    if array.dtype.kind not in "fiub":
        raise ValueError("the tensor's 'data' holds something else than numbers")
    return array.reshape(shape)
