# SPDX-License-Identifier: Apache-2.0
"""What changes while a network trains, as functions of progress: 0 at the start, 1 at the end."""

import math
from collections.abc import Sequence


def rate_factor(progress: float, warmup: float) -> float:
    """Return the learning rate relative to its peak: a linear rise, then half a cosine."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1.0 + math.cos(math.pi * (progress - warmup) / (1.0 - warmup)))


def score_factor(progress: float, end: float) -> float:
    """Return 1 while scores learn, and 0 afterwards: the weights settle under fixed masks."""
    return 1.0 if progress < end else 0.0


def grown(ratios: Sequence[float], progress: float, growth: float) -> tuple[float, ...]:
    """Return the ratios of now: fast at first, then slower, complete after `growth` of the steps.

    The cubic of Zhu and Gupta (arXiv 1710.01878): most blocks go while the network has the
    learning rate to recover from it, the last ones one by one.
    """
    left = max(0.0, 1.0 - progress / growth) if growth > 0 else 0.0
    return tuple(ratio * (1.0 - left**3) for ratio in ratios)
