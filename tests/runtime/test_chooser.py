# SPDX-License-Identifier: Apache-2.0
"""The chooser with real sampler and policies, on a clock that the test sets."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import pytest

from aio.governors import (
    Capability,
    ClockSample,
    DeviceSample,
    FixedPolicy,
    LevelPolicy,
    Sampler,
    Status,
)
from aio.runtime.chooser import DEFAULT_SLACK, LevelChooser
from aio.runtime.latency_model import LatencyModel

MAX_KHZ = 2_000_000
# 10, 5, 2 and 1 ms at full clock.
MODEL = LatencyModel((10.0, 5.0, 2.0, 1.0), (2e7, 1e7, 4e6, 2e6), (0.0,) * 4)
ALL = (0, 1, 2, 3)


class Clock:
    """A source whose clock is an attribute."""

    name = "fake"

    def __init__(self, khz: int | None = MAX_KHZ) -> None:
        self.khz = khz
        self.reads = 0

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        return (Capability(self.name, "cpu_clock", Status.VALUE, "fake"),)

    def read(self) -> DeviceSample:
        self.reads += 1
        error = "gone" if self.khz is None else None
        now_ns = time.monotonic_ns()
        clock = ClockSample(now_ns, self.khz, MAX_KHZ, self.name, (), error)
        return DeviceSample(now_ns, clock)

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sampler(clock: Clock) -> Iterator[Sampler]:
    # Never a sample in the background: the test says when.
    with Sampler(clock, period_s=1000.0, idle_period_s=1000.0) as running:
        yield running


def resample(sampler: Sampler) -> None:
    time.sleep(0.002)
    sampler.fresh(0.001)


def test_level_follows_the_clock(sampler: Sampler, clock: Clock) -> None:
    chooser = LevelChooser(sampler, MODEL, LevelPolicy(dwell_s=0.0), ALL, 11.0)
    for khz, level, predicted_ms in (
        (MAX_KHZ, 0, 10.0),
        (1_000_000, 1, 10.0),
        (400_000, 2, 10.0),
        (200_000, 3, 10.0),
        (50_000, 3, 40.0),
        (MAX_KHZ, 0, 10.0),
    ):
        clock.khz = khz
        resample(sampler)
        choice = chooser.for_target(time.monotonic_ns())
        assert (choice.level, choice.clock.cpu_khz) == (level, khz)
        assert choice.predicted_ms == pytest.approx(predicted_ms)
        assert chooser.predict() == MODEL.predict(khz)
    assert [decision.level for decision in chooser.history()] == [0, 1, 2, 3, 0]


def test_the_policy_is_asked_once_per_sample(sampler: Sampler, clock: Clock) -> None:
    chooser = LevelChooser(sampler, MODEL, LevelPolicy(), ALL, 11.0)
    first = chooser.for_target(time.monotonic_ns())
    assert chooser.for_target(time.monotonic_ns()) is first
    resample(sampler)
    assert chooser.for_target(time.monotonic_ns()) is not first
    chooser.target_ms = 6.0
    assert chooser.for_target(time.monotonic_ns()).level == 1
    chooser.allowed = (3,)
    assert chooser.for_target(time.monotonic_ns()).level == 3


def test_an_old_sample_is_read_anew(sampler: Sampler, clock: Clock) -> None:
    chooser = LevelChooser(sampler, MODEL, LevelPolicy(), ALL, 11.0)
    reads = clock.reads
    chooser.for_target(time.monotonic_ns())
    assert clock.reads == reads
    clock.khz = 1_000_000
    time.sleep(0.07)
    assert chooser.for_target(time.monotonic_ns()).level == 1
    assert clock.reads == reads + 1


def test_default_target_keeps_the_latency_of_full_clock(sampler: Sampler, clock: Clock) -> None:
    clock.khz = 500_000
    resample(sampler)
    chooser = LevelChooser(sampler, MODEL, LevelPolicy(), (1, 2), None)
    assert chooser.target_ms == chooser.default_target_ms == pytest.approx(DEFAULT_SLACK * 10)
    assert chooser.for_target(time.monotonic_ns()).level == 2


def test_budget_of_one_call_leaves_the_policy_alone(sampler: Sampler) -> None:
    chooser = LevelChooser(sampler, MODEL, LevelPolicy(), ALL, 11.0)
    now_ns = time.monotonic_ns()
    assert chooser.for_target(now_ns).level == 0
    assert chooser.for_budget(2.5, now_ns).level == 2
    assert chooser.for_budget(100.0, now_ns).level == 0
    missed = chooser.for_budget(0.1, now_ns)
    assert missed.level == 3
    assert missed.reason == "budget 0.10 ms: level 3 is the sparsest allowed and takes 1.00 ms"
    assert chooser.for_budget(-5.0, now_ns).level == 3
    assert chooser.for_target(now_ns).level == 0
    assert len(chooser.history()) == 1


def test_budget_respects_the_accuracy_floor(sampler: Sampler) -> None:
    chooser = LevelChooser(sampler, MODEL, LevelPolicy(), (0, 1), 11.0)
    assert chooser.for_budget(2.5, time.monotonic_ns()).level == 1


def test_pinned_levels_are_what_was_asked_for(sampler: Sampler) -> None:
    chooser = LevelChooser(sampler, MODEL, LevelPolicy(), (0,), 11.0)
    choice = chooser.pinned(3, time.monotonic_ns())
    assert (choice.level, choice.predicted_ms) == (3, 1.0)
    assert choice.reason == "level given by the caller"


def test_fixed_policy(sampler: Sampler) -> None:
    chooser = LevelChooser(sampler, MODEL, FixedPolicy(2), (2,), None)
    assert chooser.for_target(time.monotonic_ns()).level == 2
    assert chooser.target_ms == pytest.approx(11.0)


def test_unknown_clock_means_the_calibrated_latency(sampler: Sampler, clock: Clock) -> None:
    chooser = LevelChooser(sampler, MODEL, LevelPolicy(), ALL, 6.0)
    clock.khz = None
    resample(sampler)
    choice = chooser.for_target(time.monotonic_ns())
    assert (choice.level, choice.predicted_ms) == (1, 5.0)
    assert "unknown" in choice.reason


def test_without_a_calibration_the_densest_level_is_used(sampler: Sampler) -> None:
    chooser = LevelChooser(sampler, None, LevelPolicy(), (1, 2), None)
    now_ns = time.monotonic_ns()
    for choice in (chooser.for_target(now_ns), chooser.for_budget(0.1, now_ns)):
        assert (choice.level, choice.predicted_ms, choice.target_ms) == (1, None, math.inf)
        assert choice.reason.startswith("not calibrated")
    assert chooser.pinned(2, now_ns).predicted_ms is None
    assert chooser.predict() is None
