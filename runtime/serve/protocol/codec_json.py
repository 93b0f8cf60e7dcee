# SPDX-License-Identifier: Apache-2.0
"""JSON of the V2 protocol: safe parsing, and tensors as nested or flat lists.

Parsed lists, objects and strings take up to 30 times their text in memory, and seconds to make,
so text with more of them than a request can need is refused before it is parsed. NumPy would read
a string, a null, or a boolean as a number and a number beyond float32 as infinity, so element
types and ranges are checked here. Nothing recurses over the input.
"""

import json
from itertools import chain
from reprlib import repr as short_repr
from typing import NoReturn, cast

import numpy as np

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.protocol.datatypes import FP32, Datatype, from_json
from aio.runtime.serve.protocol.schema import Tensor

MAX_MARKS = 10_000  # of what a request has a few dozen of: objects, members, strings


def check_structure(text: bytes | bytearray, end: int, max_lists: int) -> None:
    """Refuse text whose first `end` bytes have more structure than a request can need.

    Raises:
        RequestError: there are more than `max_lists` lists, or very many strings or members.
    """
    for mark, most in ((b"[", max_lists), (b"{", MAX_MARKS), (b":", MAX_MARKS), (b'"', MAX_MARKS)):
        count = text.count(mark, 0, end)
        if count > most:
            raise RequestError(
                f"the JSON of the request has {count} times {mark.decode()!r}, "
                f"no request for this model needs more than {most}"
            )


def loads(text: bytes | memoryview) -> object:
    """Parse JSON text.

    Raises:
        RequestError: the text is not UTF-8 or not JSON, holds NaN or an infinity, or is
            nested too deeply.
    """
    try:
        return cast("object", json.loads(str(text, "utf-8"), parse_constant=_refuse_constant))
    except RecursionError:
        raise RequestError("the JSON of the request is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise RequestError(f"the JSON of the request is not UTF-8: {error.reason}") from None
    except ValueError as error:  # JSONDecodeError, or an integer of thousands of digits
        raise RequestError(f"the request is not valid JSON: {error}") from None


def dumps(value: object) -> bytes:
    """Return compact JSON, in ASCII so that any text of the request can be echoed."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def decode_tensor(
    data: object, shape: tuple[int, ...], where: str, datatype: Datatype = FP32
) -> Tensor:
    """Return a float32 array of `shape` from a flat list, or a list nested like `shape`.

    Raises:
        RequestError: the list has another shape or count, or holds anything but elements that
            the datatype, and FP32, can hold.
    """
    if type(data) is not list:
        raise RequestError(f"{where}: data must be a list of numbers, got {short_repr(data)}")
    return from_json(_flatten(data, shape, where), datatype, where).reshape(shape)


def encode_tensor(tensor: Tensor, where: str) -> list[float]:
    """Return the elements in row-major order.

    Raises:
        RequestError: an element is NaN or infinite, which JSON can't express.
    """
    if not np.isfinite(tensor).all():
        raise RequestError(
            f"{where} holds NaN or infinity, which JSON can't express; "
            'ask for it with "binary_data": true'
        )
    return cast("list[float]", tensor.ravel().tolist())


def _flatten(data: list[object], shape: tuple[int, ...], where: str) -> list[object]:
    found = [len(data)]
    flat = data
    while flat and type(flat[0]) is list:
        width = len(flat[0])
        if len(found) == len(shape) or any(
            type(row) is not list or len(row) != width for row in flat
        ):
            raise RequestError(f"{where}: data is neither flat nor nested like {list(shape)}")
        found.append(width)
        flat = list(chain.from_iterable(cast("list[list[object]]", flat)))
    count = int(np.prod(shape, dtype=np.int64))
    if len(flat) != count:
        raise RequestError(
            f"{where}: shape {list(shape)} needs {count} elements, data has {len(flat)}"
        )
    if len(found) > 1 and found != list(shape):
        raise RequestError(f"{where}: data is nested like {found}, shape is {list(shape)}")
    return flat


def _refuse_constant(name: str) -> NoReturn:
    raise RequestError(f"{name} is not JSON; send the tensor as binary data instead")
