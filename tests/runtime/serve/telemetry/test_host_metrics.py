# SPDX-License-Identifier: Apache-2.0
"""How busy the machine is, as it is and with made-up times."""

from __future__ import annotations

from collections import namedtuple

import psutil  # type: ignore[import-untyped]
import pytest
from metric_samples import samples

from aio.runtime.serve.telemetry.metrics import Metrics

Times = namedtuple("Times", "user system idle iowait")  # noqa: PYI024 -- as psutil has it


def host() -> Metrics:
    metrics = Metrics()
    metrics.watch_host()
    return metrics


def test_memory_of_this_machine() -> None:
    found = samples(host())
    assert found["nv_cpu_memory_total_bytes"] == psutil.virtual_memory().total
    assert 0 < found["nv_cpu_memory_used_bytes"] < found["nv_cpu_memory_total_bytes"]


def test_utilization_is_that_since_the_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([Times(10, 10, 70, 10), Times(12, 11, 75, 12), Times(12, 11, 75, 12)])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(looks))
    metrics = host()
    assert "nv_cpu_utilization" not in samples(metrics)  # nothing to compare with yet
    assert samples(metrics)["nv_cpu_utilization"] == pytest.approx(0.3)
    assert "nv_cpu_utilization" not in samples(metrics)  # no time has passed
