# SPDX-License-Identifier: Apache-2.0
"""Tensors that a request says are in shared memory, and outputs that are to go there."""

import math
from collections.abc import Mapping
from reprlib import repr as short_repr

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.protocol.datatypes import Datatype, from_binary
from aio.runtime.serve.protocol.schema import (
    ITEM_BYTES,
    InferRequest,
    OutputRequest,
    Place,
    SharedMemory,
    Tensor,
)

REGION, OFFSET, SIZE = "shared_memory_region", "shared_memory_offset", "shared_memory_byte_size"
PARAMETERS = (REGION, OFFSET, SIZE)


def place_of(parameters: Mapping[str, object], where: str) -> Place | None:
    """Return the place that a tensor's parameters name, None if they name none.

    Raises:
        RequestError: they are not a name and two counts of bytes.
    """
    region = parameters.get(REGION)
    if region is None:
        return None
    if not isinstance(region, str):
        raise RequestError(f"{where}: {REGION} must be a string, got {short_repr(region)}")
    offset, size = _bytes(parameters, OFFSET, 0, where), _bytes(parameters, SIZE, None, where)
    return Place(region, offset, size)


def read_input(
    place: Place,
    shape: tuple[int, ...],
    datatype: Datatype,
    where: str,
    memory: SharedMemory | None,
) -> Tensor:
    """Return the tensor that is there.

    Raises:
        RequestError: it has another size, or the memory is not there.
    """
    expected = datatype.item_bytes * math.prod(shape)
    if place.size != expected:
        raise RequestError(
            f"{where}: shape {list(shape)} takes {expected} bytes of {datatype.name}, {SIZE} is "
            f"{place.size}"
        )
    return from_binary(_there(memory, where).read(place, where), shape, datatype, where)


def check_outputs(request: InferRequest, memory: SharedMemory | None) -> None:
    """Refuse a place that is not there, or too small, before anything is computed for it.

    Raises:
        RequestError: it is.
    """
    for output in request.outputs:
        if output.place is not None:
            _check_output(output, output.place, request.samples, memory)


def _check_output(
    output: OutputRequest, place: Place, batch: int, memory: SharedMemory | None
) -> None:
    where = f"output {output.spec.name!r}"
    _there(memory, where).check(place, where)
    if output.classes:
        raise RequestError(f"{where}: give either classification or {REGION}, not both")
    expected = ITEM_BYTES * output.spec.size * batch
    if place.size < expected:
        raise RequestError(f"{where}: has {expected} bytes, {SIZE} is {place.size}")


def write_output(place: Place, data: bytes, where: str, memory: SharedMemory | None) -> None:
    """Put an output there.

    The answer says nothing of it: the client knows, and Triton's in C++ takes any parameters of an
    output to mean that its bytes follow.

    Raises:
        RequestError: it does not fit, or the memory is not there any more.
    """
    _there(memory, where).write(place, data, where)


def _bytes(parameters: Mapping[str, object], name: str, default: int | None, where: str) -> int:
    value = parameters.get(name, default)
    if type(value) is not int or not 0 <= value < 2**63:
        raise RequestError(f"{where}: {name} must be a count of bytes, got {short_repr(value)}")
    return value


def _there(memory: SharedMemory | None, where: str) -> SharedMemory:
    if memory is None:
        raise RequestError(
            f"{where}: this server has no shared memory; send the tensor in the request, or start "
            "the server with --limit regions=16"
        )
    return memory
