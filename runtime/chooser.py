# SPDX-License-Identifier: Apache-2.0
"""From samples to the plan of one inference: latency model, residual and policy put together.

Before an inference the chooser predicts from the newest sample and lets the policy decide; after
it the chooser learns from how long it took. It never runs anything and never waits for a sensor.
"""

import logging
import math
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from aio.governors import (
    ClockSample,
    Conditions,
    Decision,
    DeviceSample,
    LayerShares,
    Outlook,
    Plan,
    PowerSource,
    PredictionError,
    RatioPolicy,
    Residual,
)
from aio.runtime.latency_model import LatencyModel

# While requests flow samples come every 20 ms; after a pause the last one may be a quarter of a
# second old and is read anew instead of trusted.
MAX_SAMPLE_AGE_S = 0.06
_MAX_SAMPLE_AGE_NS = int(MAX_SAMPLE_AGE_S * 1e9)
# By default the target is this multiple of what the densest level takes at full clock.
DEFAULT_SLACK = 1.05
# A call's own deadline is a promise, not a mean to hold: the plan stays this far below it, or as
# far as predictions have been off.
DEADLINE_MARGIN = 0.05
MAX_DEADLINE_MARGIN = 0.3
# The policy is asked again when the slowdown moved by this part.
SLOWDOWN_GRAIN = 0.005
# A ratio this far from the expected one is looked at twice before the residual learns from it.
SUSPICIOUS = 0.12
CLOCK_MOVED = 0.03
REFRESH_EVERY = 200  # inferences between looks at what the slow refinements have learned
OVERHEAD_RATE = 0.05
GAP_GRAIN = 0.02  # the default target follows what gaps cost in such steps
# A call that took longer beside the executor than in it, and than this, was stopped: that is no
# habit to plan for.
STALL_MS = 1.0
_UNCALIBRATED = "not calibrated: the densest level"

_logger = logging.getLogger(__name__)


class SampleSource(Protocol):
    """Where samples come from: a Sampler, or a simulated device."""

    def latest(self) -> DeviceSample:
        """Return the newest sample, at once."""

    def fresh(self, max_age_s: float) -> DeviceSample:
        """Return a sample not older than that if one can be had without waiting."""

    def touch(self) -> None:
        """Hear that a request came."""


class Targets(NamedTuple):
    """Latencies of one sample to hold; infinity is no target.

    `ac_ms` is None for the default target, `battery_ms` for the same one as on mains.
    """

    ac_ms: float | None = None
    battery_ms: float | None = None

    def of(self, sample: DeviceSample) -> float | None:
        """Return the target for the power source in use; unknown counts as mains."""
        on_battery = sample.power is not None and sample.power.source is PowerSource.BATTERY
        return self.battery_ms if on_battery and self.battery_ms is not None else self.ac_ms


class Choice(NamedTuple):
    """How to run one inference and why.

    `predicted_ms` is for one sample as a whole, None without a calibration; `budget_ms` is for
    one sample in the executor. `costs_ns` is levels x layers at the clock of now, without the
    slowdown; the same array as long as nothing changed.
    """

    plan: Plan
    predicted_ms: float | None
    target_ms: float
    budget_ms: float
    slowdown: float
    replan: bool
    costs_ns: NDArray[np.float64] | None
    reason: str
    sample: DeviceSample
    gap_s: float


class PlanChooser:
    """Chooses plans and learns from what they took.

    `for_*`, `pinned` and `observe` need a lock around them, the rest does not. `targets` and
    `allowed` may be set at any time, by any thread.

    Args:
        sampler: where samples come from; it must have been started.
        model: predicts latencies; None if nobody measured.
        policy: turns predictions into a plan; not asked without a model.
        allowed: the levels that may be used, densest first.
        targets: None is the default target.
        replan: whether plans of the adaptive policy, and of deadlines, may change on the way.
    """

    def __init__(
        self,
        sampler: SampleSource,
        model: LatencyModel | None,
        policy: RatioPolicy,
        allowed: tuple[int, ...],
        targets: Targets | None = None,
        *,
        replan: bool = True,
    ) -> None:
        self._sampler = sampler
        self._model = model
        self._policy = policy
        self._replan = replan
        self.allowed = allowed
        self.default_target_ms = _default_target(model, sampler.latest().clock)
        self.targets = Targets() if targets is None else targets
        levels = 1 if model is None else len(model.reference_ms)
        self._shares = LayerShares.whole(1) if model is None else LayerShares(model.layer_shares)
        self._share_rows = np.array(self._shares.rows())
        self._residual = Residual(levels)
        self._overhead_ms = 0.0
        self._khz: int | None = None
        self._executor_ms: tuple[float, ...] = ()
        self._planned_overhead_ms = 0.0  # as of the last refresh
        self._gap_s = math.inf  # before the last inference
        self._costs_ns: NDArray[np.float64] | None = None
        self._inferences = 0
        self._ended_ns: int | None = None
        self._busy = False  # between a choice and what was learned from it
        self._asked: object = None
        self._decision: Decision | None = None
        self._changes = 0
        if model is not None:
            self._refresh(sampler.latest().clock.cpu_khz)

    @property
    def model(self) -> LatencyModel | None:
        """Return the calibration, None if nobody measured."""
        return self._model

    @property
    def policy(self) -> RatioPolicy:
        """Return the policy in force."""
        return self._policy

    @property
    def sample(self) -> DeviceSample:
        """Return the newest sample of the device."""
        return self._sampler.latest()

    @property
    def target_ms(self) -> float:
        """Return the target in force for the power source in use."""
        return self._target(self.sample, self._gap_s)

    @property
    def residual(self) -> float:
        """Return by how much longer inferences take than sensors and calibration explain."""
        return self._residual.residual

    def prediction_error(self) -> PredictionError | None:
        """Return how good the last predictions were, None before the first."""
        return self._residual.error()

    def predict(self) -> tuple[float, ...] | None:
        """Return the latency of every level at the clock of now, None without a calibration."""
        if self._model is None:
            return None
        clock_ms = self._model.predict(self.sample.clock.cpu_khz)
        return tuple(self.residual * takes_ms for takes_ms in clock_ms)

    def predict_call(self, level: int, batch: int, now_ns: int) -> float | None:
        """Return how long a call that begins now would take; None without a calibration.

        While another one runs it is about one that begins right after it.
        """
        model = self._model
        if model is None:
            return None
        khz = self.sample.clock.cpu_khz
        executor_ms = self._executor_ms
        if khz != self._khz:  # no inference has seen this clock yet
            executor_ms = self._residual.refine(model.predict(khz), khz)
        ended_ns = self._ended_ns
        gap_s = math.inf if ended_ns is None else max(0, now_ns - ended_ns) / 1e9
        slowdown = self._residual.slowdown(0.0 if self._busy else gap_s)
        return batch * slowdown * executor_ms[level] + self._planned_overhead_ms

    @property
    def changes(self) -> int:
        """Return how often the policy changed the plan; its first plan counts too."""
        return self._changes

    def history(self) -> tuple[Decision, ...]:
        """Return the policy's last changes of plan."""
        return self._policy.history()

    def for_target(self, now_ns: int) -> Choice:
        """Return the plan for the target in force."""
        sample, gap_s = self._sense(now_ns)
        target_ms = self._target(sample, gap_s)
        if self._model is None:
            return self._uncalibrated(sample, target_ms, gap_s)
        slowdown = self._residual.slowdown(gap_s)
        grain = round(math.log(slowdown) / SLOWDOWN_GRAIN)
        # Samples come every 20 ms, inferences may come every 0.05: ask once per change.
        asked = (sample.clock, target_ms, self.allowed, grain)
        if self._decision is None or self._asked != asked:
            outlook = Outlook(
                predicted_ms=self._executor_ms,
                target_ms=target_ms,
                clock=sample.clock,
                now_ns=now_ns,
                shares=self._shares,
                slowdown=slowdown,
                overhead_ms=self._planned_overhead_ms,
                allowed=self.allowed,
            )
            self._asked, self._decision = asked, self._policy.choose(outlook)
            if self._decision.changed:
                self._changes += 1
                _logger.info("%s", self._decision.reason)
        decision = self._decision
        return Choice(
            plan=decision.plan,
            predicted_ms=decision.predicted_ms,
            target_ms=target_ms,
            budget_ms=target_ms - self._planned_overhead_ms,
            slowdown=slowdown,
            replan=self._replan and self._policy.replans,
            costs_ns=self._costs_ns,
            reason=decision.reason,
            sample=sample,
            gap_s=gap_s,
        )

    def for_budget(self, budget_ms: float, now_ns: int, aim_ms: float = math.inf) -> Choice:
        """Return the densest plan that keeps one sample within a call's own budget.

        Args:
            budget_ms: what must not be exceeded; planned for with a margin.
            now_ns: time of the monotonic clock.
            aim_ms: what is to be met like a target, if it is tighter.
        """
        sample, gap_s = self._sense(now_ns)
        target_ms = self._target(sample, gap_s)
        if self._model is None:
            return self._uncalibrated(sample, target_ms, gap_s)
        margin = min(max(DEADLINE_MARGIN, self._residual.usual_error), MAX_DEADLINE_MARGIN)
        promised_ms = budget_ms * (1.0 - margin)
        goal_ms = min(promised_ms, aim_ms)
        given = "aim" if aim_ms < promised_ms else "budget"
        given_ms = aim_ms if aim_ms < promised_ms else budget_ms
        slowdown = self._residual.slowdown(gap_s)
        expected_ms = self._expected(slowdown)
        plan, met = self._shares.plan_within(expected_ms, goal_ms, self.allowed)
        predicted_ms = self._shares.plan_ms(plan, expected_ms)
        verdict = "takes" if met else "is the sparsest allowed and takes"
        return Choice(
            plan=plan,
            predicted_ms=predicted_ms,
            target_ms=target_ms,
            budget_ms=max(0.0, goal_ms - self._planned_overhead_ms),
            slowdown=slowdown,
            replan=self._replan,
            costs_ns=self._costs_ns,
            reason=f"{given} {given_ms:.2f} ms: {plan} {verdict} {predicted_ms:.2f} ms",
            sample=sample,
            gap_s=gap_s,
        )

    def pinned(self, level: int, now_ns: int) -> Choice:
        """Return a level that the caller asked for."""
        sample, gap_s = self._sense(now_ns)
        target_ms = self._target(sample, gap_s)
        slowdown = self._residual.slowdown(gap_s)
        predicted_ms = self._expected(slowdown)[level] if self._executor_ms else None
        return Choice(
            plan=Plan.uniform(level),
            predicted_ms=predicted_ms,
            target_ms=target_ms,
            budget_ms=target_ms,
            slowdown=slowdown,
            replan=False,
            costs_ns=self._costs_ns,
            reason="level given by the caller",
            sample=sample,
            gap_s=gap_s,
        )

    def observe(
        self,
        choice: Choice,
        *,
        elapsed_ns: float,
        expected_ns: float,
        overhead_ns: float,
        now_ns: int,
    ) -> None:
        """Learn from an inference of one sample or more.

        Args:
            choice: what it was run by.
            elapsed_ns: how long it took in the executor.
            expected_ns: what the costs say of the layers at the levels that were used.
            overhead_ns: how much longer the call took than the executor, per sample.
            now_ns: when it ended.
        """
        self._ended_ns = now_ns
        self._busy = False
        self._inferences += 1
        overhead_ms = min(overhead_ns, max(elapsed_ns, STALL_MS * 1e6)) / 1e6
        self._overhead_ms += OVERHEAD_RATE * (overhead_ms - self._overhead_ms)
        if expected_ns <= 0.0 or elapsed_ns <= 0.0:
            return
        ratio = elapsed_ns / expected_ns
        if abs(math.log(ratio / choice.slowdown)) > SUSPICIOUS and self._clock_moved(choice):
            return
        conditions = Conditions(choice.sample.clock.cpu_khz, choice.gap_s, choice.plan.level)
        step = self._residual.observe(ratio, conditions, now_ns)
        if step:
            _logger.info("measured %.2f of predicted latencies", self.residual)
        # Often in the beginning: at 1, 2, 4, 8 ... inferences.
        early = self._inferences & (self._inferences - 1) == 0
        if step or early or self._inferences % REFRESH_EVERY == 0:
            self._refresh(self._khz)

    def _target(self, sample: DeviceSample, gap_s: float) -> float:
        """Return the target in force, for an inference after an idle gap.

        The default one is for the densest level as it runs in this program: what a pause costs
        every level, and what a call costs beside the executor, is no reason to prune.
        """
        given_ms = self.targets.of(sample)
        if given_ms is not None:
            return given_ms
        grains = round(math.log(self._residual.gap_factor(gap_s)) / GAP_GRAIN)
        return self.default_target_ms * math.exp(grains * GAP_GRAIN) + self._planned_overhead_ms

    def _expected(self, slowdown: float) -> tuple[float, ...]:
        """Return how long a call takes at every level."""
        overhead_ms = self._planned_overhead_ms
        return tuple(slowdown * takes_ms + overhead_ms for takes_ms in self._executor_ms)

    def _clock_moved(self, choice: Choice) -> bool:
        """Return whether the clock is another one now than when the choice was made."""
        before = choice.sample.clock.cpu_khz
        after = self._sampler.fresh(MAX_SAMPLE_AGE_S / 60).clock.cpu_khz
        return bool(before and after and abs(after / before - 1.0) > CLOCK_MOVED)

    def _sense(self, now_ns: int) -> tuple[DeviceSample, float]:
        """Return the sample to go by and for how long nothing ran."""
        sampler = self._sampler
        sampler.touch()
        sample = sampler.latest()
        if now_ns - sample.time_ns > _MAX_SAMPLE_AGE_NS:
            sample = sampler.fresh(MAX_SAMPLE_AGE_S)
        if sample.clock.cpu_khz != self._khz and self._model is not None:
            before_ms = self._executor_ms[0]
            self._refresh(sample.clock.cpu_khz)
            self._residual.clock_moved(self._executor_ms[0] / before_ms, now_ns)
        self._gap_s = math.inf if self._ended_ns is None else (now_ns - self._ended_ns) / 1e9
        self._busy = True
        return sample, self._gap_s

    def _refresh(self, khz: int | None) -> None:
        """Predict anew, for a clock and with what was learned since."""
        assert self._model is not None
        self._khz = khz
        self._executor_ms = self._residual.refine(self._model.predict(khz), khz)
        self._planned_overhead_ms = self._overhead_ms
        self._costs_ns = self._share_rows * (np.array(self._executor_ms)[:, None] * 1e6)
        self._asked = None

    def _uncalibrated(self, sample: DeviceSample, target_ms: float, gap_s: float) -> Choice:
        return Choice(
            plan=Plan.uniform(self.allowed[0]),
            predicted_ms=None,
            target_ms=target_ms,
            budget_ms=target_ms,
            slowdown=1.0,
            replan=False,
            costs_ns=None,
            reason=_UNCALIBRATED,
            sample=sample,
            gap_s=gap_s,
        )


def _default_target(model: LatencyModel | None, clock: ClockSample) -> float:
    """Return what keeps the latency where the densest level has it at full clock."""
    return math.inf if model is None else DEFAULT_SLACK * model.predict(clock.max_khz)[0]
