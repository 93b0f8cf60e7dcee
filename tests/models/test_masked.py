# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from aio.models.masked import MaskedConv2d, MaskedLinear


def masked_conv(outputs: int = 32, levels: int = 2) -> MaskedConv2d:
    return MaskedConv2d(nn.Conv2d(3, outputs, 3, padding=1), levels, 16)


def test_densest_level_is_the_layer_itself() -> None:
    conv = nn.Conv2d(3, 20, (3, 5), stride=2, padding=(1, 2), dilation=2)
    masked = MaskedConv2d(conv, 1, 16)
    x = torch.randn(2, 3, 20, 21)
    assert torch.equal(masked(x), conv(x))


def test_groups_are_kept() -> None:
    conv = nn.Conv2d(6, 32, 3, groups=2)
    masked = MaskedConv2d(conv, 2, 16)
    x = torch.randn(2, 6, 5, 5)
    assert torch.equal(masked(x), conv(x))
    masked.set_kept_blocks([54, 20])
    masked.level = 1
    assert torch.equal(masked(x), F.conv2d(x, masked.masked_weight(), conv.bias, groups=2))


def test_a_pruned_block_is_zero_and_its_weights_are_kept() -> None:
    layer = masked_conv()
    before = layer.weight.detach().clone()
    layer.set_kept_blocks([54, 10])
    layer.level = 1
    weight = layer.masked_weight()
    zero = (weight.reshape(2, 16, -1) == 0).all(dim=1)
    assert int(zero.sum()) == 54 - 10
    assert torch.equal(layer.weight, before)


def test_a_pruned_block_returns_when_its_score_rises() -> None:
    layer = masked_conv()
    layer.set_kept_blocks([54, 1])
    layer.level = 1
    lowest = int(layer.score.argmin())
    with torch.no_grad():
        layer.score.view(-1)[lowest] = 100.0
    layer.set_kept_blocks([54, 1])
    alive = layer.masked_weight().reshape(2, 16, -1).abs().sum(dim=1).flatten().nonzero()
    assert alive.flatten().tolist() == [lowest]


def test_gradients_are_straight_through() -> None:
    layer = MaskedLinear(nn.Linear(6, 20, bias=False), 1, 16).double()
    layer.set_kept_blocks([5])
    x = torch.randn(4, 6, dtype=torch.float64)
    grad = torch.randn(4, 20, dtype=torch.float64)
    layer(x).backward(grad)
    outer = grad.T @ x  # the gradient of the masked weight
    mask = (layer.score > layer.threshold[0]).repeat_interleave(16, dim=0)[:20]
    per_block = outer * layer.weight
    expected = torch.stack([per_block[:16].sum(0), per_block[16:].sum(0)])
    assert layer.weight.grad is not None
    assert layer.score.grad is not None
    torch.testing.assert_close(layer.weight.grad, outer * mask)
    torch.testing.assert_close(layer.score.grad, expected)


@given(st.integers(1, 70), st.integers(1, 40), st.floats(0, 0.99))
def test_weights_pruned_are_as_close_to_the_ratio_as_a_block_allows(
    outputs: int, inputs: int, ratio: float
) -> None:
    torch.manual_seed(outputs * 100 + inputs)
    layer = MaskedLinear(nn.Linear(inputs, outputs), 1, 16)
    layer.separate_ties()
    blocks = layer.blocks_at(ratio)
    layer.set_kept_blocks([blocks])
    (kept,) = layer.kept_weights()
    assert kept == int((layer.masked_weight() != 0).sum())
    assert layer.kept_blocks() == [blocks]
    half_block = min(16, outputs) / 2
    wanted = (1 - ratio) * outputs * inputs
    assert blocks == 1 or abs(kept - wanted) <= half_block + 1e-6
    if outputs % 16 == 0:
        assert blocks == max(1, round((1 - ratio) * layer.score.numel()))


def test_equal_scores_still_give_the_exact_count() -> None:
    layer = MaskedLinear(nn.Linear(40, 16), 3, 16)
    nn.init.zeros_(layer.score)
    layer.separate_ties()
    layer.set_kept_blocks([40, 20, 1])
    assert layer.kept_blocks() == [40, 20, 1]


def test_repr_names_shape_and_blocks() -> None:
    assert "(32, 3, 3, 3), 54 blocks of 16" in repr(masked_conv())


def test_masked_layer_runs_like_the_zeroed_weight() -> None:
    layer = masked_conv(outputs=24)
    layer.set_kept_blocks([54, 7])
    layer.level = 1
    x = torch.randn(2, 3, 5, 5)
    expected = F.conv2d(x, layer.masked_weight().detach(), layer.bias, padding=1)
    torch.testing.assert_close(layer(x), expected)
    assert int((layer.masked_weight() != 0).sum()) == layer.kept_weights()[1]
    with pytest.raises(IndexError):
        layer.threshold[2]
