# SPDX-License-Identifier: Apache-2.0
"""What the sensors of a simulated device say, in the form real sensors use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio.governors.base import (
    ClockSample,
    CoolingSample,
    DeviceSample,
    EnergySample,
    PolicySample,
    PowerSample,
    PowerSource,
    QuotaSample,
    RailSample,
    ThermalSample,
    ZoneSample,
)
from aio.governors.devices.board import Listed

if TYPE_CHECKING:
    from aio.governors.devices import CpuPolicy, Device, Ladder
    from aio.governors.emulation.virtual.quota import Quota

DRIVER = "emulated"
SUM = "sum of rails"  # of boards where no rail measures the whole
BATTERY_CHARGE = 0.8  # of devices that have a battery; it is not drained


@dataclass(frozen=True, slots=True)
class State:
    """The visible state of a simulated device."""

    now_ns: int
    device: Device
    policy: CpuPolicy
    hardware: Ladder
    allowed: Ladder
    online_cpus: tuple[int, ...]
    shown_khz: int
    governor: str
    cooling_state: int
    max_cooling_state: int
    temperature_c: float
    quota: Quota | None
    power: PowerSource | None
    power_w: float
    energy_j: float


def device_sample(state: State) -> DeviceSample:
    """Return the sample; quantities that the board has no sensor for are None."""
    return DeviceSample(
        time_ns=state.now_ns,
        clock=ClockSample(
            time_ns=state.now_ns,
            cpu_khz=state.shown_khz,
            max_khz=state.hardware.max_khz,
            driver=DRIVER,
            policies=(_policy(state),),
        ),
        quota=_quota(state.quota),
        thermal=_thermal(state),
        power=_power(state),
        energy=_energy(state),
    )


def _policy(state: State) -> PolicySample:
    listed = state.policy.listed is not Listed.ABSENT
    return PolicySample(
        name=f"policy{state.policy.number}",
        cpus=state.online_cpus,
        cur_freq_khz=state.shown_khz,
        min_freq_khz=state.hardware.min_khz,
        max_freq_khz=state.hardware.max_khz,
        scaling_max_freq_khz=state.allowed.max_khz,
        governor=state.governor,
        driver=state.device.driver,
        scaling_min_freq_khz=state.allowed.min_khz,
        available_khz=state.hardware.freqs_khz if listed else (),
    )


def _quota(quota: Quota | None) -> QuotaSample | None:
    if quota is None:
        return None
    return QuotaSample(quota.cpus, quota.period_us, quota.throttled_ns // 1000, DRIVER)


def _thermal(state: State) -> ThermalSample:
    kind = state.device.zones[0] if state.device.zones else DRIVER
    zone = ZoneSample("thermal_zone0", kind, round(state.temperature_c * 1000))
    cooling = CoolingSample(
        name="cooling_device0",
        kind=f"cpufreq-cpu{state.policy.cpus[0]}",
        cur_state=state.cooling_state,
        max_state=max(state.max_cooling_state, state.cooling_state),
    )
    return ThermalSample((zone,), (cooling,))


def _power(state: State) -> PowerSample | None:
    if state.power is None:
        return None
    return PowerSample(state.power, BATTERY_CHARGE if state.device.battery else None)


def _energy(state: State) -> EnergySample | None:
    """Return the power of the whole device; what each rail takes is not simulated."""
    if not state.device.rails:
        return None
    first = state.device.rails[0]
    name = first if first.endswith("_IN") else SUM
    rail = RailSample(name, state.power_w * 1000, round(state.energy_j * 1e6))
    return EnergySample((rail,), name)
