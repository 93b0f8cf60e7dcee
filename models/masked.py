# SPDX-License-Identifier: Apache-2.0
"""Convolution and linear layers whose blocks are switched by a level.

Forward at level l uses W * 1[score > threshold[l]]. The gradient passes the step function
unchanged (straight-through), so every score learns at every level, also that of a pruned block.
A pruned block keeps its weights and comes back when its score rises above the threshold.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aio.models.blocks import (
    block_sum,
    magnitude,
    separate_ties,
    spread,
    thresholds_for,
    weights_per_block,
)


class _StraightThroughMask(torch.autograd.Function):
    """weight * 1[score > threshold]; the score's gradient is that of weight * score."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, score: Tensor, threshold: Tensor, block_height: int
    ) -> Tensor:
        mask = spread((score > threshold).to(weight.dtype), weight.shape[0], block_height)
        ctx.save_for_backward(weight, mask)
        ctx.block_height = block_height
        return weight * mask

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        weight, mask = ctx.saved_tensors
        needs_weight, needs_score, *_ = ctx.needs_input_grad
        return (
            grad * mask if needs_weight else None,
            block_sum(grad * weight, ctx.block_height) if needs_score else None,
            None,
            None,
        )


class MaskedLayer(nn.Module):
    """A layer with one score per block and one threshold per level.

    Attributes:
        score: one learnable number per block.
        threshold: one number per level; a block is kept when its score is above it.
        level: the level `forward` uses.
    """

    threshold: Tensor
    _weights_per_block: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear, levels: int, block_height: int) -> None:
        super().__init__()
        self.weight = layer.weight
        self.bias = layer.bias
        self.block_height = block_height
        self.level = 0
        self.score = nn.Parameter(magnitude(layer.weight.detach().float(), block_height))
        self.register_buffer("threshold", self.score.new_full((levels,), -torch.inf))
        sizes = weights_per_block(layer.weight.shape, block_height).to(layer.weight.device)
        self.register_buffer("_weights_per_block", sizes, persistent=False)

    def separate_ties(self) -> None:
        """Make equal scores distinct, by an ulp or so; needed after every change of scores."""
        with torch.no_grad():
            ranked = torch.sort(self.score.flatten()).values
            if bool((ranked[1:] == ranked[:-1]).any()):
                self.score.copy_(separate_ties(self.score))

    def blocks_at(self, ratio: float) -> int:
        """Return how many of the best blocks leave closest to `ratio` of the weights zero.

        At least one. Where all blocks are equally high this is round((1 - ratio) * blocks); a
        lower last channel block counts with the rows it has.
        """
        blocks = self.score.numel()
        if self.weight.shape[0] % self.block_height == 0:
            return max(1, round((1.0 - ratio) * blocks))
        order = torch.argsort(self.score.detach().flatten(), descending=True)
        kept = self._weights_per_block.flatten()[order].cumsum(0)
        wanted = (1.0 - ratio) * self.weight.numel()
        return int((kept - wanted).abs().argmin()) + 1

    def block_sizes(self) -> Tensor:
        """Return how many weights each block really has, shaped like the scores."""
        return self._weights_per_block

    def reset_scores(self) -> None:
        """Let every block's score be the magnitude of its weights of now."""
        with torch.no_grad():
            self.score.copy_(magnitude(self.weight.detach().float(), self.block_height))

    def set_kept_blocks(self, kept: Sequence[int]) -> None:
        """Set the thresholds so that exactly `kept[level]` blocks stay at each level."""
        with torch.no_grad():
            self.threshold.copy_(thresholds_for(self.score, kept))

    def kept_blocks(self) -> list[int]:
        """Return the number of blocks kept at each level."""
        return [int((self.score > limit).sum()) for limit in self.threshold]

    def kept_weights(self) -> list[int]:
        """Return the weights kept at each level; rows a block lacks are not counted."""
        return [int(self._weights_per_block[self.score > limit].sum()) for limit in self.threshold]

    def masked_weight(self) -> Tensor:
        """Return the weight of the current level, zeros in place of pruned blocks."""
        return cast(
            "Tensor",
            _StraightThroughMask.apply(  # type: ignore[no-untyped-call]
                self.weight, self.score, self.threshold[self.level], self.block_height
            ),
        )

    def extra_repr(self) -> str:
        """Describe the layer in the `repr` of a network."""
        return f"{tuple(self.weight.shape)}, {self.score.numel()} blocks of {self.block_height}"


class MaskedConv2d(MaskedLayer):
    """A Conv2d with zero padding, by blocks."""

    def __init__(self, conv: nn.Conv2d, levels: int, block_height: int) -> None:
        super().__init__(conv, levels, block_height)
        self.stride = conv.stride
        self.padding = conv.padding
        self.dilation = conv.dilation
        self.groups = conv.groups
        self.padding_mode = conv.padding_mode

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the weights of the current level."""
        weight = self.masked_weight()
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class MaskedLinear(MaskedLayer):
    """A Linear layer, by blocks."""

    def __init__(self, linear: nn.Linear, levels: int, block_height: int) -> None:
        super().__init__(linear, levels, block_height)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply with the weights of the current level."""
        return F.linear(x, self.masked_weight(), self.bias)
