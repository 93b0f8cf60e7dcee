# SPDX-License-Identifier: Apache-2.0
"""The chooser with real policies and residual, in a time and at clocks that the test sets."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import numpy as np
import pytest

from aio.governors import (
    AdaptivePolicy,
    ClockSample,
    DeviceSample,
    FixedPolicy,
    Plan,
    PowerSample,
    PowerSource,
    RatioPolicy,
    TablePolicy,
)
from aio.runtime.chooser import (
    DEADLINE_MARGIN,
    DEFAULT_SLACK,
    MAX_DEADLINE_MARGIN,
    Choice,
    PlanChooser,
    Targets,
)
from aio.runtime.latency_model import LatencyModel

MAX_KHZ = 2_000_000
MS = 1_000_000
LAYERS = 4
# 10, 5, 2 and 1 ms at full clock; four layers of equal time.
MODEL = LatencyModel(
    (10.0, 5.0, 2.0, 1.0), (2e7, 1e7, 4e6, 2e6), (0.0,) * 4, ((0.25,) * LAYERS,) * 4
)
ALL = (0, 1, 2, 3)
PERIOD_NS = 20 * MS


class Device:
    """Samples of a device whose clock, power source and time are attributes."""

    def __init__(self, khz: int | None = MAX_KHZ) -> None:
        self.khz = khz
        self.source: PowerSource | None = None
        self.now_ns = 10**12
        self.reads = 0
        self.touches = 0
        self._sample = self._read()

    def _read(self) -> DeviceSample:
        self.reads += 1
        error = "gone" if self.khz is None else None
        clock = ClockSample(self.now_ns, self.khz, MAX_KHZ, "fake", (), error)
        power = None if self.source is None else PowerSample(self.source, 0.5)
        return DeviceSample(self.now_ns, clock, power=power)

    def tick(self, khz: int | None = MAX_KHZ, after_ns: int = PERIOD_NS) -> int:
        """Let time pass, take a sample at a clock, and return the time."""
        self.now_ns += after_ns
        self.khz = khz
        self._sample = self._read()
        return self.now_ns

    def latest(self) -> DeviceSample:
        return self._sample

    def fresh(self, max_age_s: float) -> DeviceSample:
        if self.now_ns - self._sample.time_ns > max_age_s * 1e9:
            self._sample = self._read()
        return self._sample

    def touch(self) -> None:
        self.touches += 1


@pytest.fixture
def device() -> Device:
    return Device()


def run(
    chooser: PlanChooser,
    device: Device,
    choice: Choice,
    factor: float = 1.0,
    overhead_ns: float = 0.0,
) -> None:
    """Let the chooser learn that what it chose took a multiple of its costs."""
    assert choice.costs_ns is not None
    expected_ns = sum(
        choice.costs_ns[level, layer] for layer, level in enumerate(choice.plan.levels(LAYERS))
    )
    device.now_ns += round(expected_ns * factor + overhead_ns)
    chooser.observe(
        choice,
        elapsed_ns=expected_ns * factor,
        expected_ns=expected_ns,
        overhead_ns=overhead_ns,
        now_ns=device.now_ns,
    )


def test_whole_levels_follow_the_clock(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, TablePolicy(dwell_s=0.0), ALL, Targets(11.0))
    for khz, level, predicted_ms in (
        (MAX_KHZ, 0, 10.0),
        (1_000_000, 1, 10.0),
        (400_000, 2, 10.0),
        (200_000, 3, 10.0),
        (50_000, 3, 40.0),
        (MAX_KHZ, 0, 10.0),
    ):
        choice = chooser.for_target(device.tick(khz))
        assert (choice.plan, choice.sample.clock.cpu_khz) == (Plan.uniform(level), khz)
        assert choice.predicted_ms == pytest.approx(predicted_ms)
        assert choice.replan is False
        assert chooser.predict() == MODEL.predict(khz)
    assert [decision.level for decision in chooser.history()] == [0, 1, 2, 3, 0]
    assert chooser.changes == 5


def test_mixed_plans_hold_the_target_at_any_clock(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(8.0))
    for khz in range(MAX_KHZ, 350_000, -50_000):
        choice = chooser.for_target(device.tick(khz))
        assert choice.predicted_ms is not None
        # One layer more or less at the denser of two levels makes up to a quarter of 5 to 2 ms.
        assert 8.0 * 0.7 <= choice.predicted_ms <= 8.0 * 1.03
        assert choice.replan is True
        assert choice.budget_ms == 8.0
    assert any(decision.plan.mixed for decision in chooser.history())


def test_costs_are_those_of_the_layers_at_the_clock_of_now(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(8.0))
    full = chooser.for_target(device.tick())
    assert full.costs_ns is not None
    assert full.costs_ns.shape == (4, LAYERS)
    np.testing.assert_allclose(full.costs_ns.sum(axis=1), [10e6, 5e6, 2e6, 1e6])
    same = chooser.for_target(device.tick())
    assert same.costs_ns is full.costs_ns
    half = chooser.for_target(device.tick(MAX_KHZ // 2))
    assert half.costs_ns is not None
    assert np.allclose(half.costs_ns, 2 * full.costs_ns)


def test_the_policy_is_asked_once_per_sample(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, TablePolicy(), ALL, Targets(11.0))
    first = chooser.for_target(device.now_ns)
    again = chooser.for_target(device.now_ns + 1)
    assert again.reason is first.reason
    assert chooser.for_target(device.tick()).reason is not first.reason
    chooser.targets = Targets(6.0)
    assert chooser.for_target(device.now_ns).plan.level == 1
    chooser.allowed = (3,)
    assert chooser.for_target(device.now_ns).plan.level == 3
    assert device.touches == 5


def test_an_old_sample_is_read_anew(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, TablePolicy(), ALL, Targets(11.0))
    reads = device.reads
    chooser.for_target(device.now_ns)
    assert device.reads == reads
    device.khz = 1_000_000
    device.now_ns += 70 * MS
    assert chooser.for_target(device.now_ns).plan.level == 1
    assert device.reads == reads + 1


def test_default_target_keeps_the_latency_of_full_clock(device: Device) -> None:
    device.tick(500_000)
    chooser = PlanChooser(device, MODEL, TablePolicy(), (1, 2))
    assert chooser.target_ms == chooser.default_target_ms == pytest.approx(DEFAULT_SLACK * 10)
    assert chooser.for_target(device.now_ns).plan.level == 2


@pytest.mark.parametrize("make", [TablePolicy, AdaptivePolicy])
def test_at_the_default_target_the_densest_level_comes_back_with_the_clock(
    device: Device, make: Callable[[], RatioPolicy]
) -> None:
    chooser = PlanChooser(device, MODEL, make(), ALL)
    assert chooser.for_target(device.now_ns).plan == Plan.uniform(0)
    assert chooser.for_target(device.tick(MAX_KHZ // 2)).plan != Plan.uniform(0)
    assert chooser.for_target(device.tick(after_ns=200 * MS)).plan == Plan.uniform(0)


def test_battery_has_a_target_of_its_own(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, TablePolicy(dwell_s=0.0), ALL, Targets(11.0, 3.0))
    for source, target_ms, level in (
        (None, 11.0, 0),
        (PowerSource.BATTERY, 3.0, 2),
        (PowerSource.AC, 11.0, 0),
    ):
        device.source = source
        choice = chooser.for_target(device.tick())
        assert (choice.target_ms, choice.plan.level) == (target_ms, level)
        assert chooser.target_ms == target_ms
    chooser.targets = Targets(11.0)
    device.source = PowerSource.BATTERY
    assert chooser.for_target(device.tick()).target_ms == 11.0


def test_a_budget_keeps_a_margin_and_leaves_the_policy_alone(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(11.0))
    now_ns = device.now_ns
    assert chooser.for_target(now_ns).plan.level == 0
    choice = chooser.for_budget(5.0, now_ns)
    assert choice.predicted_ms is not None
    assert choice.predicted_ms <= 5.0 * (1 - DEADLINE_MARGIN) == pytest.approx(choice.budget_ms)
    assert choice.plan == Plan(2, 1, 1)
    assert choice.reason.startswith("budget 5.00 ms: level 2 for 1 layers, then 1 takes 4.25 ms")
    assert choice.target_ms == 11.0
    assert chooser.for_budget(math.inf, now_ns).plan == Plan.uniform(0)
    missed = chooser.for_budget(0.1, now_ns)
    assert missed.plan == Plan.uniform(3)
    assert missed.reason == "budget 0.10 ms: level 3 is the sparsest allowed and takes 1.00 ms"
    late = chooser.for_budget(-5.0, now_ns)
    assert (late.plan, late.budget_ms) == (Plan.uniform(3), 0.0)
    assert chooser.for_target(now_ns).plan.level == 0
    assert len(chooser.history()) == 1


def test_an_aim_is_met_without_a_margin_if_it_is_tighter(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(11.0))
    aimed = chooser.for_budget(math.inf, device.now_ns, aim_ms=5.0)
    assert aimed.budget_ms == pytest.approx(5.0)
    assert aimed.predicted_ms is not None
    assert aimed.predicted_ms <= 5.0
    assert aimed.reason.startswith("aim 5.00 ms: ")
    assert chooser.for_budget(5.0, device.now_ns, aim_ms=100.0).reason.startswith("budget 5.00 ms")
    assert len(chooser.history()) == 0


def test_what_a_call_would_take(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(11.0))
    assert [chooser.predict_call(level, 3, device.now_ns) for level in (0, 3)] == [30.0, 3.0]
    for _ in range(100):
        run(chooser, device, chooser.for_target(device.tick()), 1.5)
    # Such pauses make it slower, as was learned.
    slower_ms = chooser.predict_call(0, 1, device.now_ns + PERIOD_NS)
    assert slower_ms == pytest.approx(15.0, rel=0.05)
    assert PlanChooser(device, None, AdaptivePolicy(), ALL).predict_call(0, 1, 0) is None


def test_the_margin_of_budgets_grows_with_the_error_of_predictions(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(11.0))
    for index in range(100):
        factor = 1.2 if index % 2 else 0.8
        run(chooser, device, chooser.pinned(0, device.tick()), factor)
    error = chooser.prediction_error()
    assert error is not None
    assert error.p95 > 0.15
    margin = min(error.p95, MAX_DEADLINE_MARGIN)
    assert chooser.for_budget(8.0, device.now_ns).budget_ms == pytest.approx(
        8.0 * (1 - margin), rel=0.02
    )


def test_budgets_respect_the_accuracy_floor(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), (0, 1), Targets(11.0))
    assert chooser.for_budget(2.5, device.now_ns).plan == Plan.uniform(1)


def test_pinned_levels_are_what_was_asked_for(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), (0,), Targets(11.0))
    choice = chooser.pinned(3, device.now_ns)
    assert (choice.plan, choice.predicted_ms) == (Plan.uniform(3), 1.0)
    assert choice.reason == "level given by the caller"
    assert choice.replan is False
    assert chooser.changes == 0


def test_plans_are_not_changed_on_the_way_when_nobody_wants_it(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(11.0), replan=False)
    assert chooser.for_target(device.now_ns).replan is False
    assert chooser.for_budget(5.0, device.now_ns).replan is False


def test_fixed_policy(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, FixedPolicy(2), (2,))
    choice = chooser.for_target(device.now_ns)
    assert (choice.plan, choice.replan) == (Plan.uniform(2), False)
    assert chooser.target_ms == pytest.approx(DEFAULT_SLACK * 10)
    assert chooser.policy.name == "fixed"


def test_unknown_clock_means_the_calibrated_latency(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, TablePolicy(), ALL, Targets(6.0))
    choice = chooser.for_target(device.tick(None))
    assert (choice.plan.level, choice.predicted_ms) == (1, 5.0)
    assert "unknown" in choice.reason


def test_without_a_calibration_the_densest_level_is_used(device: Device) -> None:
    chooser = PlanChooser(device, None, AdaptivePolicy(), (1, 2))
    now_ns = device.now_ns
    for choice in (chooser.for_target(now_ns), chooser.for_budget(0.1, now_ns)):
        assert (choice.plan, choice.predicted_ms) == (Plan.uniform(1), None)
        assert (choice.target_ms, choice.costs_ns, choice.replan) == (math.inf, None, False)
        assert choice.reason.startswith("not calibrated")
    assert chooser.pinned(2, now_ns).predicted_ms is None
    assert chooser.predict() is None
    assert chooser.prediction_error() is None


def test_what_no_sensor_shows_is_learned_and_said(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(11.0))
    with caplog.at_level(logging.INFO):
        for _ in range(50):
            run(chooser, device, chooser.for_target(device.tick()))
        assert chooser.for_target(device.tick()).plan == Plan.uniform(0)
        for _ in range(3):
            run(chooser, device, chooser.for_target(device.tick()), factor=2.0)
    choice = chooser.for_target(device.tick())
    assert chooser.residual == pytest.approx(2.0, rel=0.02)
    assert choice.slowdown == pytest.approx(2.0, rel=0.02)
    assert choice.plan.level == 1
    assert chooser.predict() == pytest.approx([20.0, 10.0, 4.0, 2.0], rel=0.02)
    assert "measured 2.00 of predicted latencies" in caplog.text
    assert "measured 1.00 -> 2.00 of predicted: level 0 would take 20.0 ms" in caplog.text
    assert chooser.changes == len(chooser.history()) == 2


def test_an_inference_during_which_the_clock_moved_teaches_nothing(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(11.0))
    for _ in range(20):
        choice = chooser.for_target(device.tick())
        device.khz = MAX_KHZ // 2  # seen by a fresh look only
        run(chooser, device, choice, factor=2.0)
    assert chooser.residual == 1.0
    assert chooser.prediction_error() is None


def test_a_step_is_taken_back_when_the_sensor_catches_up(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(11.0))
    for factor in (*[1.0] * 50, 2.0, 2.0, 2.0):
        run(chooser, device, chooser.for_target(device.tick()), factor)
    assert chooser.residual == pytest.approx(2.0, rel=0.02)
    choice = chooser.for_target(device.tick(MAX_KHZ // 2))
    assert chooser.residual == pytest.approx(1.0, rel=0.02)
    assert choice.predicted_ms is not None
    assert choice.predicted_ms <= 11.0


def test_time_beside_the_executor_is_kept_free(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(11.0))
    for _ in range(400):
        run(chooser, device, chooser.for_target(device.tick()), overhead_ns=0.4 * MS)
    choice = chooser.for_target(device.tick())
    assert choice.budget_ms == pytest.approx(10.6)
    assert choice.predicted_ms == pytest.approx(10.4, rel=0.01)
    for _ in range(400):
        run(chooser, device, chooser.for_target(device.tick()), overhead_ns=2 * MS)
    assert chooser.for_target(device.tick()).plan.mixed


def test_a_call_that_was_stopped_is_no_habit(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(11.0))
    run(chooser, device, chooser.for_target(device.tick()), overhead_ns=10_000 * MS)
    choice = chooser.for_target(device.tick())
    assert choice.plan == Plan.uniform(0)
    assert choice.budget_ms > 10.0


@pytest.mark.parametrize(("elapsed_ns", "expected_ns"), [(0.0, 1e6), (1e6, 0.0), (0.0, 0.0)])
def test_runs_of_no_time_teach_nothing(
    device: Device, elapsed_ns: float, expected_ns: float
) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(11.0))
    choice = chooser.for_target(device.tick())
    chooser.observe(
        choice, elapsed_ns=elapsed_ns, expected_ns=expected_ns, overhead_ns=0.0, now_ns=1
    )
    assert chooser.residual == 1.0
    assert chooser.prediction_error() is None


def test_the_pause_before_a_call_is_known(device: Device) -> None:
    chooser = PlanChooser(device, MODEL, AdaptivePolicy(), ALL, Targets(11.0))
    first = chooser.for_target(device.tick())
    assert first.gap_s == math.inf
    run(chooser, device, first)
    second = chooser.for_target(device.tick(after_ns=50 * MS))
    assert second.gap_s == pytest.approx(0.05)
