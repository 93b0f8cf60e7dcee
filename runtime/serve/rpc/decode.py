# SPDX-License-Identifier: Apache-2.0
"""From the bytes of a ModelInferRequest to checked tensors.

The message becomes the members that JSON has, and `protocol.decode` checks them, so that both
transports have the same rules and the same messages. Only tensors are read here.
"""

from typing import Any, NamedTuple

import numpy as np

from aio.runtime.serve.errors import BodyTooLargeError, RequestError
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.datatypes import REALS, from_binary, from_json
from aio.runtime.serve.protocol.decode import Described, decode_members
from aio.runtime.serve.protocol.schema import InferRequest, ModelSpec, SharedMemory, Tensor
from aio.runtime.serve.protocol.shared_memory import REGION
from aio.runtime.serve.rpc import wire
from aio.runtime.serve.rpc.messages import message, parameters_of, parse_message

# Where the elements of each datatype are in the message; the others go as raw tensors only.
CONTENTS = {
    "BOOL": "bool_contents",
    **{f"INT{bits}": "int_contents" for bits in (8, 16, 32)},
    **{f"UINT{bits}": "uint_contents" for bits in (8, 16, 32)},
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}

_Request = message("inference.ModelInferRequest")


class Parsed(NamedTuple):
    """A request's message without its raw tensors, and these."""

    message: Any
    raw: list[memoryview]


def parse(split: wire.Split, limits: Limits) -> Parsed:
    """Return the parts of a message whose raw tensors were taken out.

    Raises:
        RequestError: the bytes are no such message, or hold too much beside raw tensors.
    """
    rest, raw = split
    if len(rest) > limits.json_bytes:
        raise BodyTooLargeError(
            f"the request has {len(rest)} bytes beside raw_input_contents, the limit is "
            f"{limits.json_bytes}; send tensors as raw_input_contents"
        )
    return Parsed(parse_message(_Request.FromString, rest), raw)


def decode_request(
    parsed: Parsed, model: ModelSpec, limits: Limits, memory: SharedMemory | None = None
) -> InferRequest:
    """Return the request for this model; `memory` is the shared memory, None where there is none.

    Raises:
        RequestError: something in it is not what the protocol or the model asks for.
    """
    request, raw = parsed
    # A tensor in shared memory has none.
    with_raw = [item for item in request.inputs if REGION not in item.parameters]
    if raw and len(raw) != len(with_raw):
        raise RequestError(
            f"raw_input_contents has {len(raw)} tensors for {len(with_raw)} inputs; give "
            "one for each, or none"
        )
    rest = iter(raw)
    inputs = []
    for item in request.inputs:
        members = _tensor(item)
        members["shape"] = list(item.shape)
        if item.HasField("contents"):
            members["contents"] = item.contents
        if raw and REGION not in item.parameters:
            members["raw"] = next(rest)
        inputs.append(members)
    root: dict[str, object] = {
        "parameters": parameters_of(request),
        "inputs": inputs,
        "outputs": [_tensor(item) for item in request.outputs],
    }
    if request.id:
        root["id"] = request.id
    return decode_members(root, model, limits, _read, memory)


def _tensor(item: Any) -> dict[str, object]:
    members: dict[str, object] = {"name": item.name, "parameters": parameters_of(item)}
    if hasattr(item, "datatype"):
        members["datatype"] = item.datatype
    return members


def _read(given: Described) -> Tensor:
    raw, contents = given.members.get("raw"), given.members.get("contents")
    if isinstance(raw, memoryview):
        if contents is not None:
            raise RequestError(
                f"{given.where}: give either raw_input_contents or contents, not both"
            )
        return _from_raw(raw, given)
    if contents is None:
        raise RequestError(f"{given.where}: there is no data; give raw_input_contents or contents")
    return _from_contents(contents, given)


def _from_raw(raw: memoryview, given: Described) -> Tensor:
    _, _, shape, datatype, where = given
    expected = datatype.item_bytes * int(np.prod(shape, dtype=np.int64))
    if len(raw) != expected:
        raise RequestError(
            f"{where}: shape {list(shape)} takes {expected} bytes of {datatype.name}, "
            f"its raw_input_contents has {len(raw)}"
        )
    return from_binary(raw, shape, datatype, where)


def _from_contents(contents: Any, given: Described) -> Tensor:
    _, _, shape, datatype, where = given
    name = CONTENTS.get(datatype.name)
    if name is None:
        raise RequestError(f"{where}: contents has no {datatype.name}; give raw_input_contents")
    others = [field.name for field, _ in contents.ListFields() if field.name != name]
    if others:
        raise RequestError(f"{where}: {datatype.name} goes into {name}, found {others[0]}")
    values = getattr(contents, name)
    expected = int(np.prod(shape, dtype=np.int64))
    if len(values) != expected:
        raise RequestError(
            f"{where}: shape {list(shape)} takes {expected} elements, {name} has {len(values)}"
        )
    if datatype.accepts is REALS:
        return from_binary(np.fromiter(values, datatype.raw).data, shape, datatype, where)
    # A field is for several datatypes, so what it holds may be beyond the one that is meant.
    return from_json(list(values), datatype, where).reshape(shape)
