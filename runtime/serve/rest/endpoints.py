# SPDX-License-Identifier: Apache-2.0
"""The paths of the V2 protocol. They translate HTTP; deciding is done in other modules."""

import math

from starlette.requests import Request
from starlette.responses import Response

from aio.runtime.serve.hosting.host import Host, ServedModel, State
from aio.runtime.serve.protocol import codec_json
from aio.runtime.serve.protocol.schema import DATATYPE, TensorSpec
from aio.runtime.serve.telemetry.metrics import CONTENT_TYPE, Metrics
from aio.runtime.version import package_version

NAME = "aio-serve"
PLATFORM = "aio_safetensors"
EXTENSIONS = ("binary_tensor_data", "classification")


def json_response(
    value: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return `value` as a JSON response."""
    body = codec_json.dumps(value)
    return Response(body, status, headers=headers, media_type="application/json")


class Endpoints:
    """The handlers, with the state they share."""

    def __init__(self, host: Host, metrics: Metrics) -> None:
        self._host = host
        self._metrics = metrics
        self._version = package_version()

    async def server(self, _: Request) -> Response:
        """Say what server this is and which extensions it has."""
        return json_response({"name": NAME, "version": self._version, "extensions": EXTENSIONS})

    async def live(self, _: Request) -> Response:
        """Say that the process answers."""
        return json_response({"live": True})

    async def ready(self, _: Request) -> Response:
        """Say whether an inference would be tried: 200, or 503 while loading or stopping."""
        ready = self._host.state is State.READY
        return json_response({"live": True, "ready": ready}, 200 if ready else 503)

    async def model(self, request: Request) -> Response:
        """Describe a model's tensors."""
        spec = self._find(request).spec
        return json_response(
            {
                "name": spec.name,
                "versions": [spec.version],
                "platform": PLATFORM,
                "inputs": [_tensor(item) for item in spec.inputs],
                "outputs": [_tensor(item) for item in spec.outputs],
            }
        )

    async def model_ready(self, request: Request) -> Response:
        """Say whether a model would try an inference."""
        return json_response({"name": self._find(request).spec.name, "ready": True})

    async def model_stats(self, request: Request) -> Response:
        """Tell what a model has done, how its plans were chosen, and why."""
        model = self._find(request)
        engine = model.engine
        last = engine.last
        return json_response(
            {
                "name": model.spec.name,
                "version": model.spec.version,
                "policy": engine.policy,
                "target_ms": engine.target_ms if math.isfinite(engine.target_ms) else None,
                "stats": engine.stats().as_dict(),
                "last": None if last is None else last.as_dict(),
            }
        )

    async def metrics(self, _: Request) -> Response:
        """Return the metrics for Prometheus."""
        return Response(self._metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    def _find(self, request: Request) -> ServedModel:
        parameters = request.path_params
        return self._host.find(parameters["model"], parameters.get("version"))


def _tensor(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": DATATYPE, "shape": [-1, *spec.shape]}
