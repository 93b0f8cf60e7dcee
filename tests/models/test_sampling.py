# SPDX-License-Identifier: Apache-2.0
import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from aio.models.sampling import sandwich
from aio.models.settings import DEFAULT_RATIOS as NINE


@given(
    st.integers(1, 12),
    st.integers(0, 9),
    st.integers(0, 4),
    st.floats(0, 1),
    st.floats(0, 4),
    st.integers(0, 2**32),
)
def test_a_step_has_both_ends_and_valid_plans_between(
    levels: int,
    layers: int,
    random_levels: int,
    mixed_fraction: float,
    sparse_preference: float,
    seed: int,
) -> None:
    first, *others = sandwich(
        [level / levels for level in range(levels)],
        layers,
        random_levels,
        mixed_fraction,
        Generator().manual_seed(seed),
        sparse_preference=sparse_preference,
    )
    assert first == 0
    assert len(others) == min(random_levels, max(0, levels - 2)) + (levels > 1)
    if others:
        assert others[-1] == levels - 1
    for plan in others[:-1]:
        chosen = [plan] if isinstance(plan, int) else plan
        assert isinstance(plan, int) or len(plan) == layers
        assert all(0 <= level < levels for level in chosen)
        assert len(set(chosen)) <= 2


def test_random_levels_are_distinct_and_all_are_drawn() -> None:
    generator = Generator().manual_seed(0)
    drawn = set()
    for _ in range(100):
        plans = sandwich(NINE, 5, 2, 0.0, generator)
        assert plans[1] != plans[2]
        drawn |= {plan for plan in plans if isinstance(plan, int)}
    assert drawn == set(range(9))


def test_sparse_levels_are_drawn_more_often() -> None:
    generator = Generator().manual_seed(0)
    drawn: Counter[int] = Counter()
    for _ in range(400):
        (plan,) = sandwich((0.0, 0.5, 0.75, 0.9), 5, 1, 0.0, generator, sparse_preference=1.0)[1:2]
        assert isinstance(plan, int)
        drawn[plan] += 1
    assert drawn[2] / 400 == pytest.approx(2 / 3, abs=0.1)  # a quarter is kept, not a half
    assert drawn[1] + drawn[2] == 400


def test_mixed_plans_change_level_at_one_layer() -> None:
    generator = Generator().manual_seed(0)
    for _ in range(50):
        plan = sandwich(NINE, 6, 1, 1.0, generator)[1]
        assert isinstance(plan, list)
        changes = sum(a != b for a, b in itertools.pairwise(plan))
        assert changes <= 1


def test_same_seed_same_plans() -> None:
    draws = [
        [sandwich(NINE, 6, 2, 0.5, generator) for _ in range(20)]
        for generator in (Generator().manual_seed(3), Generator().manual_seed(3))
    ]
    assert draws[0] == draws[1]
