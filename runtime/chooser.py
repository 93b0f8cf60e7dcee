# SPDX-License-Identifier: Apache-2.0
"""From clocks to the level of one inference: sampler, latency model and policy put together.

The choice is feed-forward: it follows from the clock and the calibration alone, so the same clock
always gives the same level, up to the policy's hysteresis.
"""

import math
from typing import NamedTuple

from aio.governors import ClockSample, Decision, RatioPolicy, Sampler, densest_within
from aio.runtime.latency_model import LatencyModel

# While requests flow samples come every 20 ms; after a pause the last one may be a quarter of a
# second old and is read anew instead of trusted.
MAX_CLOCK_AGE_S = 0.06
_MAX_CLOCK_AGE_NS = int(MAX_CLOCK_AGE_S * 1e9)
# By default a level may be this much slower than the densest one is at full clock.
DEFAULT_SLACK = 1.1
_UNCALIBRATED = "not calibrated: the densest level"


class Choice(NamedTuple):
    """A level and why; `predicted_ms` is for one sample, None without a calibration."""

    level: int
    predicted_ms: float | None
    target_ms: float
    reason: str
    clock: ClockSample


class LevelChooser:
    """Chooses levels. `for_*` and `pinned` need a lock around them, the rest does not.

    `target_ms` and `allowed` may be set at any time, by any thread.

    Args:
        sampler: where clocks come from; it must have been started.
        model: predicts latencies; None if nobody measured.
        policy: turns predictions into a level; not asked without a model.
        allowed: the levels that may be used, densest first.
        target_ms: latency of one sample to stay below; None is the default target.
    """

    def __init__(
        self,
        sampler: Sampler,
        model: LatencyModel | None,
        policy: RatioPolicy,
        allowed: tuple[int, ...],
        target_ms: float | None,
    ) -> None:
        self._sampler = sampler
        self._model = model
        self._policy = policy
        self.allowed = allowed
        self._default_ms = _default_target(model, sampler.latest().clock)
        self.target_ms = self._default_ms if target_ms is None else target_ms
        self._khz: int | None = None
        self._predicted = None if model is None else model.predict(None)
        self._asked: tuple[ClockSample, float, tuple[int, ...]] | None = None
        self._choice: Choice | None = None

    @property
    def default_target_ms(self) -> float:
        """Return the target in force when the user sets none."""
        return self._default_ms

    @property
    def clock(self) -> ClockSample:
        """Return the newest sample of the CPU clock."""
        return self._sampler.latest().clock

    def predict(self) -> tuple[float, ...] | None:
        """Return the latency of every level at the clock of now, None without a calibration."""
        return None if self._model is None else self._model.predict(self.clock.cpu_khz)

    def history(self) -> tuple[Decision, ...]:
        """Return the policy's last changes of level."""
        return self._policy.history()

    def for_target(self, now_ns: int) -> Choice:
        """Return the level for the target in force."""
        clock = self._sense(now_ns)
        target_ms, allowed = self.target_ms, self.allowed
        # Samples come every 20 ms, inferences may come every 0.05: ask once per sample.
        if self._choice is not None and self._asked == (clock, target_ms, allowed):
            return self._choice
        if self._predicted is None:
            choice = Choice(allowed[0], None, target_ms, _UNCALIBRATED, clock)
        else:
            decision = self._policy.choose(self._predicted, target_ms, clock, now_ns, allowed)
            choice = Choice(
                decision.level, decision.predicted_ms, target_ms, decision.reason, clock
            )
        self._asked, self._choice = (clock, target_ms, allowed), choice
        return choice

    def for_budget(self, budget_ms: float, now_ns: int) -> Choice:
        """Return the densest allowed level that keeps one sample within a call's own budget."""
        clock = self._sense(now_ns)
        if self._predicted is None:
            return Choice(self.allowed[0], None, self.target_ms, _UNCALIBRATED, clock)
        level, met = densest_within(self._predicted, budget_ms, self.allowed)
        predicted_ms = self._predicted[level]
        verdict = "takes" if met else "is the sparsest allowed and takes"
        reason = f"budget {budget_ms:.2f} ms: level {level} {verdict} {predicted_ms:.2f} ms"
        return Choice(level, predicted_ms, self.target_ms, reason, clock)

    def pinned(self, level: int, now_ns: int) -> Choice:
        """Return a level that the caller asked for."""
        clock = self._sense(now_ns)
        predicted_ms = None if self._predicted is None else self._predicted[level]
        return Choice(level, predicted_ms, self.target_ms, "level given by the caller", clock)

    def _sense(self, now_ns: int) -> ClockSample:
        sampler = self._sampler
        sampler.touch()
        clock = sampler.latest().clock
        if now_ns - clock.time_ns > _MAX_CLOCK_AGE_NS:
            clock = sampler.fresh(MAX_CLOCK_AGE_S).clock
        if clock.cpu_khz != self._khz and self._model is not None:
            self._khz = clock.cpu_khz
            self._predicted = self._model.predict(clock.cpu_khz)
        return clock


def _default_target(model: LatencyModel | None, clock: ClockSample) -> float:
    """Return what keeps the latency where the densest level has it at full clock."""
    return math.inf if model is None else DEFAULT_SLACK * model.predict(clock.max_khz)[0]
