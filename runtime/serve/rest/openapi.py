# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document: every route of `routes.py`, described for the models that serve now.

Paths and methods come from the routes themselves; what is said of each stands here under the
route's name. A route of the protocol without a description is an error. Imported only when the
document is asked for.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from starlette.routing import BaseRoute, Route

from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.schema import ModelSpec
from aio.runtime.serve.rest import openapi_schemas as schemas
from aio.runtime.serve.rest.openapi_operations import OPERATIONS, PUBLIC, Operation

Json = dict[str, Any]
# Whether a request of this method to this path must present the token.
NeedsToken = Callable[[str, str], bool]

BEARER = "bearer"  # the name of the one security scheme
TITLE = "aio-serve"
ABOUT = (
    "The Open Inference Protocol (KServe V2) with Triton's extensions. This document describes "
    "the models that serve now: names, shapes and limits are theirs."
)


def document(
    routes: Iterable[BaseRoute],
    models: Sequence[ModelSpec],
    limits: Limits,
    version: str,
    needs_token: NeedsToken,
) -> Json:
    """Return the description of the routes of the protocol."""
    paths: dict[str, Json] = {}
    components: Json = {"schemas": schemas.components(models, limits)}
    for route in described(routes):
        methods = paths.setdefault(route.path, {})
        for method in sorted((route.methods or set()) - {"HEAD"}):
            operation = _operation(route, OPERATIONS[route.name], models)
            methods[method.lower()] = operation
            if needs_token(method, route.path):
                _lock(operation)
                components["securitySchemes"] = {BEARER: {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": version, "description": ABOUT},
        "paths": paths,
        "components": components,
    }


def described(routes: Iterable[BaseRoute]) -> list[Route]:
    """Return the routes that belong into the document; those of the page, say, don't."""
    return [route for route in routes if isinstance(route, Route) and is_public(route.path)]


def is_public(path: str) -> bool:
    """Return whether a path is of the protocol or made for programs."""
    return path == "/v2" or path.startswith("/v2/") or path in PUBLIC


def _operation(route: Route, operation: Operation, models: Sequence[ModelSpec]) -> Json:
    found: Json = {
        "operationId": route.name,
        "summary": operation.summary,
        "responses": _responses(operation),
    }
    parameters = [_path_parameter(name, models) for name in route.param_convertors]
    if parameters or operation.headers:
        found["parameters"] = [*parameters, *operation.headers]
    if operation.body:
        found["requestBody"] = {
            "required": operation.body_required,
            "content": {media: {"schema": schema} for media, schema in operation.body.items()},
        }
    return found


def _lock(operation: Json) -> None:
    """Say that an operation needs the token."""
    operation["security"] = [{BEARER: []}]
    answer = {
        **_error(401),
        "headers": {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
    }
    operation["responses"]["401"] = answer


def _path_parameter(name: str, models: Sequence[ModelSpec]) -> Json:
    values = {"model": {spec.name for spec in models}, "version": {spec.version for spec in models}}
    schema: Json = {"type": "string", "pattern": "^[^/]+$"}
    if values.get(name):
        schema = {"type": "string", "enum": sorted(values[name])}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _responses(operation: Operation) -> Json:
    found: Json = {
        str(status): {
            "description": text,
            "content": {media: {"schema": schema} for media, schema in content.items()},
        }
        for status, text, content in operation.answers
    }
    for status in operation.errors:
        found[str(status)] = _error(status)
    if "503" in found:
        found["503"]["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
    return found


def _error(status: int) -> Json:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": schemas.ERRORS[status], "content": content}
