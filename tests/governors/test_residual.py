# SPDX-License-Identifier: Apache-2.0
"""What the residual learns: steps at once, drift slowly, and nothing from noise and nonsense."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.governors import Conditions, Residual
from aio.governors.residual import CATCH_UP_S, FASTEST, MAX_REFINEMENT, MIN_REFINEMENT, SLOWEST

KHZ = 1_500_000
BUSY = Conditions(KHZ, 0.0, 0)
PERIOD_NS = 20_000_000
MOST = math.exp(SLOWEST) * math.exp(MAX_REFINEMENT)
LEVELS = 3
# Of 20,000 inferences with 3 % noise, how many may pass for steps: hardly any at the present DRIFT
# and ALARM.
FALSE_STEPS = 2
PREDICTED_MS = (10.0, 6.0, 3.0)


class Device:
    """An executor whose times depart from the calibration by `truth`, with noise."""

    def __init__(self, sigma: float = 0.0, seed: int = 0) -> None:
        self.residual = Residual(LEVELS)
        self.truth = 1.0
        self.now_ns = 0
        self._sigma = sigma
        self._random = random.Random(seed)

    def run(self, conditions: Conditions = BUSY) -> bool:
        """Let one inference be observed; return whether a step was taken over."""
        self.now_ns += PERIOD_NS
        refined = self.residual.refine((1.0,) * LEVELS, conditions.cpu_khz)[conditions.level]
        noise = math.exp(self._random.gauss(0.0, self._sigma))
        return self.residual.observe(self.truth * noise / refined, conditions, self.now_ns)

    def expected(self, conditions: Conditions = BUSY) -> float:
        """Return measured over calibrated time as expected for the next inference."""
        refined = self.residual.refine((1.0,) * LEVELS, conditions.cpu_khz)[conditions.level]
        return self.residual.slowdown(conditions.gap_s) * refined


def settled(sigma: float = 0.0, seed: int = 0, inferences: int = 300) -> Device:
    device = Device(sigma, seed)
    for _ in range(inferences):
        device.run()
    return device


def test_nothing_is_known_at_first() -> None:
    residual = Residual(LEVELS)
    assert residual.residual == residual.slowdown(0.0) == residual.slowdown(math.inf) == 1.0
    assert residual.refine(PREDICTED_MS, KHZ) == residual.refine(PREDICTED_MS, None) == PREDICTED_MS
    assert residual.error() is None


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_hardly_ever_a_step_and_never_a_large_one(seed: int) -> None:
    device = Device(sigma=0.03, seed=seed)
    steps = 0
    for _ in range(20_000):
        steps += device.run()
        assert device.expected() == pytest.approx(1.0, abs=0.1)
    assert steps <= FALSE_STEPS
    assert device.expected() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("sigma", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("factor", [2.0, 0.5, 1.4, 5.0])
def test_a_step_is_taken_over_within_three_inferences(factor: float, sigma: float) -> None:
    for seed in range(20):
        device = settled(sigma, seed)
        device.truth = factor
        assert any(device.run() for _ in range(3)), f"seed {seed}"
        # A sensor's clock is believed: the residual does not go far below 1.
        reached = max(factor, math.exp(FASTEST))
        assert device.expected() == pytest.approx(reached, rel=0.1), f"seed {seed}"


@pytest.mark.parametrize("factor", [10.0, 0.1, 100.0])
def test_one_outlier_changes_nothing(factor: float) -> None:
    for seed in range(20):
        device = settled(0.03, seed)
        before = device.expected()
        device.truth = factor
        assert not device.run(), f"seed {seed}"
        assert device.expected() == before
        device.truth = 1.0
        for _ in range(100):
            device.run()
            assert device.expected() == pytest.approx(1.0, abs=0.1), f"seed {seed}"


def test_outliers_now_and_then_are_no_step() -> None:
    device = settled(0.01)
    for index in range(2000):
        device.truth = 10.0 if index % 50 == 0 else 1.0
        assert not device.run()
        assert device.expected() == pytest.approx(1.0, abs=0.05)


def test_noise_before_a_step_does_not_make_it_look_smaller() -> None:
    residual = Residual(LEVELS)
    feed(residual, [1.0] * 50)
    feed(residual, [1.06, 1.06, 2.0, 2.0])
    assert residual.residual == pytest.approx(2.0, rel=0.02)


def test_a_slow_drift_is_followed_without_a_step() -> None:
    device = settled(0.01)
    for _ in range(1000):
        device.truth *= 1.0005
        device.run()
    assert device.truth > 1.6
    assert device.expected() == pytest.approx(device.truth, rel=0.05)


def test_a_step_and_back() -> None:
    device = settled(0.03)
    for truth in (1.7, 1.0, 2.5, 1.0):
        device.truth = truth
        for _ in range(30):
            device.run()
        assert device.expected() == pytest.approx(truth, rel=0.05)


def stepped(factor: float) -> Device:
    device = settled()
    device.truth = factor
    assert any(device.run() for _ in range(3))
    return device


@pytest.mark.parametrize("factor", [2.0, 0.8, 1.5])
def test_a_step_is_undone_when_the_sensor_catches_up(factor: float) -> None:
    device = stepped(factor)
    device.residual.clock_moved(factor, device.now_ns + 1)
    assert device.residual.residual == pytest.approx(1.0, rel=0.05)
    # Only once: the same news again is another change of the clock.
    device.residual.clock_moved(factor, device.now_ns + 2)
    assert device.residual.residual == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("factor", [1.0, 1.2, 0.5, 4.0, 0.0, -2.0, math.nan, math.inf])
def test_a_clock_that_moved_by_something_else_undoes_nothing(factor: float) -> None:
    device = stepped(2.0)
    before = device.residual.residual
    device.residual.clock_moved(factor, device.now_ns + 1)
    assert device.residual.residual == before


def test_a_clock_that_moves_much_later_undoes_nothing() -> None:
    device = stepped(2.0)
    device.residual.clock_moved(2.0, device.now_ns + round(CATCH_UP_S * 1e9) + 1)
    assert device.residual.residual == pytest.approx(2.0, rel=0.05)


def test_a_clock_that_moves_without_a_step_is_not_the_residuals_business() -> None:
    device = settled()
    device.residual.clock_moved(2.0, device.now_ns)
    assert device.residual.residual == pytest.approx(1.0)


def test_idle_gaps_are_learned_apart() -> None:
    device = Device()
    after_pause = Conditions(KHZ, 0.2, 0)
    for _ in range(2000):
        device.truth = 1.0
        device.run()
        device.truth = 1.1
        device.run(after_pause)
    assert device.expected() == pytest.approx(1.0, abs=0.02)
    assert device.expected(after_pause) == pytest.approx(1.1, abs=0.02)
    # What was learned of one gap says nothing about another.
    assert device.residual.slowdown(0.05) == pytest.approx(device.residual.slowdown(0.0))


def test_clocks_and_levels_are_refined_apart() -> None:
    device = Device()
    slow = Conditions(KHZ // 2, 0.0, 2)
    for _ in range(3000):
        device.truth = 1.0
        device.run()
        device.truth = 1.06
        device.run(slow)
    refined = device.residual.refine((1.0,) * LEVELS, KHZ // 2)
    assert refined[2] > refined[1]
    assert refined[1] > device.residual.refine((1.0,) * LEVELS, KHZ)[1]


@pytest.mark.parametrize("seed", range(3))
def test_a_level_used_in_the_thick_of_the_load_only_is_no_slower_after_it(seed: int) -> None:
    device = Device(sigma=0.3, seed=seed)
    sparse = Conditions(KHZ, 0.0, LEVELS - 1)
    for turn in range(5000):
        device.truth = 1.3 if turn % 10 == 0 else 1.0
        device.run(BUSY if turn % 10 == 0 else sparse)
    refined = device.residual.refine((1.0,) * LEVELS, KHZ)
    assert refined[0] / refined[-1] < 1.05


def test_errors_of_the_last_predictions() -> None:
    device = Device()
    device.run()
    error = device.residual.error()
    assert error is not None
    assert (error.count, error.median, error.p95) == (1, 0.0, 0.0)
    residual = Residual(1)
    for ratio in (1.1, 1.1, 1.1, 0.9, 1.1):
        residual.observe(ratio, BUSY, 0)
    error = residual.error()
    assert error is not None
    assert error.count == 5
    assert error.median == pytest.approx(0.1, abs=0.03)
    assert error.p95 >= error.median


def feed(residual: Residual, ratios: Iterable[float]) -> None:
    for index, ratio in enumerate(ratios):
        residual.observe(ratio, BUSY, index * PERIOD_NS)


def check_sane(residual: Residual) -> None:
    assert 0.0 < residual.residual <= math.exp(SLOWEST) * (1 + 1e-9)
    for gap_s in (0.0, 0.01, 0.05, 0.2, math.inf):
        assert residual.slowdown(gap_s) * (1 + 1e-9) >= math.exp(FASTEST)
        assert residual.slowdown(gap_s) <= MOST * (1 + 1e-9)
    for refined, predicted in zip(residual.refine(PREDICTED_MS, KHZ), PREDICTED_MS, strict=True):
        assert predicted * math.exp(2 * MIN_REFINEMENT) <= refined * (1 + 1e-9)
        assert refined <= 4 * predicted * (1 + 1e-9)
    error = residual.error()
    assert error is None or 0.0 <= error.median <= error.p95 < math.inf


@pytest.mark.parametrize(
    "ratio", [0.0, -1.0, math.nan, math.inf, -math.inf, 1e300, 1.7e308, 1e-300, 5e-324]
)
def test_garbage_over_and_over_stays_in_bounds(ratio: float) -> None:
    for before in ([], [0.02] * 200, [50.0] * 200):
        residual = Residual(LEVELS)
        feed(residual, before)
        feed(residual, [ratio] * 50)
        check_sane(residual)


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_ratio_is_not_looked_at(ratio: float) -> None:
    device = settled()
    assert device.residual.observe(ratio, BUSY, 0) is False
    assert device.expected() == pytest.approx(1.0)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=100))
def test_any_ratios_stay_in_bounds(ratios: list[float]) -> None:
    residual = Residual(LEVELS)
    feed(residual, ratios)
    check_sane(residual)


def test_it_recovers_from_garbage() -> None:
    device = settled(0.03)
    feed(device.residual, [1e300, 1e-300] * 20)
    device.truth = 1.2
    for _ in range(500):
        device.run()
    assert device.expected() == pytest.approx(1.2, rel=0.05)


@pytest.mark.parametrize("cpu_khz", [None, 0, -5, 1, 10**12])
def test_strange_clocks_are_survived(cpu_khz: int | None) -> None:
    residual = Residual(LEVELS)
    residual.observe(1.1, Conditions(cpu_khz, 0.0, 0), 0)
    assert residual.refine(PREDICTED_MS, cpu_khz)[0] == pytest.approx(10.0, rel=0.01)


def test_errors_can_be_read_while_others_observe() -> None:
    residual = Residual(1)
    done = threading.Event()
    counts: list[int] = []

    def read() -> None:
        while not done.is_set():
            error = residual.error()
            counts.append(0 if error is None else error.count)

    reader = threading.Thread(target=read)
    reader.start()
    feed(residual, [1.0, 1.02] * 10_000)
    done.set()
    reader.join()
    assert counts == sorted(counts)
    assert len(counts) > 1
