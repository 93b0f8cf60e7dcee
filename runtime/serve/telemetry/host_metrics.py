# SPDX-License-Identifier: Apache-2.0
"""Processor and memory of the whole machine under the names that Triton uses."""

import threading
from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.metrics_core import GaugeMetricFamily


class HostCollector:
    """Collector of how busy the machine is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: tuple[float, float] | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield memory, and the part of processor time used since the last look, if any."""
        # Here, because only a server that is looked at pays for it.
        import psutil  # type: ignore[import-untyped]  # noqa: PLC0415

        memory = psutil.virtual_memory()
        yield GaugeMetricFamily("nv_cpu_memory_total_bytes", "Memory.", value=memory.total)
        yield GaugeMetricFamily(
            "nv_cpu_memory_used_bytes", "Memory in use.", value=memory.total - memory.available
        )
        times = psutil.cpu_times()
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        utilization = self._utilization(sum(times), idle_s)
        if utilization is not None:
            text = "Part of processor time in use since the last look, 0 to 1."
            yield GaugeMetricFamily("nv_cpu_utilization", text, value=utilization)

    def _utilization(self, total_s: float, idle_s: float) -> float | None:
        with self._lock:
            before, self._before = self._before, (total_s, idle_s)
        if before is None or total_s <= before[0]:
            return None
        return min(1.0, max(0.0, 1.0 - (idle_s - before[1]) / (total_s - before[0])))
