# SPDX-License-Identifier: Apache-2.0
"""The schemas of the OpenAPI document, exact for the models that serve.

One thing JSON Schema can't say: `data` has as many elements as `shape` says.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.datatypes import BOOLEANS, DATATYPES, INTEGERS, Datatype
from aio.runtime.serve.protocol.decode import (
    MAX_ID,
    MAX_PRIORITY,
    MAX_TIMEOUT_US,
    NO_SEQUENCE,
    OWN,
    OWN_PARAMETERS,
    SEQUENCE,
)
from aio.runtime.serve.protocol.model_control import UNLOAD_DEPENDENTS
from aio.runtime.serve.protocol.schema import ModelSpec, TensorSpec
from aio.runtime.serve.protocol.shared_memory import OFFSET, PARAMETERS, REGION, SIZE

Json = dict[str, Any]

ERRORS: Mapping[int, str] = {
    400: "Something in the request is wrong; the message says what was found and expected.",
    401: "The token is missing or wrong.",
    403: "The server does not do this, or only when it is started with an option.",
    404: "There is no such model or version, or it does not serve.",
    408: "The body did not arrive in time.",
    413: "The body is over a limit.",
    415: "The body is compressed.",
    503: "Loading, stopping, too many requests, or not to be answered in the time allowed.",
}
STRING: Json = {"type": "string"}
BOOLEAN: Json = {"type": "boolean"}
COUNT: Json = {"type": "integer", "minimum": 0}
# Unknown parameters are ignored, these are not.
FREE_PARAMETERS = f"^(?!{OWN}|{'|'.join(f'{name}$' for name in (SEQUENCE, *PARAMETERS))})"


def components(models: Sequence[ModelSpec], limits: Limits) -> Json:
    """Return every schema by its name."""
    return {
        "Error": _object({"error": STRING}),
        "ServerMetadata": _object({"name": STRING, "version": STRING, "extensions": _list(STRING)}),
        "ServerLive": _object({"live": BOOLEAN}),
        "ServerReady": _object({"live": BOOLEAN, "ready": BOOLEAN}),
        "ModelReady": _object({"name": STRING, "ready": BOOLEAN}),
        "ModelMetadata": _object(
            {
                "name": STRING,
                "versions": _list(STRING),
                "platform": STRING,
                "inputs": _list(_described_tensor()),
                "outputs": _list(_described_tensor()),
            }
        ),
        "ModelConfig": _object({"name": STRING, "platform": STRING, "max_batch_size": COUNT}),
        "Statistics": _object({"model_stats": _list(_statistics())}),
        "Index": _list(_state()),
        "IndexRequest": {"type": "object", "properties": {"ready": _nullable(BOOLEAN)}},
        "LoadRequest": _parameters_only({}),
        "UnloadRequest": _parameters_only({UNLOAD_DEPENDENTS: _nullable(BOOLEAN)}),
        "Regions": _list(
            _object({"name": STRING, "key": STRING, "offset": COUNT, "byte_size": COUNT})
        ),
        "Region": _object({"key": STRING, "byte_size": COUNT})
        | {"properties": {"key": STRING, "offset": _nullable(COUNT), "byte_size": COUNT}},
        "InferRequest": _any_of([_infer_request(model, limits) for model in models]),
        "InferResponse": _infer_response(),
    }


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _list(items: Json, **more: int) -> Json:
    return {"type": "array", "items": items, **more}


def _any_of(schemas: list[Json]) -> Json:
    if not schemas:
        return {"not": {}}
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _nullable(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _described_tensor() -> Json:
    return _object({"name": STRING, "datatype": STRING, "shape": _list({"type": "integer"})})


def _statistics() -> Json:
    duration = _object({"count": COUNT, "ns": COUNT})
    names = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
    return _object(
        {
            "name": STRING,
            "version": STRING,
            "last_inference": COUNT,
            "inference_count": COUNT,
            "execution_count": COUNT,
            "inference_stats": _object(dict.fromkeys(names, duration)),
            "batch_stats": _list({"type": "object"}),
            "aio": {"type": "object"},
        }
    )


def _state() -> Json:
    states = {"enum": ["READY", "LOADING", "UNAVAILABLE"]}
    state = _object({"name": STRING, "version": STRING, "state": states})
    state["properties"]["reason"] = STRING
    return state


def _parameters_only(properties: Json) -> Json:
    parameters = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"type": "object", "properties": {"parameters": _nullable(parameters)}}


def _infer_request(model: ModelSpec, limits: Limits) -> Json:
    count = len(model.inputs)
    inputs = _list(
        _any_of([_input(spec, limits) for spec in model.inputs]), minItems=count, maxItems=count
    )
    described = [_output(spec, limits) for spec in model.outputs]
    outputs = _list(_any_of(described), maxItems=len(described))
    request = _object({"inputs": inputs})
    request["properties"] |= {
        "id": _nullable({"type": "string", "maxLength": MAX_ID}),
        "parameters": _nullable(_request_parameters(model)),
        "outputs": _nullable(outputs),
    }
    return request


def _request_parameters(model: ModelSpec) -> Json:
    level = {"type": "integer", "minimum": 0, "maximum": model.levels - 1}
    return _parameters(
        {
            "timeout": {"type": "integer", "minimum": 0, "maximum": MAX_TIMEOUT_US},
            "priority": {"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY},
            "binary_data_output": BOOLEAN,
            **dict.fromkeys(OWN_PARAMETERS, level),
        }
    )


def _parameters(properties: Json, required: Sequence[str] = ()) -> Json:
    """Describe parameters; null is the same as leaving one out, which those required can't be."""
    described = {
        name: schema if name in required else _nullable(schema)
        for name, schema in properties.items()
    }
    return {
        "type": "object",
        "required": list(required),
        "properties": {SEQUENCE: {"enum": list(NO_SEQUENCE)}, **described},
        "patternProperties": {FREE_PARAMETERS: {}},
        "additionalProperties": False,
    }


def _input(spec: TensorSpec, limits: Limits) -> Json:
    """Describe an input as JSON, as binary data, and in shared memory where there may be any."""
    found = [_input_of(spec, datatype, limits) for datatype in DATATYPES.values()]
    if limits.regions:
        found += [_input_in_memory(spec, datatype, limits) for datatype in DATATYPES.values()]
    return {"anyOf": found}


def _input_in_memory(spec: TensorSpec, datatype: Datatype, limits: Limits) -> Json:
    tensor = _described_input(spec, datatype, limits)
    tensor["properties"]["parameters"] = _parameters(_place(), [REGION, SIZE])
    tensor["properties"]["data"] = False
    tensor["required"].append("parameters")
    return tensor


def _place() -> Json:
    return {REGION: STRING, OFFSET: COUNT, SIZE: COUNT}


def _described_input(spec: TensorSpec, datatype: Datatype, limits: Limits) -> Json:
    batch = {"type": "integer", "minimum": 1, "maximum": limits.batch}
    return _object(
        {
            "name": {"const": spec.name},
            "datatype": {"const": datatype.name},
            "shape": {
                "type": "array",
                "prefixItems": [batch, *({"const": side} for side in spec.shape)],
                "items": False,
                "minItems": 1 + len(spec.shape),
            },
        }
    )


def _input_of(spec: TensorSpec, datatype: Datatype, limits: Limits) -> Json:
    tensor = _described_input(spec, datatype, limits)
    if datatype.accepts:
        tensor["properties"]["data"] = _data(spec, _element(datatype), limits)
        tensor["required"].append("data")
        tensor["properties"]["parameters"] = _nullable(_parameters({"binary_data_size": False}))
    else:
        size = {"binary_data_size": COUNT}
        tensor["properties"]["parameters"] = _parameters(size, list(size))
        tensor["required"].append("parameters")
        tensor["properties"]["data"] = False
    return tensor


def _data(spec: TensorSpec, element: Json, limits: Limits) -> Json:
    """Describe elements as a flat list, or nested like the shape."""
    nested = element
    for side in reversed(spec.shape):
        nested = _list(nested, minItems=side, maxItems=side)
    flat = _list(element, minItems=spec.size, maxItems=spec.size * limits.batch)
    return {"anyOf": [flat, _list(nested, minItems=1, maxItems=limits.batch)]}


def _element(datatype: Datatype) -> Json:
    if datatype.accepts is BOOLEANS:
        return BOOLEAN
    kind = "integer" if datatype.accepts is INTEGERS else "number"
    return {"type": kind, "minimum": datatype.low, "maximum": datatype.high}


def _output(spec: TensorSpec, limits: Limits) -> Json:
    output = _object({"name": {"const": spec.name}})
    output["properties"]["parameters"] = _nullable(
        _parameters(
            {
                "binary_data": BOOLEAN,
                "classification": {"type": "integer", "minimum": 0, "maximum": spec.size},
                **(_place() if limits.regions else {}),
            }
        )
    )
    return output


def _infer_response() -> Json:
    output = _object({"name": STRING, "datatype": {"enum": ["FP32", "BYTES"]}})
    output["properties"] |= {
        "shape": _list(COUNT),
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    }
    response = _object({"model_name": STRING, "model_version": STRING, "outputs": _list(output)})
    response["properties"] |= {"id": STRING, "parameters": {"type": "object"}}
    return response
