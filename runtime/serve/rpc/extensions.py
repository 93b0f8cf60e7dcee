# SPDX-License-Identifier: Apache-2.0
"""Triton's extensions of the protocol: model configuration, statistics, the model directory."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from google.protobuf.json_format import ParseDict

from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.metadata import model_config
from aio.runtime.serve.protocol.model_control import check_load, check_repository, check_unload
from aio.runtime.serve.rpc.messages import message, parameters_of


class Extensions:
    """The methods beyond the base protocol."""

    def __init__(self, host: Host, limits: Limits) -> None:
        self._host = host
        self._limits = limits

    def answers(self) -> Mapping[str, Callable[[Any], Coroutine[Any, Any, Any]]]:
        """Return the function for each of the methods."""
        return {
            "ModelConfig": self._config,
            "ModelStatistics": self._statistics,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }

    async def _config(self, request: Any) -> Any:
        spec = self._host.find(request.name, request.version or None).spec
        config = model_config(spec, self._limits)
        response = message("inference.ModelConfigResponse")()
        return ParseDict({"config": config}, response)

    async def _statistics(self, request: Any) -> Any:
        models: list[Any]
        if request.name:
            models = [self._host.find(request.name, request.version or None)]
        else:
            models = list(self._host.models)
        stats = [
            {
                "name": model.spec.name,
                "version": model.spec.version,
                **model.statistics.as_dict(),
            }
            for model in models
        ]
        response = message("inference.ModelStatisticsResponse")()
        return ParseDict({"model_stats": stats}, response, ignore_unknown_fields=True)

    async def _index(self, request: Any) -> Any:
        check_repository(request.repository_name)
        models = [
            {
                "name": state.name,
                "version": state.version,
                "state": state.state,
                "reason": state.reason,
            }
            for state in await self._host.index(ready_only=request.ready)
        ]
        return message("inference.RepositoryIndexResponse")(models=models)

    async def _load(self, request: Any) -> Any:
        check_repository(request.repository_name)
        check_load(parameters_of(request))
        await self._host.load_model(request.model_name)
        return message("inference.RepositoryModelLoadResponse")()

    async def _unload(self, request: Any) -> Any:
        check_repository(request.repository_name)
        check_unload(parameters_of(request))
        await self._host.unload_model(request.model_name)
        return message("inference.RepositoryModelUnloadResponse")()
