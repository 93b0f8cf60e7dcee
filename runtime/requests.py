# SPDX-License-Identifier: Apache-2.0
"""Inputs from files: NumPy arrays, and requests of the Open Inference Protocol as JSON."""

import io
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aio.runtime.errors import InputError
from aio.runtime.records import TensorInfo

_NPY_MAGIC = b"\x93NUMPY"
# Type names of the protocol; BF16 and BYTES have no JSON numbers.
_INTEGERS = tuple(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))
_DATATYPES = ("BOOL", *_INTEGERS, "FP16", "FP32", "FP64")


def read_input(source: str, expected: TensorInfo) -> NDArray[np.generic]:
    """Return the array in a file, or in standard input if source is "-".

    Raises:
        InputError: it is neither .npy nor a request for this input.
        OSError: the file can't be read.
    """
    content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    try:
        if content.startswith(_NPY_MAGIC):
            array = np.load(io.BytesIO(content), allow_pickle=False)
            return np.asarray(array)
        return parse_request(content, expected)
    except (ValueError, EOFError, RecursionError) as error:
        raise InputError(f"{source}: {error}") from error


def parse_request(content: bytes, expected: TensorInfo) -> NDArray[np.generic]:
    """Return the one input tensor of a JSON request.

    Raises:
        ValueError: the document is no such request.
    """
    try:
        request = json.loads(content.decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"neither .npy nor JSON: {error}") from None
    inputs = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise ValueError("a request has one tensor in 'inputs'")
    tensor = inputs[0]
    if tensor.get("name") != expected.name:
        raise ValueError(
            f"the input is named {tensor.get('name')!r}, the model has {expected.name!r}"
        )
    if tensor.get("datatype") not in _DATATYPES:
        known = ", ".join(_DATATYPES)
        raise ValueError(f"datatype is {tensor.get('datatype')!r}, expected one of {known}")
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
