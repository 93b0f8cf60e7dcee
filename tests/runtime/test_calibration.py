# SPDX-License-Identifier: Apache-2.0
"""Calibration of a machine that sleeps for the time each level takes."""

from __future__ import annotations

import time

import pytest

from aio.governors import ClockSample
from aio.runtime.calibration import LAYER_ROUNDS, MIN_ROUNDS, calibrate

LATENCY_S = (0.004, 0.002, 0.001)


class Machine:
    """Sleeps for each level's time, and counts."""

    def __init__(self, khz: int | None = 1_000_000) -> None:
        self.khz = khz
        self.runs: list[int] = []
        self.profiled: list[int] = []

    def run_level(self, level: int) -> None:
        self.runs.append(level)
        time.sleep(LATENCY_S[level])

    def layer_times(self, level: int) -> list[float]:
        self.profiled.append(level)
        return [1.0 + level, 3.0]

    def read_clock(self) -> ClockSample:
        return ClockSample(time.monotonic_ns(), self.khz, None, "fake")


def test_measures_every_level() -> None:
    machine = Machine()
    model = calibrate(machine.run_level, machine.layer_times, 3, machine.read_clock, budget_s=0.05)
    for predicted_ms, latency_s in zip(model.predict(1_000_000), LATENCY_S, strict=True):
        assert latency_s * 1e3 <= predicted_ms < latency_s * 1e3 + 20
    assert model.predict(500_000)[0] == pytest.approx(2 * model.predict(1_000_000)[0])
    assert all(machine.runs.count(level) >= 1 + 2 * MIN_ROUNDS for level in range(3))


def test_rounds_are_in_random_order_and_every_level_runs_twice() -> None:
    machine = Machine()
    calibrate(machine.run_level, machine.layer_times, 3, machine.read_clock, budget_s=0.0)
    assert machine.runs[:3] == [0, 1, 2]
    rounds = [machine.runs[i : i + 7] for i in range(3, len(machine.runs), 7)]
    assert len(rounds) == MIN_ROUNDS
    orders = set()
    for wake, *timed in rounds:
        assert timed[::2] == timed[1::2]
        assert sorted(timed[::2]) == [0, 1, 2]
        assert wake == timed[0]
        orders.add(tuple(timed))
    assert len(orders) > 1


def test_others_may_run_after_two_inferences_and_no_more() -> None:
    machine = Machine()
    runs, most = 0, 0

    def offer() -> None:
        nonlocal runs, most
        runs, most = len(machine.runs), max(most, len(machine.runs) - runs)

    def read_clock() -> ClockSample:
        assert len(machine.runs) == runs  # reading may take as long as an inference
        return machine.read_clock()

    calibrate(machine.run_level, machine.layer_times, 3, read_clock, budget_s=0.0, offer=offer)
    assert most == 2


def test_a_stall_at_a_fixed_time_of_a_round_hits_no_level_in_particular() -> None:
    runs = 0
    levels = 5

    def run_level(level: int) -> None:
        nonlocal runs
        runs += 1
        in_round = (runs - levels - 1) % (1 + 2 * levels)
        time.sleep(0.001 + (0.02 if runs > levels and in_round in {5, 6} else 0.0))

    machine = Machine()
    model = calibrate(run_level, machine.layer_times, levels, machine.read_clock, budget_s=0.8)
    assert max(model.predict(1_000_000)) < 10


def test_large_models_get_less_rounds_than_a_median_wants() -> None:
    machine = Machine()
    calibrate(machine.run_level, machine.layer_times, 3, machine.read_clock, max_s=0.0)
    assert len(machine.runs) == 3 + 1 + 2 * 3
    assert machine.profiled == [0, 1, 2]


def test_works_without_a_clock() -> None:
    machine = Machine(khz=None)
    model = calibrate(machine.run_level, machine.layer_times, 3, machine.read_clock, budget_s=0.0)
    assert model.cycles is None
    assert model.predict(None)[0] >= LATENCY_S[0] * 1e3


def test_shares_of_layers_are_medians_of_several_rounds() -> None:
    machine = Machine()
    calls = 0

    def layer_times(level: int) -> list[float]:
        nonlocal calls
        calls += 1
        disturbed = calls % 3 == 0
        return [900.0 if disturbed else 1.0 + level, 3.0]

    model = calibrate(machine.run_level, layer_times, 3, machine.read_clock, budget_s=0.0)
    assert calls == 3 * LAYER_ROUNDS
    assert model.layer_shares[0] == pytest.approx((0.25, 0.75))
    assert model.layer_shares[1] == pytest.approx((0.4, 0.6))


@pytest.mark.parametrize(("times", "shares"), [([0, 0], (1.0, 1.0)), ([], ())])
def test_layers_that_take_no_time_share_what_there_is(
    times: list[float], shares: tuple[float, ...]
) -> None:
    machine = Machine()
    model = calibrate(machine.run_level, lambda _: times, 1, machine.read_clock, budget_s=0.0)
    assert model.layer_shares == (shares,)
