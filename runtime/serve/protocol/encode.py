# SPDX-License-Identifier: Apache-2.0
"""From the tensors of an answer to the body of the response."""

from typing import NamedTuple

from aio.runtime.serve.protocol import codec_binary, codec_json
from aio.runtime.serve.protocol.classification import classify
from aio.runtime.serve.protocol.schema import (
    DATATYPE,
    InferRequest,
    InferResult,
    ModelSpec,
    OutputRequest,
    SharedMemory,
    Tensor,
)
from aio.runtime.serve.protocol.shared_memory import write_output

JSON_LENGTH = codec_binary.HEADER.lower()


class Encoded(NamedTuple):
    """A response body and the headers that describe it, their names in lower case."""

    body: bytes
    headers: dict[str, str]


def encode_response(
    request: InferRequest,
    result: InferResult,
    model: ModelSpec,
    memory: SharedMemory | None = None,
) -> Encoded:
    """Return the response with the outputs asked for, in the order they were asked for.

    Raises:
        RequestError: JSON was asked for and can't express a value of an output, or an output was
            to go to shared memory that is not there any more.
    """
    outputs: list[dict[str, object]] = []
    tail: list[bytes] = []
    for output in request.outputs:
        entry, raw = _encode_output(output, result.outputs[output.spec.name], memory)
        outputs.append(entry)
        if raw is not None:
            tail.append(raw)
    root: dict[str, object] = {"model_name": model.name, "model_version": model.version}
    if request.request_id is not None:
        root["id"] = request.request_id
    text = codec_json.dumps({**root, "parameters": result.parameters, "outputs": outputs})
    if not tail:
        return Encoded(text, {"content-type": "application/json"})
    return Encoded(
        b"".join((text, *tail)),
        {"content-type": "application/octet-stream", JSON_LENGTH: str(len(text))},
    )


def _encode_output(
    output: OutputRequest, tensor: Tensor, memory: SharedMemory | None
) -> tuple[dict[str, object], bytes | None]:
    """Return the JSON of an output and, if it is binary, its bytes."""
    name = output.spec.name
    binary = output.binary or output.place is not None
    data: list[float] | list[str]
    if output.classes:
        rows = classify(tensor, output.classes, output.spec.labels)
        shape, datatype = [len(rows), output.classes], "BYTES"
        data = [entry for row in rows for entry in row]
        raw = codec_binary.encode_strings(data) if binary else None
    else:
        shape, datatype = list(tensor.shape), DATATYPE
        raw = codec_binary.encode_tensor(tensor) if binary else None
        data = [] if binary else codec_json.encode_tensor(tensor, f"output {name!r}")
    entry: dict[str, object] = {"name": name, "datatype": datatype, "shape": shape}
    if raw is not None and output.place is not None:
        write_output(output.place, raw, f"output {name!r}", memory)
        return entry, None
    if raw is not None:
        return {**entry, "parameters": {"binary_data_size": len(raw)}}, raw
    return {**entry, "data": data}, None
