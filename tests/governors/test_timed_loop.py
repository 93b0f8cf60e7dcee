# SPDX-License-Identifier: Apache-2.0
"""The timed loop's filter: no single disturbed measurement is seen, a real change soon is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.governors.base import Status
from aio.governors.drivers import timed_loop
from aio.governors.drivers.timed_loop import TimedLoopDriver

PERIOD_NS = 20_000_000


class FakeTime:
    """A monotonic clock that moves only when told."""

    def __init__(self) -> None:
        self.now_ns = 10**12

    def monotonic_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(timed_loop, "time", fake)
    return fake


def replay(*values: float) -> Callable[[], float]:
    remaining = iter(values)
    return lambda: next(remaining)


def test_value_and_maximum(clock: FakeTime) -> None:
    driver = TimedLoopDriver(replay(2e6, 2.1e6, 2.2e6, 3e6, 3e6))
    first = driver.read()
    assert (first.cpu_khz, first.max_khz, first.error) == (2_100_000, 2_100_000, None)
    for _ in range(2):
        clock.now_ns += PERIOD_NS
        last = driver.read()
    assert (last.cpu_khz, last.max_khz) == (2_200_000, 2_200_000)


def test_maximum_outlives_a_drop(clock: FakeTime) -> None:
    driver = TimedLoopDriver(replay(*[3e6] * 3, *[1e6] * 3))
    driver.read()
    clock.now_ns += timed_loop.WINDOW_NS + 1
    sample = driver.read()
    assert (sample.cpu_khz, sample.max_khz) == (1_000_000, 3_000_000)


@given(position=st.integers(0, 20), disturbed=st.floats(1.0, 2e6))
def test_one_disturbed_measurement_is_never_seen(position: int, disturbed: float) -> None:
    values = itertools.chain([2e6] * position, [disturbed], itertools.repeat(2e6))
    driver = TimedLoopDriver(lambda: next(values))
    assert {driver.read().cpu_khz for _ in range(19)} == {2_000_000}


def test_real_drop_is_seen_within_three_periods(clock: FakeTime) -> None:
    driver = TimedLoopDriver(replay(*[3e6] * 12, *[1e6] * 3))
    for _ in range(10):
        assert driver.read().cpu_khz == 3_000_000
        clock.now_ns += PERIOD_NS
    seen = []
    for _ in range(3):
        seen.append(driver.read().cpu_khz)
        clock.now_ns += PERIOD_NS
    assert seen == [3_000_000, 3_000_000, 1_000_000]


def test_after_a_pause_only_new_measurements_count(clock: FakeTime) -> None:
    driver = TimedLoopDriver(replay(*[3e6] * 5, *[1e6] * 3))
    for _ in range(3):
        driver.read()
    clock.now_ns += 250_000_000
    assert driver.read().cpu_khz == 1_000_000


@pytest.mark.parametrize("value", [0.0, -1.0, 0.2, math.nan, math.inf, -math.inf])
def test_impossible_measurement_is_an_error(value: float) -> None:
    driver = TimedLoopDriver(lambda: value)
    sample = driver.read()
    assert sample.cpu_khz is None
    assert sample.error == f"measured {value} kHz, which is no clock"
    assert driver.probe().status is Status.ERROR


@pytest.mark.parametrize("error", [OSError("no timer"), ValueError("bad"), RuntimeError("oops")])
def test_failing_measurement_is_an_error_and_is_tried_again(error: Exception) -> None:
    failing = True

    def measure() -> float:
        if failing:
            raise error
        return 2e6

    driver = TimedLoopDriver(measure)
    assert driver.read().error == f"measuring failed: {error}"
    assert str(error) in driver.probe().reason
    failing = False
    assert driver.read().cpu_khz == 2_000_000


def test_probe_and_close() -> None:
    driver = TimedLoopDriver(lambda: 2.5e6)
    capability = driver.probe()
    assert capability.status is Status.VALUE
    assert capability.reason == "effective clock of this core, about 2500 MHz now"
    driver.close()
    assert driver.read().error == "the driver is closed"
