# SPDX-License-Identifier: Apache-2.0
"""The statistics extension, and beside its counts how the governor chose: under the key "aio"."""

import math

from starlette.requests import Request
from starlette.responses import Response

from aio.runtime.serve.hosting.host import Host, ServedModel
from aio.runtime.serve.rest.answers import json_response


class StatisticsEndpoints:
    """What the models have done.

    Args:
        host: the models.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    async def all_models(self, _: Request) -> Response:
        """Tell of every model that serves."""
        return _answer(*self._host.models)

    async def model(self, request: Request) -> Response:
        """Tell of one model."""
        parameters = request.path_params
        return _answer(self._host.find(parameters["model"], parameters.get("version")))


def _answer(*models: ServedModel) -> Response:
    return json_response({"model_stats": [_statistics(model) for model in models]})


def _statistics(model: ServedModel) -> dict[str, object]:
    engine = model.engine
    last = engine.last
    return {
        "name": model.spec.name,
        "version": model.spec.version,
        **model.statistics.as_dict(),
        "aio": {
            "policy": engine.policy,
            "target_ms": engine.target_ms if math.isfinite(engine.target_ms) else None,
            "stats": engine.stats().as_dict(),
            "last": None if last is None else last.as_dict(),
        },
    }
