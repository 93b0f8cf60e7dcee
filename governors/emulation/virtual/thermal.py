# SPDX-License-Identifier: Apache-2.0
"""Heat and power of a simulated device, and the kernel's step-wise throttling.

One lumped body: C dT/dt = P - (T - T_ambient) / R. The power of a processor is c f V^2; with V
rising about like f in the range where it throttles, that is c f^3, plus a static part. Default
figures are plausible for a passively cooled board and measured on none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_COOLING_STATES = 64


@dataclass(frozen=True, slots=True)
class ThermalModel:
    """How a device heats up and when it throttles.

    Attributes:
        resistance_k_per_w: how much hotter it gets per watt, in the end.
        capacity_j_per_k: energy to heat it by one degree; R * C is the time constant.
        static_w: power of the idle device.
        full_w: power in addition when all threads work at the highest clock.
        ambient_c: temperature around it.
        trip_c: temperature where throttling begins; None means that of the board.
        hysteresis_c: it ends this far below.
        period_ns: time between looks at the temperature (polling-delay-passive).
    """

    resistance_k_per_w: float = 9.0
    capacity_j_per_k: float = 10.0
    static_w: float = 2.0
    full_w: float = 8.0
    ambient_c: float = 25.0
    trip_c: float | None = None
    hysteresis_c: float = 2.0
    period_ns: int = 1_000_000_000

    def __post_init__(self) -> None:
        positive = (self.resistance_k_per_w, self.capacity_j_per_k, self.period_ns)
        if min(positive) <= 0 or min(self.static_w, self.full_w, self.hysteresis_c) < 0:
            raise ValueError(f"not a thermal model: {self}")

    def power_w(self, speed: float, *, busy: bool) -> float:
        """Return the power at a clock given as a fraction of the highest one."""
        return self.static_w + (self.full_w * speed**3 if busy else 0.0)


class ThermalState:
    """Temperature and cooling state; energy is added as it is used.

    Args:
        model: the figures.
        trip_c: temperature where throttling begins.
        max_state: how many operating points throttling may take away.
        now_ns: the present.
    """

    def __init__(self, model: ThermalModel, trip_c: float, max_state: int, now_ns: int) -> None:
        self.model = model
        self.ambient_c = model.ambient_c
        self.temperature_c = model.ambient_c + model.static_w * model.resistance_k_per_w
        self.cooling_state = 0
        self.max_state = max_state
        self.next_ns = now_ns + model.period_ns
        self._trip_c = trip_c
        self._throttling = False
        self._since_ns = now_ns
        self._energy_j = 0.0

    def add(self, energy_j: float) -> None:
        """Note the energy turned into heat since the last look."""
        self._energy_j += energy_j

    def look(self, now_ns: int) -> bool:
        """Update the temperature and throttle by it; return whether the cooling state changed."""
        before_c = self.temperature_c
        self._heat((now_ns - self._since_ns) / 1e9)
        self._since_ns = now_ns
        self.next_ns = now_ns + self.model.period_ns
        state = self._step_wise(before_c)
        changed = state != self.cooling_state
        self.cooling_state = state
        return changed

    def _heat(self, elapsed_s: float) -> None:
        """Solve the equation exactly for the mean power of the time since the last look."""
        if elapsed_s <= 0.0:
            return
        model = self.model
        power_w, self._energy_j = self._energy_j / elapsed_s, 0.0
        final_c = self.ambient_c + power_w * model.resistance_k_per_w
        decay = math.exp(-elapsed_s / (model.resistance_k_per_w * model.capacity_j_per_k))
        self.temperature_c = final_c + (self.temperature_c - final_c) * decay

    def _step_wise(self, before_c: float) -> int:
        """Return the next state (get_target_state in drivers/thermal/gov_step_wise.c).

        Above the trip point one step more while it gets hotter, and nothing while it cools; below
        it, with hysteresis, one step less while it cools.
        """
        raising, dropping = self.temperature_c > before_c, self.temperature_c < before_c
        limit_c = self._trip_c - (self.model.hysteresis_c if self._throttling else 0.0)
        self._throttling = self.temperature_c >= limit_c
        if self._throttling and raising and self.temperature_c >= self._trip_c:
            return min(self.cooling_state + 1, self.max_state)
        if not self._throttling and dropping:
            return max(self.cooling_state - 1, 0)
        return self.cooling_state
