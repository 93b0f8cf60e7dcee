# SPDX-License-Identifier: Apache-2.0
"""The latency model: what it makes of measurements, good, noisy, few and odd ones."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.latency_model import (
    MAX_FIXED_SHARE,
    LatencyModel,
    Observation,
    fit,
    non_increasing,
)

times = st.floats(1e-3, 1e3)
ANY_SHARES = ((1.0,),)  # where layers do not matter


def fit_levels(observations: list[Observation]) -> LatencyModel:
    return fit(observations, ANY_SHARES)


def observe(model: LatencyModel, khz: int) -> Observation:
    return Observation(khz, model.predict(khz))


def test_one_clock_means_that_everything_scales() -> None:
    model = fit_levels([Observation(2_000_000, (10.0, 4.0, 1.0))])
    assert model.fixed_ms == (0.0, 0.0, 0.0)
    assert model.predict(1_000_000) == pytest.approx((20.0, 8.0, 2.0))
    assert model.predict(None) == pytest.approx((10.0, 4.0, 1.0))


def test_close_clocks_count_as_one() -> None:
    model = fit_levels([Observation(2_000_000, (10.0,)), Observation(2_200_000, (10.0,))])
    assert model.fixed_ms == (0.0,)


def test_two_clocks_tell_cycles_from_fixed_time() -> None:
    truth = LatencyModel((), (8e6, 2e6), (1.5, 0.5), ANY_SHARES)
    model = fit_levels(
        [observe(truth, khz) for khz in (1_000_000, 1_500_000, 2_000_000) for _ in "abc"]
    )
    assert model.cycles == pytest.approx(truth.cycles)
    assert model.fixed_ms == pytest.approx(truth.fixed_ms)
    assert model.predict(500_000) == pytest.approx((17.5, 4.5))


def test_fixed_time_is_never_negative() -> None:
    model = fit_levels([Observation(1_000_000, (10.0,)), Observation(2_000_000, (4.0,))])
    assert model.fixed_ms == (0.0,)
    assert 4.0 < model.predict(2_000_000)[0] < 6.0


def test_fixed_time_is_not_all_of_it() -> None:
    """A clock that changed without effect must not make the model blind to the clock."""
    model = fit_levels([Observation(1_000_000, (10.0,)), Observation(2_000_000, (10.0,))])
    assert model.fixed_ms[0] == pytest.approx(10.0 * MAX_FIXED_SHARE)
    assert model.predict(500_000)[0] > model.predict(1_000_000)[0]


def test_without_a_clock_the_measured_latency_is_the_prediction() -> None:
    rounds = [Observation(None, (ms, ms / 2)) for ms in (3.0, 9.0, 4.0)]
    model = fit_levels(rounds)
    assert model.cycles is None
    assert model.predict(1_000_000) == model.predict(None) == (4.0, 2.0)


def test_rounds_without_a_clock_are_left_out_of_the_fit() -> None:
    model = fit_levels([Observation(None, (50.0,)), Observation(1_000_000, (10.0,))])
    assert model.predict(1_000_000) == pytest.approx((10.0,))


def test_outliers_do_not_count() -> None:
    rounds = [Observation(1_000_000, (ms,)) for ms in (5.0, 5.1, 400.0, 5.2, 5.1)]
    assert fit_levels(rounds).predict(1_000_000) == pytest.approx((5.1,))


def test_shares_of_layers_are_kept_as_they_are() -> None:
    shares = [[0.5, 0.5], [0.75, 0.25]]
    for khz in (None, 1_000_000):
        model = fit([Observation(khz, (2.0, 1.0))], shares)
        assert model.layer_shares == ((0.5, 0.5), (0.75, 0.25))


@pytest.mark.parametrize("khz", [0, -1, None])
def test_a_clock_that_is_none_means_the_calibrated_latency(khz: int | None) -> None:
    model = fit_levels([Observation(2_000_000, (10.0, 4.0))])
    assert model.predict(khz) == model.reference_ms == (10.0, 4.0)


def test_no_observation_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one observation"):
        fit_levels([])


@given(
    rounds=st.lists(
        st.builds(
            Observation,
            st.none() | st.integers(100_000, 6_000_000),
            st.tuples(times, times, times, times),
        ),
        min_size=1,
        max_size=8,
    ),
    khz=st.none() | st.integers(1, 10_000_000),
)
def test_predictions_are_finite_and_fall_with_the_level(
    rounds: list[Observation], khz: int | None
) -> None:
    predicted = fit_levels(rounds).predict(khz)
    assert len(predicted) == 4
    assert all(math.isfinite(ms) and ms >= 0 for ms in predicted)
    assert all(denser >= sparser for denser, sparser in pairwise(predicted))


@given(rounds=st.lists(times, min_size=1), khz=st.integers(100_000, 6_000_000))
def test_predictions_rise_when_the_clock_falls(rounds: list[float], khz: int) -> None:
    model = fit_levels([Observation(1_000_000 * (1 + i % 3), (ms,)) for i, ms in enumerate(rounds)])
    assert model.predict(khz / 2)[0] > model.predict(khz)[0]


@given(values=st.lists(st.floats(-1e6, 1e6), max_size=20))
def test_non_increasing_is_a_projection(values: list[float]) -> None:
    smooth = non_increasing(values)
    assert all(a >= b - 1e-6 for a, b in pairwise(smooth))
    assert sum(smooth) == pytest.approx(sum(values), abs=1e-3)
    assert non_increasing(smooth) == pytest.approx(smooth)
    if sorted(values, reverse=True) == values:
        assert smooth == values


def test_violators_are_averaged() -> None:
    assert non_increasing([5.0, 3.0, 4.0, 1.0]) == [5.0, 3.5, 3.5, 1.0]
