# SPDX-License-Identifier: Apache-2.0
"""The virtual device: times worked out by hand, what sensors show, and properties."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio.governors.base import PowerSource
from aio.governors.devices import device_names, ladder, load_device
from aio.governors.emulation import (
    Change,
    Event,
    ThermalModel,
    Trace,
    VirtualDevice,
    governor_names,
    trace_names,
)
from aio.governors.emulation.rules.demand import Ondemand
from aio.governors.emulation.virtual.thermal import ThermalState

MS = 1_000_000
S = 1_000_000_000


def pi(**options: Any) -> VirtualDevice:
    return VirtualDevice("raspberry-pi-4", **options)


def at(seconds: float, **change: Any) -> Event:
    return Event(round(seconds * S), Change(**change))


def test_work_takes_as_long_as_the_clock_makes_it() -> None:
    device = pi(governor="performance")
    assert device.run(15e6) == 10 * MS  # 15 M cycles at 1.5 GHz
    assert device.run(15e6, fixed_ns=3 * MS) == 13 * MS
    device = pi(governor="powersave")
    assert device.run(15e6, fixed_ns=3 * MS) == 28 * MS  # 600 MHz


def test_time_spent_busy() -> None:
    device = pi(governor=Ondemand())
    device.occupy(25 * MS)
    assert (device.now_ns, device.shown_khz) == (25 * MS, 1500000)
    with pytest.raises(ValueError, match="can't be busy"):
        device.occupy(-1)


def test_two_looks_at_the_same_moment() -> None:
    heat = ThermalState(ThermalModel(), 80.0, 5, 0)
    heat.add(100.0)
    assert not heat.look(0)
    assert heat.temperature_c == 43.0


def test_userspace_follows_set_speed() -> None:
    device = pi(governor="userspace")
    assert device.shown_khz == 1500000
    device.set_speed(0.65)  # 975 MHz: the operating point below
    assert device.shown_khz == 900000
    assert device.run(9e6) == 10 * MS
    with pytest.raises(ValueError, match="more than 0"):
        device.set_speed(0.0)
    with pytest.raises(ValueError, match="only userspace"):
        pi(governor="performance").set_speed(0.5)


def test_a_change_in_the_middle_of_work() -> None:
    trace = Trace("half", (at(0, speed=1.0), at(0.010, speed=0.4)))
    device = pi(trace=trace)
    assert device.governor == "userspace"
    # 10 ms at 1500 MHz do 15 M of 30 M cycles and half of the fixed time; the rest is at 600 MHz.
    assert device.run(30e6) == 10 * MS + 25 * MS
    device = pi(trace=Trace("half", (at(0.012, speed=0.4),)), governor="userspace")
    assert device.run(30e6, fixed_ns=4 * MS) == 12 * MS + 27 * MS


def test_a_hidden_cap_slows_down_and_does_not_show() -> None:
    device = pi(governor="performance", hidden_cap=0.4)
    clean = pi(governor="performance")
    assert device.run(6e6) == 10 * MS
    clean.sleep(10 * MS)
    assert device.actual_khz == 600000
    shown, expected = device.sample(), clean.sample()
    assert shown.clock == expected.clock
    assert shown.thermal == expected.thermal
    assert shown.quota is None


def test_a_visible_cap_shows() -> None:
    device = pi(governor="performance")
    device.apply(Change(max_speed=0.7))
    policy = device.sample().clock.policies[0]
    assert (policy.scaling_max_freq_khz, policy.cur_freq_khz) == (1000000, 1000000)
    assert policy.max_freq_khz == 1500000
    device.apply(Change(max_speed=math.inf))
    assert device.shown_khz == 1500000


def test_a_thermal_cap_shows_as_cooling_state() -> None:
    device = pi(governor="performance")
    device.apply(Change(thermal_cap=0.8))
    sample = device.sample()
    assert sample.thermal is not None
    assert sample.thermal.throttled
    assert sample.thermal.cooling[0].cur_state == 3
    assert sample.clock.policies[0].scaling_max_freq_khz == 1200000


def test_battery_limits_a_laptop() -> None:
    device = VirtualDevice("laptop-amd-pstate", governor="performance", battery_limit=0.5)
    power = device.sample().power
    assert power is not None
    assert (power.source, power.battery) == (PowerSource.AC, 0.8)
    device.apply(Change(power=PowerSource.BATTERY))
    assert device.shown_khz == 2300000
    power = device.sample().power
    assert power is not None
    assert power.source is PowerSource.BATTERY


def test_a_board_on_a_power_bank() -> None:
    device = pi(governor="performance", battery_limit=0.5)
    assert device.sample().power is None
    for source in (PowerSource.BATTERY, PowerSource.AC):
        device.apply(Change(power=source))
        power = device.sample().power
        assert power is not None
        assert (power.source, power.battery) == (source, None)
    assert device.shown_khz == 1500000


def test_a_board_without_sensors_has_no_samples() -> None:
    sample = pi().sample()
    assert (sample.power, sample.energy, sample.quota) == (None, None, None)
    jetson = VirtualDevice("jetson-nano").sample()
    assert jetson.energy is not None
    assert jetson.energy.total == "POM_5V_IN"


def test_ondemand_jumps_at_its_first_sample() -> None:
    device = pi(governor=Ondemand())
    assert device.shown_khz == 600000
    # Busy from 0 on: 10 ms at 600 MHz, then the maximum.
    assert device.run(6e6 + 15e6) == 20 * MS
    assert device.shown_khz == 1500000
    device.sleep(40 * MS)  # sampled at 42 ms: the load before the long idle time counts once
    assert device.shown_khz == 1500000
    device.sleep(40 * MS)
    assert device.shown_khz == 600000


def test_schedutil_climbs() -> None:
    device = VirtualDevice("jetson-nano", governor="schedutil")
    assert device.shown_khz == 102000
    seen = []
    for _ in range(60):
        device.run(device.actual_khz * 4)  # 4 ms of work
        seen.append(device.shown_khz)
    assert seen == sorted(seen)
    assert seen[-1] == 1479000
    assert len(set(seen)) > 5  # a ramp, not a jump


def test_schedutil_starts_slow_after_a_gap() -> None:
    device = VirtualDevice("jetson-nano", governor="schedutil")
    for _ in range(100):
        device.run(device.actual_khz * 4)
    busy = device.shown_khz
    device.sleep(500 * MS)
    assert device.shown_khz == 102000
    assert device.run(1.479e6 * 10) > 10 * MS
    assert busy == 1479000


def test_quota_stalls() -> None:
    device = pi(governor="performance", quota_cpus=0.3)
    # 30 ms of every 100: 70 ms of work are 30 + 30 + 10, with two stalls of 70 ms.
    assert device.run(70 * 1.5e6) == 210 * MS
    quota = device.sample().quota
    assert quota is not None
    assert (quota.quota_cpus, quota.period_us, quota.throttled_us) == (0.3, 100_000, 140_000)


def test_a_fine_period_spreads_the_stalls() -> None:
    device = pi(governor="performance", quota_cpus=0.5, quota_period_us=5000)
    assert device.run(10 * 1.5e6) == 17_500_000  # 4 budgets of 2.5 ms, 3 stalls of 2.5 ms


def test_threads_share_the_quota() -> None:
    device = pi(governor="performance", quota_cpus=1.0, threads=4)
    assert device.run(50 * 1.5e6) == 125 * MS  # 4 threads use 100 ms up in 25 ms
    free = pi(governor="performance", quota_cpus=4.0, threads=4)
    assert free.run(500 * 1.5e6) == 500 * MS


def test_idle_time_refills_the_quota() -> None:
    device = pi(governor="performance", quota_cpus=0.3)
    assert device.run(30 * 1.5e6) == 30 * MS
    device.sleep(70 * MS)
    assert device.run(30 * 1.5e6) == 30 * MS


def test_a_quota_comes_and_goes_with_the_trace() -> None:
    trace = Trace("q", (at(0, quota_cpus=0.1), at(0.05, quota_cpus=math.inf)))
    device = pi(governor="performance", trace=trace)
    # 10 ms of work, then a stall to the end of the period at 100 ms, though the quota ends before.
    assert device.run(20 * 1.5e6) == 110 * MS
    assert device.sample().quota is None


def test_heat_throttles_in_a_staircase() -> None:
    device = pi(governor="performance", thermal=ThermalModel(full_w=10.0))
    clocks, states = [], []
    for _ in range(1500):
        device.run(device.actual_khz * 200)
        clocks.append(device.shown_khz)
        thermal = device.sample().thermal
        assert thermal is not None
        states.append(thermal.cooling[0].cur_state or 0)
    assert clocks[0] == 1500000
    steps = [b - a for a, b in itertools.pairwise(states)]
    assert set(steps) <= {-1, 0, 1}
    assert 1 in steps
    assert 600000 <= clocks[-1] < 1500000
    thermal = device.sample().thermal
    assert thermal is not None
    temperature_mc = thermal.zones[0].temperature_mc
    assert temperature_mc is not None
    assert 70_000 < temperature_mc < 90_000


def test_temperature_follows_the_equation() -> None:
    model = ThermalModel(trip_c=500.0)
    device = pi(governor="performance", thermal=model)
    device.run(1.5e6 * 90_000)  # one time constant R C = 90 s at full power
    start_c = 25.0 + 2.0 * 9.0
    final_c = 25.0 + 10.0 * 9.0
    expected = final_c + (start_c - final_c) * math.exp(-1.0)
    thermal = device.sample().thermal
    assert thermal is not None
    assert thermal.zones[0].temperature_mc == pytest.approx(expected * 1000, rel=1e-3)
    assert device.energy_j == pytest.approx(900.0)


def test_a_cool_device_cools_down_again() -> None:
    trace = Trace("winter", (at(60, ambient_c=-20.0),))
    device = pi(governor="performance", thermal=ThermalModel(full_w=12.0), trace=trace)
    device.run(1.5e6 * 60_000)
    device.sleep(300 * S)
    thermal = device.sample().thermal
    assert thermal is not None
    assert not thermal.throttled
    assert device.shown_khz == 1500000


def test_offline_cpus() -> None:
    trace = Trace("off", (at(0.01, offline_cpus=(2, 3)), at(0.04, offline_cpus=())))
    device = pi(governor="performance", threads=4, trace=trace)
    # 10 ms at full speed, 30 ms with 4 threads on 2 CPUs, the rest at full speed.
    assert device.run(30 * 1.5e6) == 45 * MS
    device.apply(Change(offline_cpus=(3,)))
    assert device.sample().clock.policies[0].cpus == (0, 1, 2)


def test_the_governor_can_change() -> None:
    device = pi(governor="performance")
    device.apply(Change(governor="powersave"))
    assert (device.governor, device.shown_khz) == ("powersave", 600000)
    policy = device.sample().clock.policies[0]
    assert policy.governor == "powersave"


def test_a_part_of_the_ladder() -> None:
    nano = load_device("jetson-nano")
    device = VirtualDevice(nano, governor="powersave", freqs=ladder(nano).span(3.0))
    assert device.shown_khz == 518400


def test_the_fastest_policy_is_used() -> None:
    phone = VirtualDevice("snapdragon-888", governor="performance")
    assert phone.policy.number == 7
    little = VirtualDevice("snapdragon-888", policy=0, governor="performance")
    assert little.shown_khz == 1804800


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 5}, "threads=5"),
        ({"noise": -1.0}, "noise=-1"),
        ({"hidden_cap": 0.0}, "hidden_cap=0"),
        ({"battery_limit": 2.0}, "battery_limit=2"),
        ({"policy": 3}, "no policy 3"),
        ({"quota_cpus": 0.0}, "at least 1000"),
        ({"quota_cpus": 1.0, "quota_period_us": 10}, "period of 10 us"),
        ({"trace": "steps", "governor": "userspacey"}, "unknown governor"),
        ({"trace": Trace("x", (at(0, speed=0.5),)), "governor": "ondemand"}, "use userspace"),
        ({"trace": Trace("x", (at(0, offline_cpus=(9,)),))}, "no CPU 9"),
        ({"trace": Trace("x", (at(0, offline_cpus=(0, 1, 2, 3)),))}, "would be offline"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pi(**options)


@pytest.mark.parametrize(("cycles", "fixed_ns"), [(-1, 0), (1, -1), (math.nan, 0), (math.inf, 0)])
def test_wrong_work(cycles: float, fixed_ns: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        pi().run(cycles, fixed_ns)
    with pytest.raises(ValueError, match="can't sleep"):
        pi().sleep(-1)


def test_a_thermal_model_must_be_possible() -> None:
    with pytest.raises(ValueError, match="not a thermal model"):
        ThermalModel(resistance_k_per_w=0.0)


WORK = st.lists(
    st.tuples(st.booleans(), st.floats(0, 5e7), st.floats(0, 1e7), st.integers(0, 100 * MS)),
    max_size=15,
)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(device_names()),
    governor=st.sampled_from(governor_names()),
    noise=st.floats(0, 0.3),
    quota=st.none() | st.floats(0.1, 2.0),
    work=WORK,
)
def test_time_adds_up_and_is_deterministic(
    name: str, governor: str, noise: float, quota: float | None, work: list[Any]
) -> None:
    def play() -> tuple[VirtualDevice, list[int]]:
        device = VirtualDevice(
            name, governor=governor, noise=noise, quota_cpus=quota, seed=7, thermal=ThermalModel()
        )
        durations = []
        for busy, cycles, fixed_ns, pause_ns in work:
            if busy:
                durations.append(device.run(cycles, fixed_ns))
            else:
                device.sleep(pause_ns)
                durations.append(pause_ns)
            assert device.shown_khz in device.hardware.freqs_khz
        return device, durations

    device, durations = play()
    assert device.now_ns == sum(durations)
    again, same = play()
    assert same == durations
    assert again.sample() == device.sample()


@settings(max_examples=60, deadline=None)
@given(cycles=st.floats(1, 1e8), more=st.floats(0, 1e8), fixed_ns=st.floats(0, 1e7))
def test_more_work_takes_longer(cycles: float, more: float, fixed_ns: float) -> None:
    for governor in governor_names():
        less = pi(governor=governor).run(cycles, fixed_ns)
        assert pi(governor=governor).run(cycles + more, fixed_ns) >= less


@settings(max_examples=30, deadline=None)
@given(parts=st.integers(1, 20))
def test_work_in_parts_takes_as_long(parts: int) -> None:
    whole = pi(governor="performance", trace="undervoltage").run(6e9)
    device = pi(governor="performance", trace="undervoltage")
    total = sum(device.run(6e9 / parts) for _ in range(parts))
    assert abs(total - whole) <= parts


def test_noise_has_the_spread_asked_for() -> None:
    device = pi(governor="performance", noise=0.05, seed=3)
    times = [device.run(1.5e6) / MS for _ in range(2000)]
    logs = [math.log(time) for time in times]
    mean = sum(logs) / len(logs)
    sigma = math.sqrt(sum((x - mean) ** 2 for x in logs) / len(logs))
    assert abs(mean) < 0.005
    assert 0.045 < sigma < 0.055
    assert device.run(1.5e6) != device.run(1.5e6)


def test_every_trace_names_its_governor_or_leaves_it() -> None:
    for name in trace_names():
        device = pi(trace=name)
        assert device.governor in {"userspace", "ondemand"}
