# SPDX-License-Identifier: Apache-2.0
"""What sensors read is told in plain units, and what they do not read is None."""

import json

from aio.governors.base import (
    ClockSample,
    DeviceSample,
    EnergySample,
    GpuSample,
    PolicySample,
    PowerSample,
    PowerSource,
    QuotaSample,
    RailSample,
    ThermalSample,
    ZoneSample,
)
from aio.runtime.serve.page.device import device_dict

BARE = DeviceSample(0, ClockSample(0, None, None, "none", (), "no sensor"))


def test_nothing_is_read_before_a_model_is_loaded() -> None:
    assert device_dict(None) is None


def test_a_machine_without_sensors_has_no_zeros() -> None:
    found = device_dict(BARE)
    assert found == {
        "clock": {
            "driver": "none",
            "cpu_khz": None,
            "max_khz": None,
            "error": "no sensor",
            "policies": [],
        },
        "gpus": [],
        "temperatures": [],
        "throttled": None,
        "rails": [],
        "power": {"source": None, "battery": None},
        "quota": {"cpus": None, "throttled_us": None},
    }


def test_a_machine_with_all_sensors() -> None:
    policy = PolicySample("policy0", (0, 1), 900_000, 1, 1_500_000, 1_200_000, "schedutil", "tegra")
    sample = DeviceSample(
        0,
        ClockSample(0, 900_000, 1_500_000, "cpufreq", (policy,)),
        gpus=(GpuSample("gpu", "devfreq", 300_000, 600_000, 0.5, 1500, 41_000, ("heat",)),),
        quota=QuotaSample(1.5, 100_000, 7, "cgroup"),
        thermal=ThermalSample((ZoneSample("zone0", "cpu-thermal", 45_500),), ()),
        power=PowerSample(PowerSource.BATTERY, 0.75),
        energy=EnergySample((RailSample("VDD_IN", 5250.0, None),), "VDD_IN"),
    )
    found = device_dict(sample)
    assert found is not None
    assert json.loads(json.dumps(found)) == found
    shown = found["clock"]["policies"][0]  # type: ignore[index]
    assert (shown["name"], shown["cur_khz"], shown["limit_khz"]) == ("policy0", 900_000, 1_200_000)
    assert found["temperatures"] == [{"name": "cpu-thermal", "celsius": 45.5}]
    assert found["rails"] == [{"name": "VDD_IN", "watts": 5.25}]
    assert found["power"] == {"source": "battery", "battery": 0.75}
    assert found["quota"] == {"cpus": 1.5, "throttled_us": 7}
    gpu = found["gpus"][0]  # type: ignore[index]
    assert (gpu["celsius"], gpu["watts"], gpu["throttled"]) == (41.0, 1.5, True)
