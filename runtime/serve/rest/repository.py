# SPDX-License-Identifier: Apache-2.0
"""The model repository extension: what models there are, loading and unloading."""

from reprlib import repr as short_repr
from typing import cast

from starlette.requests import Request
from starlette.responses import Response

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.hosting.states import ModelState
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.model_control import check_load, check_unload, flag
from aio.runtime.serve.rest.answers import json_response
from aio.runtime.serve.rest.small_body import read_object


class RepositoryEndpoints:
    """The models that could be served.

    Args:
        host: where they are loaded and unloaded.
        limits: bounds for clients.
    """

    def __init__(self, host: Host, limits: Limits) -> None:
        self._host = host
        self._most_bytes = limits.small_body_bytes

    async def index(self, request: Request) -> Response:
        """List the models, or those that serve."""
        ready_only = flag(await read_object(request, self._most_bytes), "ready")
        return _answer(await self._host.index(ready_only))

    async def load(self, request: Request) -> Response:
        """Serve the newest version of a model that can be loaded."""
        name = request.path_params["model"]
        check_load(_parameters(await read_object(request, self._most_bytes)))
        return _answer(await self._host.load_model(name))

    async def unload(self, request: Request) -> Response:
        """Stop serving a model."""
        name = request.path_params["model"]
        check_unload(_parameters(await read_object(request, self._most_bytes)))
        return _answer(await self._host.unload_model(name))


def _answer(states: list[ModelState]) -> Response:
    return json_response([_row(state) for state in states])


def _row(state: ModelState) -> dict[str, str]:
    row = {"name": state.name, "version": state.version, "state": state.state}
    return {**row, "reason": state.reason} if state.reason else row


def _parameters(body: dict[str, object]) -> dict[str, object]:
    value = body.get("parameters")
    if value is None:
        return {}
    if type(value) is not dict:
        raise RequestError(f"parameters must be a JSON object, got {short_repr(value)}")
    return cast("dict[str, object]", value)
