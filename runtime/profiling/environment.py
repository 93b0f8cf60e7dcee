# SPDX-License-Identifier: Apache-2.0
"""Where a profile was made: what one needs to know before comparing it with another.

Clocks are kHz, the boost is whether clocks above the nominal one are allowed. What the kernel does
not tell is None.
"""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from aio.governors import open_sensors
from aio.governors.drivers.cpufreq import survey
from aio.governors.report import capability_dicts
from aio.governors.sysfs import ROOT_VARIABLE, Sysfs
from aio.governors.threads import default_threads
from aio.runtime import _native
from aio.runtime.device import cpu_model
from aio.runtime.version import package_version

LIBRARIES = ("numpy", "onnxruntime", "onnx", "plotly", "matplotlib")
# What nvpmodel remembers of the power mode in force, as `pmode:0002`.
NVPMODEL = "var/lib/nvpmodel/status"


def environment_report(time_ns: int) -> dict[str, object]:
    """Return the machine, its clocks and the software; `time_ns` is now, for ages of readings."""
    sysfs = Sysfs(None)
    sensors = open_sensors(_native.measure_cpu_khz)
    try:
        sample = sensors.read()
        capabilities = capability_dicts(sensors.capabilities, time_ns)
    finally:
        sensors.close()
    policies = survey(sysfs)
    quota, power = sample.quota, sample.power
    source = None if power is None or power.source is None else power.source.value
    return {
        "sysfs_root": os.environ.get(ROOT_VARIABLE) or "/",
        "cpu": cpu_model(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "affinity": sorted(os.sched_getaffinity(0)),
        "threads": default_threads().reason,
        "clock_driver": sample.clock.driver,
        "cpufreq": [
            {
                "policy": policy.name,
                "cpus": list(policy.cpus),
                "driver": policy.driver,
                "governor": policy.governor,
                "epp": policy.epp,
                "min_khz": policy.scaling_min_freq_khz,
                "max_khz": policy.scaling_max_freq_khz,
            }
            for policy in policies
        ],
        "boost": boost(sysfs.cpu),
        "nvpmodel": _word(sysfs.root / NVPMODEL),
        "power_source": source,
        "quota_cpus": None if quota is None else quota.quota_cpus,
        "load_average": list(os.getloadavg()),
        "isa": _native.native_info(),
        "versions": {
            "aio": package_version(),
            "python": platform.python_version(),
            **{name: _version(name) for name in LIBRARIES},
        },
        "sensors": capabilities,
    }


def boost(cpu: Path) -> bool | None:
    """Return whether turbo clocks are allowed; intel_pstate says it the other way round."""
    word = _word(cpu / "cpufreq/boost")
    if word is not None:
        return word != "0"
    word = _word(cpu / "intel_pstate/no_turbo")
    return None if word is None else word == "0"


def _word(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()[:80] or None
    except OSError:
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
