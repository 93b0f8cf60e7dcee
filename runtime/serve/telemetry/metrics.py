# SPDX-License-Identifier: Apache-2.0
"""All Prometheus metrics of one server, in a registry of their own.

Nothing is counted here: models, device and governors are looked at when Prometheus asks.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest

from aio.runtime.serve.telemetry.device_metrics import DeviceCollector
from aio.runtime.serve.telemetry.governor_metrics import GovernorCollector
from aio.runtime.serve.telemetry.host_metrics import HostCollector
from aio.runtime.serve.telemetry.model_metrics import ModelCollector

if TYPE_CHECKING:
    from aio.governors import DeviceSample
    from aio.runtime.serve.hosting.engine import Engine
    from aio.runtime.serve.hosting.host import ServedModel

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What is watched, and its exposition."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

    def watch_models(self, models: "Callable[[], Iterable[ServedModel]]") -> None:
        """Expose what the models that are loaded have done."""
        self._registry.register(ModelCollector(models))

    def watch_device(self, sample: "Callable[[], DeviceSample | None]") -> None:
        """Expose clocks, heat and power; the function returns None while nothing reads them."""
        self._registry.register(DeviceCollector(sample))

    def watch_host(self) -> None:
        """Expose how busy the machine is."""
        self._registry.register(HostCollector())

    def watch_governors(self, engines: "Callable[[], Mapping[str, Engine]]") -> None:
        """Expose targets, residuals and changes of plan of the models that are loaded."""
        self._registry.register(GovernorCollector(engines))

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
