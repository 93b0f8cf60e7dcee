# SPDX-License-Identifier: Apache-2.0
"""The binary tensor data extension: JSON first, then raw little-endian tensors, in order.

`Inference-Header-Content-Length` says how many bytes of the body are JSON; 0 means the whole
body is the one input. Lengths come from the network: each is checked before it is used.
"""

from collections.abc import Iterable

import numpy as np

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.protocol.datatypes import FP32, Datatype, from_binary
from aio.runtime.serve.protocol.schema import Tensor

HEADER = "Inference-Header-Content-Length"
MAX_DIGITS = 18  # more can't be the length of anything


def json_length(values: list[str], body_bytes: int) -> int | None:
    """Return the length of the JSON part, or None when the header is absent.

    Raises:
        RequestError: the header is repeated, not a decimal number, or beyond the body.
    """
    if not values:
        return None
    value = values[0]
    if len(values) > 1 or not (value.isascii() and value.isdigit()) or len(value) > MAX_DIGITS:
        raise RequestError(f"{HEADER} must be one decimal number, got {', '.join(values)[:60]!r}")
    if int(value) > body_bytes:
        raise RequestError(f"{HEADER} is {int(value)}, but the body has {body_bytes} bytes")
    return int(value)


class BinaryReader:
    """Hands out the raw tensors that follow the JSON, in order."""

    def __init__(self, payload: memoryview) -> None:
        self._rest = payload

    def take(
        self, size: object, shape: tuple[int, ...], where: str, datatype: Datatype = FP32
    ) -> Tensor:
        """Return the next tensor, of `size` bytes as the request states.

        Raises:
            RequestError: the size is not that of `shape`, or the body ends before it, or an
                element is beyond what FP32 can hold.
        """
        expected = datatype.item_bytes * int(np.prod(shape, dtype=np.int64))
        if type(size) is not int or size != expected:
            raise RequestError(
                f"{where}: shape {list(shape)} takes {expected} bytes of {datatype.name}, "
                f"binary_data_size is {str(size)[:30]}"
            )
        if size > len(self._rest):
            raise RequestError(
                f"{where}: binary_data_size is {size}, but only {len(self._rest)} bytes follow; "
                f"check {HEADER}"
            )
        raw, self._rest = self._rest[:size], self._rest[size:]
        return from_binary(raw, shape, datatype, where)

    def finish(self) -> None:
        """Raise RequestError if bytes are left that belong to no tensor."""
        if self._rest:
            raise RequestError(
                f"{len(self._rest)} bytes after the JSON belong to no input; state "
                f"binary_data_size for each binary input, and {HEADER}"
            )


def encode_tensor(tensor: Tensor) -> bytes:
    """Return the elements in row-major order, little-endian."""
    return tensor.astype("<f4", copy=False).tobytes()


def encode_strings(values: Iterable[str]) -> bytes:
    """Return a BYTES tensor: each element after its length in 4 bytes."""
    encoded = (value.encode(errors="replace") for value in values)
    return b"".join(len(item).to_bytes(4, "little") + item for item in encoded)
