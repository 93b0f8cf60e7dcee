# SPDX-License-Identifier: Apache-2.0
"""What the OpenAPI document says of each route, by the route's name."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aio.runtime.serve.protocol.codec_binary import HEADER
from aio.runtime.serve.telemetry.trace import REQUEST_ID, TRACEPARENT, TRACESTATE

Json = dict[str, Any]
Content = Mapping[str, Json]

PUBLIC = frozenset({"/metrics", "/openapi.json"})
JSON, BINARY, TEXT = "application/json", "application/octet-stream", "text/plain"
BYTES: Json = {"type": "string", "format": "binary"}
ANY: Json = {}


class Operation(NamedTuple):
    """One operation; `answers` are status, words and content, `errors` have the usual body."""

    summary: str
    answers: Sequence[tuple[int, str, Content]]
    errors: Sequence[int] = ()
    body: Content | None = None
    body_required: bool = False
    headers: Sequence[Json] = ()


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _get(summary: str, schema: Json, *errors: int) -> Operation:
    return Operation(summary, [(200, "OK", {JSON: schema})], errors)


def _post(summary: str, answer: Json, body: str, *errors: int) -> Operation:
    return Operation(
        summary, [(200, "OK", {JSON: answer})], (400, 408, 413, 415, *errors), {JSON: _ref(body)}
    )


def _header(name: str, schema: Json, about: str) -> Json:
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": about}


TRACE = (
    _header(
        TRACEPARENT,
        {"type": "string"},
        "W3C trace context; answered with the same trace and a span of this server.",
    ),
    _header(TRACESTATE, {"type": "string"}, "Passed on with traceparent."),
    _header(REQUEST_ID, {"type": "string"}, "Answered, and written to the log."),
)
LENGTH = _header(
    HEADER,
    {"type": "string", "pattern": "^[0-9]{1,18}$"},
    "Bytes of JSON before the binary tensors; 0 makes the whole body the one FP32 input.",
)
OF_MODEL = (404, 503)
INFER = Operation(
    "Run a model",
    [(200, "The outputs.", {JSON: _ref("InferResponse"), BINARY: BYTES})],
    (400, 404, 408, 413, 415, 503),
    {JSON: _ref("InferRequest"), BINARY: BYTES},
    body_required=True,
    headers=(LENGTH, *TRACE),
)
NOTHING: Json = {"type": "object", "additionalProperties": False}


def _model_operations(of: str, words: str) -> dict[str, Operation]:
    return {
        f"model{of}_metadata": _get(f"Describe {words}", _ref("ModelMetadata"), *OF_MODEL),
        f"model{of}_ready": _get(f"Say whether {words} serves", _ref("ModelReady"), *OF_MODEL),
        f"model{of}_config": _get(f"Tell how {words} is served", _ref("ModelConfig"), *OF_MODEL),
        f"model{of}_statistics": _get(f"Tell what {words} has done", _ref("Statistics"), *OF_MODEL),
        f"model{of}_infer": INFER._replace(summary=f"Run {words}"),
    }


SYSTEM_MEMORY = {
    "system_memory_status": _get("List the shared memory regions", _ref("Regions")),
    "system_memory_region": _get("Describe a shared memory region", _ref("Regions"), 404),
    "system_memory_register": _post("Let requests use a region", NOTHING, "Region", 403)._replace(
        body_required=True
    ),
    "system_memory_unregister": _get("Forget all regions", NOTHING),
    "system_memory_region_unregister": _get("Forget a region, if it is there", NOTHING),
}
CUDA_MEMORY = {
    "cuda_memory_status": _get("List the regions of a GPU: none", {"type": "array", "maxItems": 0}),
    "cuda_memory_region": Operation("Describe a region of a GPU", (), (404,)),
    "cuda_memory_register": Operation("Refuse a region of a GPU", (), (403,)),
    "cuda_memory_unregister": _get("Forget all regions, of which there are none", NOTHING),
    "cuda_memory_region_unregister": _get("Forget a region that is not there", NOTHING),
}


OPERATIONS: Mapping[str, Operation] = {
    "server_metadata": _get("Say what server this is", _ref("ServerMetadata")),
    "server_live": _get("Say that the process answers", _ref("ServerLive")),
    "server_ready": Operation(
        "Say whether all models were loaded",
        [
            (200, "Requests would be tried.", {JSON: _ref("ServerReady")}),
            (503, "Loading, or stopping.", {JSON: _ref("ServerReady")}),
        ],
    ),
    "metrics": Operation("Metrics for Prometheus", [(200, "OK", {TEXT: {"type": "string"}})]),
    "openapi": _get("This document", {"type": "object"}),
    "statistics": _get("Tell what every model has done", _ref("Statistics")),
    **_model_operations("", "a model"),
    **_model_operations("_version", "a version of a model"),
    "repository_index": _post("List the models that are known", _ref("Index"), "IndexRequest", 503),
    "repository_load": _post(
        "Serve the newest version of a model", _ref("Index"), "LoadRequest", 403, 404, 503
    ),
    "repository_unload": _post(
        "Stop serving a model", _ref("Index"), "UnloadRequest", 403, 404, 503
    ),
    **SYSTEM_MEMORY,
    **CUDA_MEMORY,
}
