# SPDX-License-Identifier: Apache-2.0
"""The paths of the V2 protocol. They translate HTTP; deciding is done in other modules."""

from starlette.requests import Request
from starlette.responses import Response

from aio.runtime.serve.errors import RETRY_AFTER_S
from aio.runtime.serve.hosting.host import Host, ServedModel, State
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.metadata import model_config, model_metadata, server_metadata
from aio.runtime.serve.rest.answers import RETRY_AFTER, json_response
from aio.runtime.serve.security.guard import Policy
from aio.runtime.serve.telemetry.metrics import CONTENT_TYPE, Metrics
from aio.runtime.version import package_version


class Endpoints:
    """The handlers, with the state they share."""

    def __init__(self, host: Host, metrics: Metrics, limits: Limits, policy: Policy) -> None:
        self._host = host
        self._metrics = metrics
        self._limits = limits
        self._policy = policy
        self._version = package_version()

    async def server(self, _: Request) -> Response:
        """Say what server this is and which extensions it has."""
        return json_response(
            server_metadata(self._version, shared_memory=self._host.regions.enabled)
        )

    async def live(self, _: Request) -> Response:
        """Say that the process answers."""
        return json_response({"live": True})

    async def ready(self, _: Request) -> Response:
        """Say whether an inference would be tried: 200, or 503 while loading or stopping."""
        ready = self._host.state is State.READY
        value = {"live": True, "ready": ready}
        if ready:
            return json_response(value)
        return json_response(value, 503, {RETRY_AFTER: str(RETRY_AFTER_S)})

    async def model(self, request: Request) -> Response:
        """Describe a model's tensors."""
        return json_response(model_metadata(self._find(request).spec))

    async def model_config(self, request: Request) -> Response:
        """Tell how a model is served, in Triton's words."""
        return json_response(model_config(self._find(request).spec, self._limits))

    async def model_ready(self, request: Request) -> Response:
        """Say whether a model would try an inference."""
        return json_response({"name": self._find(request).spec.name, "ready": True})

    async def metrics(self, _: Request) -> Response:
        """Return the metrics for Prometheus."""
        return Response(self._metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    async def openapi(self, request: Request) -> Response:
        """Return the description of all paths, for the models that serve now."""
        # Made when somebody asks: it is large, and most servers are never asked.
        from aio.runtime.serve.rest.openapi import document  # noqa: PLC0415

        specs = [model.spec for model in self._host.models]
        needs_token = self._policy.needs_token
        return json_response(
            document(request.app.routes, specs, self._limits, self._version, needs_token)
        )

    def _find(self, request: Request) -> ServedModel:
        parameters = request.path_params
        return self._host.find(parameters["model"], parameters.get("version"))
