# SPDX-License-Identifier: Apache-2.0
"""The operating points of one policy and how a target frequency is resolved to one.

The three relations are the kernel's (include/linux/cpufreq.h, cpufreq_table_find_index_*):
L is the lowest frequency at or above the target, H the highest at or below it, C the closest
one, the lower of two that are equally far. Beyond an end of the ladder all give that end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio.governors.devices.board import Device


@dataclass(frozen=True, slots=True)
class Ladder:
    """Frequencies in kHz, strictly ascending, at least one."""

    freqs_khz: tuple[int, ...]

    def __post_init__(self) -> None:
        freqs = self.freqs_khz
        if not freqs or freqs[0] <= 0 or any(a >= b for a, b in pairwise(freqs)):
            raise ValueError(f"operating points must be positive and ascending, got {freqs}")

    @property
    def min_khz(self) -> int:
        """Return the lowest operating point."""
        return self.freqs_khz[0]

    @property
    def max_khz(self) -> int:
        """Return the highest operating point."""
        return self.freqs_khz[-1]

    def at_least(self, khz: float) -> int:
        """Resolve with relation L: the lowest operating point that is not below `khz`."""
        freqs = self.freqs_khz
        return freqs[min(bisect_left(freqs, khz), len(freqs) - 1)]

    def at_most(self, khz: float) -> int:
        """Resolve with relation H: the highest operating point that is not above `khz`."""
        freqs = self.freqs_khz
        return freqs[max(bisect_right(freqs, khz) - 1, 0)]

    def closest(self, khz: float) -> int:
        """Resolve with relation C: the closest operating point."""
        low, high = self.at_most(khz), self.at_least(khz)
        return low if khz - low <= high - khz else high

    def at_fraction(self, fraction: float) -> int:
        """Return the highest operating point within a fraction of the maximum."""
        return self.at_most(round(fraction * self.max_khz))

    def capped(self, khz: float) -> Ladder:
        """Return the operating points up to a limit, at least the lowest one."""
        return Ladder(self.freqs_khz[: max(bisect_right(self.freqs_khz, khz), 1)])

    def span(self, ratio: float) -> Ladder:
        """Return the operating points from the maximum down to a `ratio`-th of it.

        Raises:
            ValueError: the ratio is below 1.
        """
        if not ratio >= 1.0:
            raise ValueError(f"a span of {ratio} is less than the maximum itself: expected >= 1")
        lowest = self.max_khz / ratio
        return Ladder(tuple(khz for khz in self.freqs_khz if khz >= lowest))


def ladder(device: Device, policy: int | None = None) -> Ladder:
    """Return the operating points of a policy by its number, of the fastest one for None.

    Raises:
        ValueError: the board has no such policy.
    """
    return Ladder(device.policy(policy).freqs_khz)
