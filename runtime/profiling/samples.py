# SPDX-License-Identifier: Apache-2.0
"""One call as it was measured, with everything the sensors said of the moment.

Latencies are ms, clocks kHz, temperatures thousandths of a degree Celsius, power mW, energy uJ,
times nanoseconds of the monotonic clock. What is not known is None.
"""

import sys
from functools import lru_cache
from typing import NamedTuple

from aio.governors import DeviceSample
from aio.runtime.records import InferenceRecord

COLD, WARMUP, STEADY = "cold", "warmup", "steady"


class Sample(NamedTuple):
    """A call of a subject.

    `phase` is cold (the first call after loading), warmup (until clocks and policy have settled
    at a point and after another subject's turn) or steady. `queue_ms` is how long after its time
    a call of a fixed rate began, `idle_ms` the gap since the call before it in the same turn ended.
    `throttle` names what limits the clock, is empty when nothing does. `energy_uj` is a counter.
    `level` is the sparsest one planned, `levels` are those used, both None for other engines.
    """

    point: int
    subject: str
    phase: str
    turn: int
    time_ns: int
    latency_ms: float
    queue_ms: float | None
    idle_ms: float | None
    cpu_khz: int | None
    clock_age_ms: float | None
    gpu_khz: int | None
    temperature_mc: int | None
    throttle: str | None
    quota_throttled_us: int | None
    power_mw: float | None
    energy_uj: int | None
    level: int | None
    levels: tuple[int, ...] | None
    plan: str | None
    replans: int | None
    ratio: float | None
    predicted_ms: float | None

    @property
    def response_ms(self) -> float:
        """Return the time from when the call was due to its answer."""
        return self.latency_ms + (self.queue_ms or 0.0)


class Timing(NamedTuple):
    """Where and when a call was made; see Sample."""

    point: int
    subject: str
    phase: str
    turn: int
    time_ns: int
    latency_ms: float
    queue_ms: float | None
    idle_ms: float | None


def stamped(timing: Timing, device: DeviceSample, record: InferenceRecord | None) -> Sample:
    """Return a sample of a call: when it was, what the sensors said, what the runtime chose."""
    clock, power = device.clock, _total_rail(device)
    age_ms = (timing.time_ns - clock.time_ns) / 1e6
    return Sample(
        *timing,
        cpu_khz=clock.cpu_khz,
        clock_age_ms=None if clock.cpu_khz is None else max(age_ms, 0.0),
        gpu_khz=next((gpu.cur_freq_khz for gpu in device.gpus), None),
        temperature_mc=_hottest(device),
        throttle=throttle_reasons(device),
        quota_throttled_us=None if device.quota is None else device.quota.throttled_us,
        power_mw=power[0],
        energy_uj=power[1],
        level=None if record is None else record.level,
        levels=None if record is None else _shared(record.levels),
        plan=None if record is None else sys.intern(str(record.plan)),
        replans=None if record is None else record.replans,
        ratio=None if record is None else record.ratio,
        predicted_ms=None if record is None else record.predicted_ms,
    )


@lru_cache(maxsize=4096)
def _shared(levels: tuple[int, ...]) -> tuple[int, ...]:
    """Return one and the same tuple for equal ones: a long profile has millions of samples."""
    return levels


def throttle_reasons(device: DeviceSample) -> str | None:
    """Return what limits clocks now, with commas between; None if nothing could tell."""
    reasons: list[str] = []
    known = False
    if device.thermal is not None and device.thermal.throttled is not None:
        known = True
        reasons += [f"heat:{item.kind}" for item in device.thermal.cooling if item.cur_state]
    for gpu in device.gpus:
        known = known or gpu.throttle_reasons is not None
        reasons += [f"gpu:{reason}" for reason in gpu.throttle_reasons or ()]
    for policy in device.clock.policies:
        known = True
        top = policy.max_freq_khz
        if top and policy.bios_limit_khz and policy.bios_limit_khz < top:
            reasons.append("bios_limit")
        if top and policy.scaling_max_freq_khz and policy.scaling_max_freq_khz < top:
            reasons.append("scaling_max_freq")
    return ",".join(dict.fromkeys(reasons)) if known else None


def _hottest(device: DeviceSample) -> int | None:
    zones = () if device.thermal is None else device.thermal.zones
    return max((z.temperature_mc for z in zones if z.temperature_mc is not None), default=None)


def _total_rail(device: DeviceSample) -> tuple[float | None, int | None]:
    """Return power in mW and the energy counter in uJ of the rail that stands for the device."""
    energy = device.energy
    if energy is None or energy.total is None:
        return None, None
    rail = next((rail for rail in energy.rails if rail.name == energy.total), None)
    return (None, None) if rail is None else (rail.power_mw, rail.energy_uj)
