# SPDX-License-Identifier: Apache-2.0
"""Everything this package can say about a machine as plain data, ready for JSON."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio.governors.drivers.cpufreq import survey
from aio.governors.registry import open_sensors
from aio.governors.sampler import Sampler
from aio.governors.sysfs import Sysfs
from aio.governors.threads import default_threads

if TYPE_CHECKING:
    from aio.governors.base import Capability, DeviceSample

# Long enough for every slow quantity to be read at its own pace, so the mean cost is the true one.
COST_SECONDS = 1.0
PERIOD_S = 0.02


def machine_report(
    measure_khz: Callable[[], float] | None = None,
    root: Path | None = None,
    *,
    cost_s: float = COST_SECONDS,
) -> dict[str, Any]:
    """Return what the sensors of this machine offer and why each was or wasn't chosen.

    The keys are `root`, `capabilities` (every driver of every quantity, with `age_s`), `sample`
    (the newest one of the device), `cost` (CPU time of a sample, and the part of a core at 50 Hz),
    `policies` (all of cpufreq's, followed or not) and `threads`.

    Args:
        measure_khz: runs a short timed loop and returns the clock of this core; None without one.
        root: what stands for "/"; AIO_SYSFS_ROOT or "/" if None.
        cost_s: for how long to sample to learn the cost.

    Raises:
        ValueError: AIO_SYSFS_ROOT names something that is not a folder.
    """
    sysfs = Sysfs(root)
    sensors = open_sensors(measure_khz, sysfs.root)
    try:
        sensors.read()  # the first reading opens files and is not what sampling costs
        with Sampler(sensors, period_s=PERIOD_S) as sampler:
            time.sleep(cost_s)
        sample, cost_us = sampler.latest(), sampler.cost_us
        capabilities = capability_dicts(sensors.capabilities, time.monotonic_ns())
    finally:
        sensors.close()
    return {
        "root": str(sysfs.root),
        "capabilities": capabilities,
        "sample": sample_dict(sample),
        "cost": {
            "us_per_sample": cost_us,
            "core_fraction_at_50_hz": None if cost_us is None else cost_us * 1e-6 / PERIOD_S,
        },
        "policies": _plain([asdict(policy) for policy in survey(sysfs)]),
        "threads": asdict(default_threads(sysfs.root)),
    }


def capability_dicts(capabilities: Sequence[Capability], now_ns: int) -> list[dict[str, Any]]:
    """Return capabilities as dicts: the status as its word, the time as an age."""
    return [
        {
            "quantity": item.quantity,
            "driver": item.driver,
            "status": item.status.value,
            "reason": item.reason,
            "age_s": item.age_s(now_ns),
        }
        for item in capabilities
    ]


def sample_dict(sample: DeviceSample) -> dict[str, Any]:
    """Return a sample of the device as a dict; a quantity without a value is None."""
    plain: dict[str, Any] = _plain(asdict(sample))
    if sample.thermal is not None:
        plain["thermal"]["throttled"] = sample.thermal.throttled
    return plain


def _plain(value: Any) -> Any:
    """Return the same with tuples as lists and enumerations as their words."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value
