# SPDX-License-Identifier: Apache-2.0
"""What the sensors see as plain data for the page. A reading that is missing is None."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio.governors import ClockSample, DeviceSample, GpuSample


def device_dict(sample: "DeviceSample | None") -> dict[str, object] | None:
    """Return clocks, heat and power, ready for JSON; None while nothing reads the device."""
    if sample is None:
        return None
    thermal, power, quota, energy = sample.thermal, sample.power, sample.quota, sample.energy
    return {
        "clock": _clock(sample.clock),
        "gpus": [_gpu(gpu) for gpu in sample.gpus],
        "temperatures": [
            {"name": zone.kind or zone.name, "celsius": _thousandth(zone.temperature_mc)}
            for zone in (thermal.zones if thermal else ())
        ],
        "throttled": thermal.throttled if thermal else None,
        "rails": [
            {"name": rail.name, "watts": _thousandth(rail.power_mw)}
            for rail in (energy.rails if energy else ())
        ],
        "power": {
            "source": power.source.value if power and power.source else None,
            "battery": power.battery if power else None,
        },
        "quota": {
            "cpus": quota.quota_cpus if quota else None,
            "throttled_us": quota.throttled_us if quota else None,
        },
    }


def _clock(clock: "ClockSample") -> dict[str, object]:
    return {
        "driver": clock.driver,
        "cpu_khz": clock.cpu_khz,
        "max_khz": clock.max_khz,
        "error": clock.error,
        "policies": [
            {
                "name": policy.name,
                "cpus": list(policy.cpus),
                "cur_khz": policy.cur_freq_khz,
                "limit_khz": policy.scaling_max_freq_khz,
                "max_khz": policy.max_freq_khz,
                "governor": policy.governor,
            }
            for policy in clock.policies
        ],
    }


def _gpu(gpu: "GpuSample") -> dict[str, object]:
    return {
        "name": gpu.device,
        "cur_khz": gpu.cur_freq_khz,
        "max_khz": gpu.max_freq_khz,
        "load": gpu.load,
        "celsius": _thousandth(gpu.temperature_mc),
        "watts": _thousandth(gpu.power_mw),
        "throttled": None if gpu.throttle_reasons is None else bool(gpu.throttle_reasons),
    }


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000
