# SPDX-License-Identifier: Apache-2.0
import itertools

import pytest

from aio.models.schedules import grown, score_factor


def test_ratios_grow_fast_then_slowly_and_stay() -> None:
    ratios = (0.0, 0.5, 0.9)
    steps = [grown(ratios, progress / 10, 0.5) for progress in range(11)]
    assert steps[0] == (0.0, 0.0, 0.0)
    assert steps[5:] == [ratios] * 6
    last = [step[2] for step in steps[:6]]
    gains = [b - a for a, b in itertools.pairwise(last)]
    assert gains == sorted(gains, reverse=True)
    assert all(step == tuple(sorted(step)) for step in steps)
    assert grown(ratios, 0.0, 0.0) == ratios


@pytest.mark.parametrize(("progress", "factor"), [(0.0, 1.0), (0.79, 1.0), (0.8, 0.0), (1.0, 0.0)])
def test_scores_learn_until_their_end(progress: float, factor: float) -> None:
    assert score_factor(progress, 0.8) == factor
