# SPDX-License-Identifier: Apache-2.0
"""Everything that keeps a simulated clock below its maximum, seen and unseen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio.governors.base import PowerSource

if TYPE_CHECKING:
    from aio.governors.devices import Ladder


@dataclass(slots=True)
class Limits:
    """Caps as fractions of the highest clock; infinity is no cap.

    `cooling_state` counts the operating points that the thermal governor has taken away. All
    but `hidden_cap` show in scaling_max_freq.
    """

    battery_limit: float
    max_speed: float = math.inf
    thermal_cap: float = math.inf
    hidden_cap: float = math.inf
    cooling_state: int = 0
    power: PowerSource = PowerSource.AC

    def allowed(self, hardware: Ladder) -> Ladder:
        """Return the operating points below all caps that show."""
        cap = min(self.max_speed, self.thermal_cap)
        if self.power is PowerSource.BATTERY:
            cap = min(cap, self.battery_limit)
        freqs = hardware.freqs_khz
        cooled_khz = freqs[max(len(freqs) - 1 - self.cooling_state, 0)]
        return hardware.capped(min(_khz(cap, hardware), cooled_khz))

    def shown_cooling_state(self, hardware: Ladder) -> int:
        """Return cur_state of the cooling device: operating points that heat has taken away."""
        left = len(hardware.capped(_khz(self.thermal_cap, hardware)).freqs_khz)
        return max(self.cooling_state, len(hardware.freqs_khz) - left)


def _khz(cap: float, hardware: Ladder) -> float:
    """Return a cap in whole kHz, so that the fraction of an operating point gives that point."""
    return math.inf if math.isinf(cap) else round(cap * hardware.max_khz)
