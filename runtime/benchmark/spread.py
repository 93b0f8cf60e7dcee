# SPDX-License-Identifier: Apache-2.0
"""Median and spread of repeated measurements."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, median absolute deviation, minimum and count of some values of one unit."""

    median: float
    mad: float
    minimum: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of at least one value."""
    middle = median(values)
    deviation = median(abs(value - middle) for value in values)
    return Spread(middle, deviation, min(values), len(values))
