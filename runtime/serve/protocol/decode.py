# SPDX-License-Identifier: Apache-2.0
"""From the body of an infer request to checked tensors.

Nothing in the body is trusted: every member is checked for its type before it is used, and
every message names the member, the value and what was expected.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from reprlib import repr as short_repr
from typing import NamedTuple, cast

from aio.runtime.serve.errors import BodyTooLargeError, RequestError
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol import codec_json, datatypes
from aio.runtime.serve.protocol.codec_binary import HEADER, BinaryReader
from aio.runtime.serve.protocol.datatypes import Datatype
from aio.runtime.serve.protocol.schema import (
    ITEM_BYTES,
    InferRequest,
    ModelSpec,
    OutputRequest,
    SharedMemory,
    Tensor,
    TensorSpec,
)
from aio.runtime.serve.protocol.shared_memory import REGION, check_outputs, place_of, read_input
from aio.runtime.serve.telemetry.request_log import note

Members = Mapping[str, object]
MAX_ID = 256
MAX_TIMEOUT_US = 2**63 - 1
MAX_PRIORITY = 2**64 - 1
OWN = "aio_"  # how the names of this server's parameters begin
OWN_PARAMETERS = ("aio_level",)
SEQUENCE = "sequence_id"
NO_SEQUENCE = (0, "", None)  # a request that is part of none may say so
BINARY_SIZE = "binary_data_size"
IN_REQUEST = ("data", "raw", "contents")  # members that hold the elements


class Described(NamedTuple):
    """An input as a request describes it; `where` names it in messages."""

    members: Members
    parameters: Members
    shape: tuple[int, ...]
    datatype: Datatype
    where: str


Reader = Callable[[Described], Tensor]  # gets the elements of an input


def decode_request(
    body: bytes | bytearray | memoryview,
    json_bytes: int | None,
    model: ModelSpec,
    limits: Limits,
    memory: SharedMemory | None = None,
) -> InferRequest:
    """Return the request in `body`, of which the first `json_bytes` are JSON (None: all).

    Args:
        body: what was sent.
        json_bytes: how many of its bytes are JSON.
        model: which the request is for.
        limits: bounds of requests.
        memory: the shared memory; None where there is none.

    Raises:
        RequestError: something in the body is not what the protocol or the model asks for.
    """
    view = memoryview(body)
    if json_bytes == 0:
        return _decode_raw(view, model)
    size = len(view) if json_bytes is None else json_bytes
    if size > limits.json_bytes:
        raise BodyTooLargeError(
            f"the JSON of the request has {size} bytes, the limit is {limits.json_bytes}; "
            "send tensors as binary data"
        )
    text = bytes(view[:size])
    codec_json.check_structure(text, size, _most_lists(model, limits.batch))
    root = _members(codec_json.loads(text), "the request")
    reader = BinaryReader(view[size:])
    request = decode_members(root, model, limits, partial(_read_data, reader), memory)
    reader.finish()
    return request


def decode_members(
    root: Members,
    model: ModelSpec,
    limits: Limits,
    read: Reader,
    memory: SharedMemory | None,
) -> InferRequest:
    """Return the request in `root`, whose tensors are got by calling `read` for each input.

    This is all that a request over gRPC has in common with one over HTTP. An input in shared
    memory is read from there instead.

    Raises:
        RequestError: a member is not what the protocol or the model asks for.
    """
    request_id = _request_id(root.get("id"))
    note(request_id=request_id)  # before anything else can be wrong
    parameters = _parameters(root, "the request", OWN_PARAMETERS)
    reader = partial(_read, read, memory)
    inputs = {
        name: _decode_input(item, spec, reader, limits)
        for name, item, spec in _match(root.get("inputs"), model.inputs, "inputs")
    }
    missing = [spec.name for spec in model.inputs if spec.name not in inputs]
    if missing:
        raise RequestError(f"input {missing[0]!r} is missing")
    _check_batches(inputs)
    outputs = _decode_outputs(root.get("outputs"), parameters, model)
    request = InferRequest(
        request_id=request_id,
        inputs=inputs,
        outputs=outputs,
        level=_level(parameters, model.levels),
        timeout_ms=_timeout_ms(parameters.get("timeout", 0)),
        priority=_priority(parameters.get("priority", 0)),
    )
    check_outputs(request, memory)
    return request


def _check_batches(inputs: Mapping[str, Tensor]) -> None:
    (first, tensor), *others = inputs.items()
    for name, other in others:
        if len(other) != len(tensor):
            raise RequestError(
                f"input {name!r} has a batch of {len(other)}, input {first!r} one of "
                f"{len(tensor)}: all inputs need the same"
            )


def _most_lists(model: ModelSpec, batch: int) -> int:
    """Return how many lists the largest nested inputs have, and some for the rest."""
    nested = sum(
        math.prod(spec.shape[:axes]) for spec in model.inputs for axes in range(len(spec.shape))
    )
    return codec_json.MAX_MARKS + batch * nested


def _decode_raw(view: memoryview, model: ModelSpec) -> InferRequest:
    """Take the whole body as the one input, a single sample; outputs are binary."""
    if len(model.inputs) != 1:
        raise RequestError(
            f"{HEADER}: 0 needs a model with one input, this model has {len(model.inputs)}"
        )
    spec = model.inputs[0]
    tensor = BinaryReader(view).take(len(view), (1, *spec.shape), f"raw input {spec.name!r}")
    outputs = tuple(OutputRequest(output, binary=True) for output in model.outputs)
    return InferRequest(request_id=None, inputs={spec.name: tensor}, outputs=outputs)


def _decode_input(item: Members, spec: TensorSpec, read: Reader, limits: Limits) -> Tensor:
    where = f"input {spec.name!r}"
    datatype = datatypes.find(item.get("datatype"), where)
    shape = _shape(item.get("shape"), spec, limits.batch)
    _check_memory(shape, limits, where)
    return read(Described(item, _parameters(item, where), shape, datatype, where))


def _read(read: Reader, memory: SharedMemory | None, given: Described) -> Tensor:
    """Return a tensor from shared memory if it is there, else from the request."""
    place = place_of(given.parameters, given.where)
    if place is None:
        return read(given)
    others = [name for name in IN_REQUEST if given.members.get(name) is not None]
    others += [name for name in given.parameters if name == BINARY_SIZE]
    if others:
        raise RequestError(f"{given.where}: give either {others[0]} or {REGION}, not both")
    return read_input(place, given.shape, given.datatype, given.where, memory)


def _read_data(reader: BinaryReader, given: Described) -> Tensor:
    """Return a tensor from the JSON, or from what follows it."""
    members, parameters, shape, datatype, where = given
    size = parameters.get(BINARY_SIZE)
    if size is None:
        return codec_json.decode_tensor(members.get("data"), shape, where, datatype)
    if "data" in members:
        raise RequestError(f"{where}: give either data or binary_data_size, not both")
    return reader.take(size, shape, where, datatype)


def _check_memory(shape: tuple[int, ...], limits: Limits, where: str) -> None:
    """Refuse what a narrow datatype would let grow beyond any body of FP32."""
    size = ITEM_BYTES * math.prod(shape)
    if size > limits.body_bytes:
        raise BodyTooLargeError(
            f"{where}: shape {list(shape)} takes {size} bytes of FP32, the limit is "
            f"{limits.body_bytes}; send a smaller batch"
        )


def _shape(value: object, spec: TensorSpec, max_batch: int) -> tuple[int, ...]:
    where = f"input {spec.name!r}"
    expected = f"[batch, {', '.join(map(str, spec.shape))}]"
    if type(value) is not list or any(type(side) is not int for side in value):
        raise RequestError(f"{where}: shape must be {expected}, got {short_repr(value)}")
    sides = cast("list[int]", value)
    if len(sides) != 1 + len(spec.shape) or tuple(sides[1:]) != spec.shape:
        raise RequestError(f"{where}: shape must be {expected}, got {short_repr(sides)}")
    if not 1 <= sides[0] <= max_batch:
        remedy = "; send it in parts" if sides[0] > max_batch else ""
        raise RequestError(
            f"{where}: batch must be 1 to {max_batch}, got {short_repr(sides[0])}{remedy}"
        )
    return tuple(sides)


def _decode_outputs(
    value: object, parameters: Members, model: ModelSpec
) -> tuple[OutputRequest, ...]:
    binary = _flag(parameters, "binary_data_output", False, "the request")
    if value is None or value == []:
        return tuple(OutputRequest(spec, binary) for spec in model.outputs)
    return tuple(
        _decode_output(item, spec, binary)
        for _, item, spec in _match(value, model.outputs, "outputs")
    )


def _decode_output(item: Members, spec: TensorSpec, binary: bool) -> OutputRequest:
    where = f"output {spec.name!r}"
    parameters = _parameters(item, where)
    classes = parameters.get("classification", 0)
    if type(classes) is not int or not 0 <= classes <= spec.size:
        raise RequestError(
            f"{where}: classification must be 1 to {spec.size}, got {short_repr(classes)}"
        )
    flag = _flag(parameters, "binary_data", binary, where)
    return OutputRequest(spec, flag, classes, place_of(parameters, where))


def _match(
    value: object, specs: tuple[TensorSpec, ...], what: str
) -> Iterator[tuple[str, Members, TensorSpec]]:
    """Yield each tensor of the list with its spec; unknown and repeated names are errors."""
    known = {spec.name: spec for spec in specs}
    if type(value) is not list or len(value) == 0:
        raise RequestError(f"{what} must be a list of tensors, got {short_repr(value)}")
    seen = set()
    for item in value:
        members = _members(item, f"each of {what}")
        name = members.get("name")
        if not isinstance(name, str) or name not in known:
            raise RequestError(
                f"{what}: no tensor is named {short_repr(name)}, the model has {', '.join(known)}"
            )
        if name in seen:
            raise RequestError(f"{what}: {name!r} is there twice")
        seen.add(name)
        yield name, members, known[name]


def _members(value: object, where: str) -> Members:
    if type(value) is not dict:
        raise RequestError(f"{where} must be a JSON object, got {short_repr(value)}")
    return cast("Members", value)


def _parameters(item: Members, where: str, own: tuple[str, ...] = ()) -> Members:
    """Return the parameters that are not null; `own` are those of this server that may be there."""
    value = item.get("parameters")  # some clients write null for what they don't give
    parameters = {} if value is None else _members(value, f"parameters of {where}")
    for name in parameters:
        if name.startswith(OWN) and name not in own:
            raise RequestError(
                f"{where}: no parameter is named {short_repr(name)}; those of the request are "
                f"{', '.join(OWN_PARAMETERS)}"
            )
    if parameters.get(SEQUENCE, 0) not in NO_SEQUENCE:
        raise RequestError(
            f"{where}: {SEQUENCE} is {short_repr(parameters[SEQUENCE])}, but no model here keeps "
            "anything from one request to the next; leave it out"
        )
    if None in parameters.values():
        return {name: value for name, value in parameters.items() if value is not None}
    return parameters


def _flag(parameters: Members, name: str, default: bool, where: str) -> bool:
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise RequestError(f"{where}: {name} must be true or false, got {short_repr(value)}")
    return value


def _request_id(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_ID:
        raise RequestError(f"id must be a string of at most {MAX_ID}, got {short_repr(value)}")
    return value


def _level(parameters: Members, levels: int) -> int | None:
    value = parameters.get("aio_level")
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < levels:
        raise RequestError(f"aio_level must be 0 to {levels - 1}, got {short_repr(value)}")
    return value


def _timeout_ms(value: object) -> float | None:
    if type(value) is not int or not 0 <= value <= MAX_TIMEOUT_US:
        raise RequestError(
            f"timeout must be whole microseconds, 0 for none, got {short_repr(value)}"
        )
    return value / 1000 if value else None


def _priority(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_PRIORITY:
        raise RequestError(
            "priority must be a whole number, 1 the most urgent and 0 the default, "
            f"got {short_repr(value)}"
        )
    return value
