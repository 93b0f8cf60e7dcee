# SPDX-License-Identifier: Apache-2.0
"""From the tensors of an answer to the bytes of a ModelInferResponse, with raw tensors."""

from collections.abc import Mapping
from typing import Any

from aio.runtime.serve.protocol.classification import classify
from aio.runtime.serve.protocol.codec_binary import encode_strings, encode_tensor
from aio.runtime.serve.protocol.schema import (
    DATATYPE,
    InferRequest,
    InferResult,
    ModelSpec,
    OutputRequest,
    Parameter,
    SharedMemory,
    Tensor,
)
from aio.runtime.serve.protocol.shared_memory import write_output
from aio.runtime.serve.rpc import wire
from aio.runtime.serve.rpc.messages import message

_Response = message("inference.ModelInferResponse")
_CHOICES = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}


def encode_response(
    request: InferRequest,
    result: InferResult,
    model: ModelSpec,
    memory: SharedMemory | None = None,
) -> bytes:
    """Return the response with the outputs asked for, in the order they were asked for.

    Raises:
        RequestError: an output was to go to shared memory that is not there any more.
    """
    response = _Response(
        model_name=model.name, model_version=model.version, id=request.request_id or ""
    )
    _set_parameters(response.parameters, result.parameters)
    raw = []
    for output in request.outputs:
        data = _encode_output(response, output, result.outputs[output.spec.name])
        if output.place is not None:
            write_output(output.place, data, f"output {output.spec.name!r}", memory)
            data = b""  # clients find raw tensors by the number of the output
        raw.append(data)
    return wire.join(response.SerializeToString(), wire.RAW_OUTPUT, raw)


def _encode_output(response: Any, output: OutputRequest, tensor: Tensor) -> bytes:
    name = output.spec.name
    if not output.classes:
        response.outputs.add(name=name, datatype=DATATYPE, shape=tensor.shape)
        return encode_tensor(tensor)
    rows = classify(tensor, output.classes, output.spec.labels)
    response.outputs.add(name=name, datatype="BYTES", shape=[len(rows), output.classes])
    return encode_strings([entry for row in rows for entry in row])


def _set_parameters(target: Any, parameters: Mapping[str, Parameter]) -> None:
    for name, value in parameters.items():
        setattr(target[name], _CHOICES[type(value)], value)
