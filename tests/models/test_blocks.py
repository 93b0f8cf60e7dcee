# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aio.models.blocks import (
    block_sum,
    magnitude,
    score_shape,
    separate_ties,
    spread,
    thresholds_for,
    weights_per_block,
)
from aio.models.errors import ModelError

finite = st.floats(-(2.0**100), 2.0**100, width=32)
few_values = st.sampled_from([-1.0, -0.0, 0.0, 1e-40, -1e-40, 1.0, 1.0000001])
score_lists = st.lists(st.one_of(finite, few_values), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("weight", "expected"),
    [((16, 3, 3, 3), (1, 3, 3, 3)), ((17, 3, 1, 5), (2, 3, 1, 5)), ((1, 7), (1, 7))],
)
def test_score_shape(weight: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert score_shape(weight, 16) == expected


@given(st.integers(1, 50), st.integers(1, 20))
def test_spread_and_block_sum_are_transposes(rows: int, block_height: int) -> None:
    generator = torch.Generator().manual_seed(rows * 100 + block_height)
    weight = torch.randn(rows, 3, dtype=torch.float64, generator=generator)
    blocks = torch.randn(score_shape(weight.shape, block_height), dtype=torch.float64)
    left = (spread(blocks, rows, block_height) * weight).sum()
    right = (blocks * block_sum(weight, block_height)).sum()
    assert left.item() == pytest.approx(right.item())


def test_last_block_has_the_rows_that_exist() -> None:
    assert weights_per_block((20, 2), 16).tolist() == [[16, 16], [4, 4]]


def test_magnitude_does_not_punish_a_low_block() -> None:
    assert torch.equal(magnitude(torch.ones(20, 2), 16), torch.ones(2, 2))


def test_magnitude_of_zero_weights_is_zero() -> None:
    assert torch.equal(magnitude(torch.zeros(16, 2), 16), torch.zeros(1, 2))


@given(score_lists)
def test_separated_scores_are_distinct_in_order_and_close(values: list[float]) -> None:
    scores = torch.tensor(values)
    separated = separate_ties(scores)
    assert len(set(separated.tolist())) == len(values)
    assert separated.dtype == torch.float32
    # Greater stays greater; among equals the first is the greatest.
    wanted = sorted(range(len(values)), key=lambda i: (-scores[i].item(), i))
    assert torch.argsort(separated, descending=True).tolist() == wanted
    # No subnormal number, which a processor may treat as zero.
    nonzero = separated[separated != 0].abs()
    assert bool((nonzero >= torch.finfo(torch.float32).tiny).all())


def test_distinct_scores_stay_as_they_are() -> None:
    scores = torch.randn(3, 40)
    assert torch.equal(separate_ties(scores), scores)


@given(score_lists, st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_thresholds_keep_exactly_the_count(values: list[float], fractions: list[float]) -> None:
    scores = separate_ties(torch.tensor(values))
    kept = sorted((max(1, math.ceil(f * len(values))) for f in fractions), reverse=True)
    thresholds = thresholds_for(scores, kept)
    assert thresholds.dtype == torch.float32
    assert bool((thresholds[1:] >= thresholds[:-1]).all())
    # As any reader does it, without torch.
    file_scores, file_thresholds = scores.numpy(), thresholds.numpy()
    assert [int(np.sum(file_scores > limit)) for limit in file_thresholds] == kept


def test_keeping_everything_needs_no_finite_threshold() -> None:
    assert thresholds_for(torch.tensor([0.5, 0.1]), [2, 1]).tolist() == [
        -math.inf,
        pytest.approx(0.1),
    ]


@pytest.mark.parametrize("kept", [[0], [4], [1, 2]])
def test_impossible_counts_are_refused(kept: list[int]) -> None:
    with pytest.raises(ModelError, match=r"kept|keep"):
        thresholds_for(torch.tensor([1.0, 2.0, 3.0]), kept)


def test_ties_are_refused_not_miscounted() -> None:
    with pytest.raises(ModelError, match="equal scores"):
        thresholds_for(torch.tensor([1.0, 1.0, 2.0]), [2])
