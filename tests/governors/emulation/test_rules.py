# SPDX-License-Identifier: Apache-2.0
"""The kernel's rules against cases worked out by hand. Loads are of 10 ms windows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.governors.devices import Ladder, load_device
from aio.governors.emulation.rules import KernelGovernor, Window, governor_names, make_governor
from aio.governors.emulation.rules.demand import Conservative, Ondemand
from aio.governors.emulation.rules.static import Performance, Powersave, Userspace
from aio.governors.emulation.rules.utilisation import HALF_LIFE_NS, PstatePowersave, Schedutil

MS = 1_000_000
PI = Ladder(tuple(range(600000, 1500001, 100000)))


def window(
    load: float = 1.0, cur: int = 600000, allowed: Ladder = PI, elapsed_ns: int = 10 * MS
) -> Window:
    return Window(elapsed_ns, round(load * elapsed_ns), cur, allowed, PI)


def test_load_is_whole_percent() -> None:
    assert window(0.999).load == 99
    assert window(elapsed_ns=0).load == 0
    assert Window(10, 20, 1, PI, PI).load == 100


def test_static_governors() -> None:
    capped = PI.capped(1000000)
    assert Performance().start(window()) == 1500000
    assert Performance().limit(window(allowed=capped)) == 1000000
    assert Powersave().start(window(cur=1500000)) == 600000
    assert Performance().update(window(cur=700000)) == 700000  # nothing ever happens between


def test_userspace_remembers_the_wish() -> None:
    governor = Userspace()
    assert governor.start(window(cur=1500000)) == 1500000
    assert governor.set_speed(1150000, window()) == 1200000  # relation L
    assert governor.limit(window(cur=1200000, allowed=PI.capped(900000))) == 900000
    assert governor.limit(window(cur=900000)) == 1200000


@pytest.mark.parametrize(
    ("load", "khz"),
    [
        (0.81, 1500000),  # above the threshold: the maximum
        (0.80, 1300000),  # 600 + 0.80 * 900 = 1320
        (0.50, 1000000),  # 1050 is as far from 1000 as from 1100: the lower
        (0.0, 600000),
    ],
)
def test_ondemand(load: float, khz: int) -> None:
    assert Ondemand().update(window(load)) == khz


def test_ondemand_with_fine_idle_time_has_a_higher_threshold() -> None:
    assert Ondemand(up_threshold=95).update(window(0.90)) == 1400000  # 1410


def test_ondemand_stays_longer_at_the_maximum() -> None:
    governor = Ondemand(sampling_down_factor=3)
    assert (governor.update(window(1.0)), governor.period_ns) == (1500000, 30 * MS)
    assert (governor.update(window(0.0, 1500000)), governor.period_ns) == (600000, 10 * MS)


def test_a_long_sleep_keeps_the_load_before_it_once() -> None:
    governor = Ondemand()
    assert governor.update(window(0.6)) == 1100000  # 1140
    assert governor.update(window(0.0, elapsed_ns=50 * MS)) == 1100000
    assert governor.update(window(0.0, elapsed_ns=50 * MS)) == 600000


def test_conservative_steps_add_up() -> None:
    governor = Conservative()  # steps of 5 % of 1500 = 75 MHz
    khz = governor.start(window(cur=600000))
    seen = []
    for _ in range(5):
        khz = governor.update(window(1.0, khz))
        seen.append(khz)
    # Asked for 675, 750, 825, 900, 975; the highest operating point at or below.
    assert seen == [600000, 700000, 800000, 900000, 900000]
    assert governor.update(window(0.5, khz)) == 900000  # between the thresholds: stay
    assert governor.update(window(0.1, khz)) == 900000  # 900, lowest at or above
    assert governor.update(window(0.1, khz)) == 900000  # 825
    assert governor.update(window(0.1, khz)) == 800000  # 750


def test_conservative_ends_at_the_limits() -> None:
    governor = Conservative(freq_step=100)
    governor.start(window(cur=600000))
    assert governor.update(window(1.0)) == 1500000
    assert governor.update(window(1.0, 1500000)) == 1500000
    assert governor.update(window(0.0, 1500000)) == 600000
    assert governor.update(window(0.0)) == 600000


def test_conservative_counts_idle_periods() -> None:
    governor = Conservative(freq_step=10, sampling_down_factor=2)  # 150 MHz
    governor.start(window(cur=1500000))
    assert governor.update(window(0.0, 1500000)) == 1500000  # the first of two
    # 40 ms idle are 4 periods: 1500 - 600 = 900, then one step down: 750.
    assert governor.update(window(0.0, 1500000, elapsed_ns=40 * MS)) == 800000


def test_conservative_begins_anew_when_a_limit_passes_it() -> None:
    governor = Conservative()
    governor.start(window(cur=1500000))
    capped = PI.capped(1000000)
    assert governor.update(window(0.5, 1000000, allowed=capped)) == 1000000
    assert governor.update(window(0.0, 1000000, allowed=capped)) == 1000000  # 950


def test_utilisation_has_a_half_life_of_32_ms() -> None:
    governor = Schedutil()
    governor.account(HALF_LIFE_NS, busy=True, speed=1.0)
    assert governor.utilisation == pytest.approx(0.5)
    governor.account(HALF_LIFE_NS, busy=False, speed=1.0)
    assert governor.utilisation == pytest.approx(0.25)
    slow = Schedutil()
    slow.account(2 * HALF_LIFE_NS, busy=True, speed=0.5)
    assert slow.utilisation == pytest.approx(0.5)  # ages with work


@pytest.mark.parametrize(
    ("utilisation", "khz"),
    [
        (0.0, 600000),
        (0.5, 1000000),  # 937.5
        (0.8, 1500000),
        (0.79, 1500000),  # 1481
        (0.7, 1400000),  # 1312.5
    ],
)
def test_schedutil(utilisation: float, khz: int) -> None:
    governor = Schedutil()
    governor.utilisation = utilisation
    assert governor.update(window()) == khz


def test_pstate_powersave_falls_half_way() -> None:
    governor = PstatePowersave()
    assert governor.update(window(0.5)) == 1000000  # 937.5
    assert governor.update(window(0.0, 1500000)) == 800000  # 750


def test_names() -> None:
    pi, laptop = load_device("raspberry-pi-4"), load_device("laptop-intel-pstate")
    assert [make_governor(name, pi).name for name in governor_names()] == list(governor_names())
    assert isinstance(make_governor("powersave", laptop), PstatePowersave)
    with pytest.raises(ValueError, match="unknown governor 'turbo'; known governors: performance"):
        make_governor("turbo", pi)


@given(
    name=st.sampled_from(governor_names()),
    loads=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 100 * MS)), max_size=30),
    caps=st.lists(st.integers(500000, 1600000), min_size=30, max_size=30),
)
def test_no_governor_leaves_the_limits(
    name: str, loads: list[tuple[float, int]], caps: list[int]
) -> None:
    governor = make_governor(name, load_device("raspberry-pi-4"))
    khz = governor.start(window(cur=1500000))
    for (load, elapsed_ns), cap in zip(loads, caps, strict=False):
        allowed = PI.capped(cap)
        khz = governor.limit(window(load, khz, allowed, elapsed_ns))
        assert khz in allowed.freqs_khz
        governor.account(elapsed_ns, busy=load > 0.5, speed=khz / PI.max_khz)
        khz = governor.update(window(load, khz, allowed, elapsed_ns))
        assert khz in allowed.freqs_khz


@given(loads=st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_more_load_never_lowers_the_clock(loads: list[float]) -> None:
    low, high = sorted(loads)
    assert Ondemand().update(window(low)) <= Ondemand().update(window(high))
    assert PstatePowersave().update(window(low)) <= PstatePowersave().update(window(high))


def test_the_base_does_nothing() -> None:
    governor = KernelGovernor()
    assert governor.period_ns is None
    assert governor.start(window(cur=650000)) == 600000
    assert governor.update(window(cur=700000)) == 700000
