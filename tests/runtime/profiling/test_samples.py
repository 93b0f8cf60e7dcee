# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from aio.governors import (
    ClockSample,
    DeviceSample,
    EnergySample,
    GpuSample,
    PolicySample,
    QuotaSample,
    ThermalSample,
)
from aio.governors.base import CoolingSample, RailSample, ZoneSample
from aio.runtime.profiling.samples import STEADY, Timing, stamped, throttle_reasons

TIMING = Timing(0, "ort", STEADY, 3, 5_000_000, 7.0, None, 1.0)


def policy(**limits: int) -> PolicySample:
    fields: dict[str, Any] = {"max_freq_khz": 2000, "scaling_max_freq_khz": 2000, **limits}
    return PolicySample("policy0", (0,), 1000, 500, governor="g", driver="d", **fields)


def device(*policies: PolicySample, **more: Any) -> DeviceSample:
    return DeviceSample(0, ClockSample(1_000_000, 1000, 2000, "cpufreq", policies), **more)


def test_everything_the_sensors_say_is_in_the_sample() -> None:
    zones = (ZoneSample("z0", "cpu", 40_000), ZoneSample("z1", "gpu", 55_000))
    found = stamped(
        TIMING,
        device(
            gpus=(GpuSample("gpu", "devfreq", 612_000, 918_000),),
            thermal=ThermalSample((*zones, ZoneSample("z2", "x", None)), ()),
            quota=QuotaSample(1.5, 100_000, 77, "cgroup"),
            energy=EnergySample((RailSample("a", 1.0, None), RailSample("all", 500.0, 9)), "all"),
        ),
        None,
    )
    assert found[: len(TIMING)] == tuple(TIMING)
    assert (found.cpu_khz, found.clock_age_ms, found.gpu_khz) == (1000, 4.0, 612_000)
    assert (found.temperature_mc, found.quota_throttled_us) == (55_000, 77)
    assert (found.power_mw, found.energy_uj) == (500.0, 9)
    assert (found.level, found.plan) == (None, None)


def test_what_no_sensor_says_is_unknown() -> None:
    clock = ClockSample(0, None, None, "constant", error="none")
    found = stamped(TIMING, DeviceSample(0, clock), None)
    assert set(found[len(TIMING) :]) == {None}


@pytest.mark.parametrize(
    ("sample", "reasons"),
    [
        (device(), None),
        (device(policy()), ""),
        (device(policy(bios_limit_khz=1500)), "bios_limit"),
        (device(policy(scaling_max_freq_khz=1500)), "scaling_max_freq"),
        (device(thermal=ThermalSample((), ())), None),
        (device(thermal=ThermalSample((), (CoolingSample("c", "cpu", 0, 3),))), ""),
        (device(thermal=ThermalSample((), (CoolingSample("c", "cpu", 2, 3),))), "heat:cpu"),
        (device(gpus=(GpuSample("g", "nvml", 1, 2, throttle_reasons=("power",)),)), "gpu:power"),
    ],
)
def test_throttle_reasons(sample: DeviceSample, reasons: str | None) -> None:
    assert throttle_reasons(sample) == reasons
