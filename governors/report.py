# SPDX-License-Identifier: Apache-2.0
"""Everything this package can say about a machine as plain data, ready for JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from aio.governors.drivers.cpufreq import survey
from aio.governors.registry import open_sensors
from aio.governors.sysfs import Sysfs
from aio.governors.threads import default_threads

if TYPE_CHECKING:
    from aio.governors.base import Capability, ClockSample, PolicySample


def machine_report(
    measure_khz: Callable[[], float] | None = None, root: Path | None = None
) -> dict[str, object]:
    """Return what the sensors of this machine offer and why each was or wasn't chosen.

    The keys are `root`, `driver` (the chosen one), `capabilities`, `sample` (one reading of the
    chosen driver), `policies` (all of them, followed or not) and `threads`.

    Raises:
        ValueError: AIO_SYSFS_ROOT names something that is not a folder.
    """
    sysfs = Sysfs(root)
    sensors = open_sensors(measure_khz, sysfs.root)
    sample = sensors.read().clock
    sensors.close()
    return {
        "root": str(sysfs.root),
        "driver": sample.driver,
        "capabilities": capability_dicts(sensors.capabilities),
        "sample": sample_dict(sample),
        "policies": policy_dicts(survey(sysfs)),
        "threads": asdict(default_threads(sysfs.root)),
    }


def capability_dicts(capabilities: Sequence[Capability]) -> list[dict[str, object]]:
    """Return capabilities as dicts, the status as its word."""
    return [asdict(item) | {"status": item.status.value} for item in capabilities]


def policy_dicts(policies: Sequence[PolicySample]) -> list[dict[str, object]]:
    """Return cpufreq policies as dicts; frequencies in kHz, None where there is no reading."""
    return [
        asdict(item) | {"cpus": list(item.cpus), "available_khz": list(item.available_khz)}
        for item in policies
    ]


def sample_dict(sample: ClockSample) -> dict[str, object]:
    """Return a clock sample as a dict."""
    return asdict(sample) | {"policies": policy_dicts(sample.policies)}
