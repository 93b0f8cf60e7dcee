# SPDX-License-Identifier: Apache-2.0
"""Plans: what they say of themselves, how long they take, and which one fits a budget."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outlooks import brute_force, ladders, questions, targets

from aio.governors import LayerShares, Plan, densest_within

Ladder = tuple[LayerShares, list[float]]
# Two levels of 10 and 6 ms, four layers.
SHARES = LayerShares([[1, 1, 1, 1], [1, 2, 2, 1]])
LEVEL_MS = (10.0, 6.0)
ROUNDING = 1e-9


def family(shares: LayerShares, allowed: list[int]) -> list[Plan]:
    """Return every plan that may be answered, densest first."""
    plans = [Plan.uniform(allowed[0])]
    for denser, level in pairwise(allowed):
        plans += [Plan(level, denser, cut) for cut in range(1, shares.layers)]
        plans.append(Plan.uniform(level))
    return plans


def sparser_or_equal(a: Plan, b: Plan, layers: int) -> bool:
    return all(x >= y for x, y in zip(a.levels(layers), b.levels(layers), strict=True))


def test_a_plan_of_one_level() -> None:
    plan = Plan.uniform(3)
    assert (plan.level, plan.mixed, plan.levels(3), str(plan)) == (3, False, [3, 3, 3], "level 3")
    assert plan == Plan(3, 3)


def test_a_mixed_plan_begins_with_the_sparser_level() -> None:
    plan = Plan(first=2, rest=1, cut=3)
    assert (plan.level, plan.mixed) == (2, True)
    assert plan.levels(5) == [2, 2, 2, 1, 1]
    assert str(plan) == "level 2 for 3 layers, then 1"


def test_a_plan_takes_the_parts_of_its_levels() -> None:
    assert SHARES.plan_ms(Plan.uniform(0), LEVEL_MS) == 10.0
    assert SHARES.plan_ms(Plan.uniform(1), LEVEL_MS) == 6.0
    assert SHARES.plan_ms(Plan(1, 0, 1), LEVEL_MS) == pytest.approx(1.0 + 7.5)
    assert SHARES.plan_ms(Plan(1, 0, 3), LEVEL_MS) == pytest.approx(5.0 + 2.5)


def test_shares_are_scaled_to_the_whole() -> None:
    assert SHARES.layers == 4
    assert SHARES.rows() == [[0.25] * 4, pytest.approx([1 / 6, 2 / 6, 2 / 6, 1 / 6])]
    assert LayerShares.whole(2).rows() == [[1.0], [1.0]]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "table of levels x layers"),
        ([[1.0], [1.0, 2.0]], "equally long rows"),
        ([[1.0, 1.0], [0.0, 0.0]], r"level 1: shares \[0.0, 0.0\] are no parts of a time"),
        ([[2.0, -1.0]], r"level 0: shares \[2.0, -1.0\] are no"),
        ([[math.nan]], "level 0: shares"),
        ([[math.inf]], "level 0: shares"),
        ([[1.0, math.nan]], "level 0: shares"),
        ([[1e308, 1e308]], "level 0: shares"),
    ],
)
def test_tables_that_are_no_parts_of_a_time(table: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LayerShares(table)


def test_a_network_without_layers_takes_no_part_of_anything() -> None:
    shares = LayerShares([[], []])
    assert (shares.layers, shares.rows()) == (0, [[], []])
    assert shares.plan_ms(Plan.uniform(1), (2.0, 1.0)) == 1.0
    assert shares.plan_within((2.0, 1.0), 1.5) == (Plan.uniform(1), True)


def test_the_budget_between_two_levels_is_met_by_mixing() -> None:
    assert SHARES.plan_within(LEVEL_MS, 10.0) == (Plan.uniform(0), True)
    assert SHARES.plan_within(LEVEL_MS, 8.6) == (Plan(1, 0, 1), True)
    assert SHARES.plan_within(LEVEL_MS, 8.4) == (Plan(1, 0, 2), True)
    assert SHARES.plan_within(LEVEL_MS, 6.0) == (Plan.uniform(1), True)
    assert SHARES.plan_within(LEVEL_MS, 5.9) == (Plan.uniform(1), False)


def test_levels_that_are_not_allowed_are_skipped_in_the_mix() -> None:
    shares = LayerShares([[1, 1]] * 4)
    plan, met = shares.plan_within((8.0, 6.0, 4.0, 2.0), 5.5, allowed=[0, 3])
    assert (plan, met) == (Plan(3, 0, 1), True)
    plan, met = shares.plan_within((8.0, 6.0, 4.0, 2.0), 2.5, allowed=[1, 0])
    assert (plan, met) == (Plan.uniform(1), False)


@given(ladders(), st.data())
def test_time_is_linear_in_the_times_of_the_levels(ladder: Ladder, data: st.DataObject) -> None:
    shares, level_ms = ladder
    plan = data.draw(st.sampled_from(family(shares, list(range(len(level_ms))))))
    factor = data.draw(st.floats(0.01, 100.0))
    other = [2.0 * ms + 1.0 for ms in level_ms]
    whole = shares.plan_ms(plan, level_ms)
    assert shares.plan_ms(plan, [factor * ms for ms in level_ms]) == pytest.approx(factor * whole)
    both = [a + b for a, b in zip(level_ms, other, strict=True)]
    assert shares.plan_ms(plan, both) == pytest.approx(whole + shares.plan_ms(plan, other))


@given(ladders(), st.data())
def test_time_is_the_sum_of_the_layers(ladder: Ladder, data: st.DataObject) -> None:
    shares, level_ms = ladder
    plan = data.draw(st.sampled_from(family(shares, list(range(len(level_ms))))))
    rows = shares.rows()
    levels = plan.levels(shares.layers)
    layers = [level_ms[level] * rows[level][i] for i, level in enumerate(levels)]
    assert shares.plan_ms(plan, level_ms) == pytest.approx(sum(layers))


@given(ladders(), targets, st.data())
def test_the_plan_is_the_densest_of_its_family_within_the_budget(
    ladder: Ladder, budget_ms: float, data: st.DataObject
) -> None:
    shares, level_ms = ladder
    some = st.lists(st.sampled_from(range(len(level_ms))), min_size=1, unique=True)
    allowed = sorted(data.draw(some))
    budget_ms = data.draw(st.sampled_from([budget_ms, *level_ms, *(0.9 * ms for ms in level_ms)]))
    plan, met = shares.plan_within(level_ms, budget_ms, allowed)
    plans = family(shares, allowed)
    assert plan in plans
    if not met:
        assert plan == plans[-1] == Plan.uniform(allowed[-1])
        assert shares.plan_ms(plan, level_ms) > budget_ms
        return
    assert shares.plan_ms(plan, level_ms) <= budget_ms
    for denser in plans[: plans.index(plan)]:
        assert shares.plan_ms(denser, level_ms) > budget_ms * (1 - ROUNDING)


@given(ladders(), targets, targets)
def test_less_time_never_gives_a_denser_plan(ladder: Ladder, a_ms: float, b_ms: float) -> None:
    shares, level_ms = ladder
    less, more = sorted((a_ms, b_ms))
    tight, tight_met = shares.plan_within(level_ms, less)
    loose, loose_met = shares.plan_within(level_ms, more)
    assert sparser_or_equal(tight, loose, shares.layers)
    assert loose_met or not tight_met


@given(
    st.lists(st.lists(st.floats(0.0, 10.0), min_size=4, max_size=4), min_size=1, max_size=5),
    st.lists(st.floats(0.01, 20.0), min_size=5, max_size=5),
    targets,
)
def test_layers_that_get_slower_by_noise_do_not_break_the_budget(
    table: list[list[float]], level_ms: list[float], budget_ms: float
) -> None:
    shares = LayerShares([[share + 0.01 for share in row] for row in table])
    level_ms = sorted(level_ms[: len(table)], reverse=True)
    plan, met = shares.plan_within(level_ms, budget_ms)
    assert met == (shares.plan_ms(plan, level_ms) <= budget_ms)


@given(questions(), targets)
def test_nonsense_never_gives_a_plan_outside_the_levels(
    question: tuple[list[float], list[int] | None], budget_ms: float
) -> None:
    predicted_ms, allowed = question
    levels = sorted(set(allowed)) if allowed else list(range(len(predicted_ms)))
    shares = LayerShares([[1.0, 2.0, 1.0]] * len(predicted_ms))
    plan, met = shares.plan_within(predicted_ms, budget_ms, allowed)
    assert plan in family(shares, levels)
    assert met == (brute_force(predicted_ms, budget_ms, levels) is not None)


@given(questions(), targets)
def test_densest_within_is_the_densest_that_fits(
    question: tuple[list[float], list[int] | None], budget_ms: float
) -> None:
    predicted_ms, allowed = question
    levels = sorted(set(allowed)) if allowed else list(range(len(predicted_ms)))
    expected = brute_force(predicted_ms, budget_ms, levels)
    level, met = densest_within(predicted_ms, budget_ms, allowed)
    assert (level, met) == ((levels[-1], False) if expected is None else (expected, True))


@pytest.mark.parametrize("budget_ms", [0.0, -1.0, math.nan])
def test_a_budget_nothing_fits_gives_the_sparsest(budget_ms: float) -> None:
    assert densest_within([3.0, 2.0, 1.0], budget_ms) == (2, False)
    shares = LayerShares.whole(3)
    assert shares.plan_within([3.0, 2.0, 1.0], budget_ms) == (Plan.uniform(2), False)


def test_no_budget_gives_the_densest() -> None:
    assert densest_within([3.0, 2.0], math.inf) == (0, True)
    assert LayerShares.whole(2).plan_within([3.0, 2.0], math.inf) == (Plan.uniform(0), True)


@pytest.mark.parametrize(
    ("level_ms", "allowed", "message"),
    [
        ([], None, "a prediction for every level, got none"),
        ([1.0, 2.0], [], r"allowed=\[\]: must name at least one level from 0 to 1"),
        ([1.0, 2.0], [2], r"allowed=\[2\]: must"),
        ([1.0, 2.0], [-1, 0], r"allowed=\[-1, 0\]: must"),
    ],
)
def test_levels_that_do_not_exist_are_named(
    level_ms: list[float], allowed: list[int] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        densest_within(level_ms, 1.0, allowed)
    with pytest.raises(ValueError, match=message):
        LayerShares.whole(2).plan_within(level_ms, 1.0, allowed)
