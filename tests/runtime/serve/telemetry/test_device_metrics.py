# SPDX-License-Identifier: Apache-2.0
"""Clocks, heat and power in the exposition: what is missing is no sample."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_engine import record
from metric_samples import samples

from aio.governors import DeviceSample, EnergySample, GpuSample, ThermalSample
from aio.governors.base import CoolingSample, PolicySample, RailSample, ZoneSample
from aio.runtime.serve.telemetry.metrics import Metrics

CLOCK = record(cpu_khz=2_000_000).clock
NOTHING = DeviceSample(0, record(cpu_khz=None).clock)


def exposed(sample: DeviceSample | None) -> dict[str, float]:
    metrics = Metrics()
    metrics.watch_device(lambda: sample)
    return samples(metrics)


def policy(name: str, khz: int | None) -> PolicySample:
    return PolicySample(name, (0,), khz, None, None, None, None, None)


def test_without_a_device_there_is_nothing() -> None:
    assert exposed(None) == {}
    assert exposed(NOTHING) == {}


def test_the_clock_a_sensor_measures() -> None:
    assert exposed(DeviceSample(0, CLOCK)) == {"aio_cpu_frequency_hertz|policy=fake": 2e9}


def test_the_clock_of_every_policy_that_answers() -> None:
    policies = (policy("policy0", 5), policy("policy4", None))
    assert exposed(DeviceSample(0, replace(CLOCK, policies=policies))) == {
        "aio_cpu_frequency_hertz|policy=policy0": 5e3
    }


def test_gpus() -> None:
    one = GpuSample("gpu0", "nvml", 1_200_000, None, power_mw=7500, temperature_mc=61_500)
    silent = GpuSample("gpu1", "devfreq", None, None)
    assert exposed(replace(NOTHING, gpus=(one, silent))) == {
        "aio_gpu_frequency_hertz|device=gpu0": 1.2e9,
        "aio_temperature_celsius|zone=gpu0": 61.5,
        "aio_power_watts|rail=gpu0": 7.5,
        "nv_gpu_power_usage|device=gpu0": 7.5,
    }
    busy = replace(one, power_mw=None, load=0.25)
    assert exposed(replace(NOTHING, gpus=(busy, silent)))["nv_gpu_utilization|device=gpu0"] == 0.25


def zone(kind: str, temperature_mc: int | None) -> ZoneSample:
    return ZoneSample("thermal_zone0", kind, temperature_mc)


def test_temperatures_of_zones_of_one_type_do_not_collide() -> None:
    zones = (zone("cpu", 40_000), zone("cpu", None), zone("cpu", 42_000), zone("", -5_000))
    assert exposed(replace(NOTHING, thermal=ThermalSample(zones, ()))) == {
        "aio_temperature_celsius|zone=cpu": 40.0,
        "aio_temperature_celsius|zone=cpu 3": 42.0,
        "aio_temperature_celsius|zone=thermal_zone0": -5.0,
    }


@pytest.mark.parametrize(
    ("states", "expected"), [((), None), ((None,), None), ((0, None), 0.0), ((0, 2), 1.0)]
)
def test_throttled(states: tuple[int | None, ...], expected: float | None) -> None:
    cooling = tuple(CoolingSample("cooling_device0", "cpu", state, 3) for state in states)
    found = exposed(replace(NOTHING, thermal=ThermalSample((), cooling)))
    assert found.get("aio_throttled") == expected


def test_power_of_rails() -> None:
    rails = (RailSample("VDD_IN", 5100.0, None), RailSample("package-0", None, 123))
    assert exposed(replace(NOTHING, energy=EnergySample(rails, "VDD_IN"))) == {
        "aio_power_watts|rail=VDD_IN": 5.1,
        "aio_energy_joules_total|rail=package-0": pytest.approx(0.000123),
    }
