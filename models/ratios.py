# SPDX-License-Identifier: Apache-2.0
"""Pruning ratios: the fraction of the prunable weights that is zero, one per level."""

import itertools
import math
from collections.abc import Sequence

from aio.models.errors import ModelError

MAX_LEVELS = 256  # of a model file


def check_ratios(ratios: Sequence[float]) -> tuple[float, ...]:
    """Return the ratios as a tuple of floats.

    Raises:
        ModelError: none given, one outside [0, 1), or not increasing.
    """
    values = tuple(float(ratio) for ratio in ratios)
    if not values:
        raise ModelError("no ratios given; one level needs one ratio, 0 for dense")
    if len(values) > MAX_LEVELS:
        raise ModelError(f"{len(values)} ratios given, a model file has at most {MAX_LEVELS}")
    for value in values:
        if not (math.isfinite(value) and 0.0 <= value < 1.0):
            raise ModelError(f"ratio {value} is not in [0, 1); it is the fraction of zero weights")
    for earlier, later in itertools.pairwise(values):
        if later <= earlier:
            raise ModelError(f"ratios must increase, but {later} follows {earlier}")
    return values
