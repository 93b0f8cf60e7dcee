# SPDX-License-Identifier: Apache-2.0
"""Blocks of weights, their scores and the thresholds that select them.

A block is `block_height` output channels x 1 input element (one channel of one kernel tap), so
a weight of shape (O, I, kh, kw) has scores of shape (ceil(O / block_height), I, kh, kw). The
last channel block is lower when O is no multiple of the height. A block is kept if and only if
its score is above the threshold, compared in float32 everywhere: here, in the file and in the
executor.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from aio.models.errors import ModelError

_SMALLEST_NORMAL_BITS = 0x00800000  # of float32; anything below is zero or subnormal


def score_shape(weight_shape: Sequence[int], block_height: int) -> tuple[int, ...]:
    """Return the shape of the scores of a weight."""
    return (-(-weight_shape[0] // block_height), *weight_shape[1:])


def spread(block_values: Tensor, rows: int, block_height: int) -> Tensor:
    """Repeat every block's value over the output channels (`rows` in all) the block covers."""
    blocks, *rest = block_values.shape
    tall = block_values.unsqueeze(1).expand(blocks, block_height, *rest)
    return tall.reshape(blocks * block_height, *rest)[:rows]


def block_sum(weight_values: Tensor, block_height: int) -> Tensor:
    """Sum the values of every block; the transpose of `spread`."""
    rows, *rest = weight_values.shape
    missing = -rows % block_height
    if missing:
        weight_values = torch.cat([weight_values, weight_values.new_zeros(missing, *rest)])
    return weight_values.reshape(-1, block_height, *rest).sum(1)


def weights_per_block(weight_shape: Sequence[int], block_height: int) -> Tensor:
    """Return how many weights each block really has, shaped like the scores (int64)."""
    return block_sum(torch.ones(tuple(weight_shape), dtype=torch.int64), block_height)


def magnitude(weight: Tensor, block_height: int) -> Tensor:
    """Return every block's root mean square, relative to the layer's mean of it.

    Rows that do not exist count neither for nor against a block.
    """
    count = weights_per_block(weight.shape, block_height).to(weight)
    rms = (block_sum(weight.square(), block_height) / count).sqrt()
    mean = rms.mean()
    return rms / mean if mean > 0 else rms


def separate_ties(scores: Tensor) -> Tensor:
    """Return float32 scores in the same order but all distinct, each moved by as little as can be.

    Equal scores could only be kept or pruned together, which would miss the exact count. Among
    equals the one at the lower index counts as greater. Subnormal numbers are rounded to zero
    and never produced, because a processor that flushes them to zero would see ties again.
    """
    flat = scores.detach().flatten()
    # Descending and stable, then flipped: ascending, with the lowest index last among equals.
    order = torch.sort(flat, descending=True, stable=True).indices.flip(0)
    ranks = _to_ranks(flat[order])
    step = torch.arange(len(ranks), device=ranks.device)
    distinct = torch.cummax(ranks - step, dim=0).values + step
    result = torch.empty_like(flat)
    result[order] = _from_ranks(distinct)
    return result.reshape(scores.shape)


def _to_ranks(values: Tensor) -> Tensor:
    """Map float32 to integers that order the same way; neighbours differ by one, zero is 0."""
    bits = values.contiguous().view(torch.int32).to(torch.int64)
    size = (bits & 0x7FFFFFFF) - (_SMALLEST_NORMAL_BITS - 1)
    return size.clamp(min=0) * torch.where(bits < 0, -1, 1)


def _from_ranks(ranks: Tensor) -> Tensor:
    size = ranks.abs()
    bits = torch.where(size > 0, size + (_SMALLEST_NORMAL_BITS - 1), 0)
    values = bits.to(torch.int32).view(torch.float32)
    return torch.where(ranks < 0, -values, values)


def thresholds_for(scores: Tensor, kept: Sequence[int]) -> Tensor:
    """Return one float32 threshold per level so that exactly `kept[level]` scores are above it.

    Raises:
        ModelError: a count is out of range, grows with the level, or ties make it impossible.
    """
    total = scores.numel()
    if any(not 1 <= count <= total for count in kept):
        raise ModelError(f"kept blocks must be between 1 and {total}, got {list(kept)}")
    if any(later > earlier for earlier, later in itertools.pairwise(kept)):
        raise ModelError(f"a sparser level can't keep more blocks: {list(kept)}")
    ascending = torch.sort(scores.detach().flatten()).values
    # The greatest pruned score is itself the threshold: "above" is strict, nothing is rounded.
    below_all = ascending.new_full((1,), -torch.inf)
    candidates = torch.cat([below_all, ascending])
    index = torch.tensor([total - count for count in kept], device=scores.device)
    thresholds = candidates[index]
    above = (ascending.unsqueeze(0) > thresholds.unsqueeze(1)).sum(1).tolist()
    if above != list(kept):
        raise ModelError(f"equal scores: {list(kept)} blocks asked for, {above} are selectable")
    return thresholds
