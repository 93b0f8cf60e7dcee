# SPDX-License-Identifier: Apache-2.0
"""The one table of paths. `openapi.py` describes the handlers by the names given here."""

from collections.abc import Awaitable, Callable, Iterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rest.endpoints import Endpoints
from aio.runtime.serve.rest.repository import RepositoryEndpoints
from aio.runtime.serve.rest.shared_memory import CudaMemoryEndpoints, SystemMemoryEndpoints
from aio.runtime.serve.rest.statistics import StatisticsEndpoints

Handler = Callable[[Request], Awaitable[Response]]

MODEL = "/v2/models/{model}"
VERSION = "/versions/{version}"
OPENAPI = "/openapi.json"


def routes(host: Host, limits: Limits, endpoints: Endpoints, infer: ASGIApp) -> list[Route]:
    """Return every path of the protocol, and the metrics."""
    return [
        *_server(host, endpoints),
        *_models(host, endpoints, infer),
        *_repository(RepositoryEndpoints(host, limits)),
        *_memory("system", SystemMemoryEndpoints(host, limits)),
        *_memory("cuda", CudaMemoryEndpoints()),
    ]


def _server(host: Host, endpoints: Endpoints) -> Iterator[Route]:
    yield Route("/v2", endpoints.server, name="server_metadata")
    yield Route("/v2/health/live", endpoints.live, name="server_live")
    yield Route("/v2/health/ready", endpoints.ready, name="server_ready")
    yield Route("/metrics", endpoints.metrics, name="metrics")
    yield Route(OPENAPI, endpoints.openapi, name="openapi")
    yield Route("/v2/models/stats", StatisticsEndpoints(host).all_models, name="statistics")


def _models(host: Host, endpoints: Endpoints, infer: ASGIApp) -> Iterator[Route]:
    statistics = StatisticsEndpoints(host)
    for path, of in ((MODEL, ""), (MODEL + VERSION, "_version")):
        yield Route(path, endpoints.model, name=f"model{of}_metadata")
        yield Route(f"{path}/ready", endpoints.model_ready, name=f"model{of}_ready")
        yield Route(f"{path}/config", endpoints.model_config, name=f"model{of}_config")
        yield Route(f"{path}/stats", statistics.model, name=f"model{of}_statistics")
        yield Route(f"{path}/infer", infer, methods=["POST"], name=f"model{of}_infer")


def _repository(repository: RepositoryEndpoints) -> Iterator[Route]:
    model = "/v2/repository/models/{model}"
    yield _post("/v2/repository/index", repository.index, "repository_index")
    yield _post(f"{model}/load", repository.load, "repository_load")
    yield _post(f"{model}/unload", repository.unload, "repository_unload")


def _memory(kind: str, memory: SystemMemoryEndpoints | CudaMemoryEndpoints) -> Iterator[Route]:
    path = f"/v2/{kind}sharedmemory"
    region = f"{path}/region/{{region}}"
    yield Route(f"{path}/status", memory.status, name=f"{kind}_memory_status")
    yield Route(f"{region}/status", memory.status, name=f"{kind}_memory_region")
    yield _post(f"{region}/register", memory.register, f"{kind}_memory_register")
    yield _post(f"{path}/unregister", memory.unregister, f"{kind}_memory_unregister")
    yield _post(f"{region}/unregister", memory.unregister, f"{kind}_memory_region_unregister")


def _post(path: str, handler: Handler, name: str) -> Route:
    return Route(path, handler, methods=["POST"], name=name)
