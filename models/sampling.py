# SPDX-License-Identifier: Apache-2.0
"""Which subnets a training step runs.

The sandwich rule (US-Nets, arXiv 1903.05134): the densest and the sparsest level in each step
bound all others, and a few random ones are drawn between them, sparse ones more often: they gain
most from a step, and dense ones get along with few. Some of the random ones use two
levels, the second from a random layer on, because the runtime does so too: it mixes a level with
the next sparser one to hit a target, and it leaves a level for any other in the middle of an
inference when the clock changes.
"""

from collections.abc import Sequence

import torch
from torch import Generator

Plan = int | list[int]
"""One level for all layers, or a level per layer."""


def sandwich(
    ratios: Sequence[float],
    layers: int,
    random_levels: int,
    mixed_fraction: float,
    generator: Generator,
    *,
    adjacent_fraction: float = 0.0,
    sparse_preference: float = 0.0,
) -> list[Plan]:
    """Return the subnets of one step, the densest first.

    Args:
        ratios: of each level.
        layers: how many layers depend on the level.
        random_levels: subnets drawn beside the two ends.
        mixed_fraction: chance that one of these mixes two levels.
        generator: source of all draws.
        adjacent_fraction: chance that a mixed one goes from a level to the next sparser one; the
            others go from any level to any other.
        sparse_preference: levels are drawn in proportion to their density to the power of minus
            this; 0 draws all alike.
    """
    levels = len(ratios)
    plans: list[Plan] = [0]
    for level in _inner(ratios, random_levels, sparse_preference, generator):
        mixed = torch.rand((), generator=generator).item() < mixed_fraction
        if not mixed:
            plans.append(level)
        elif adjacent_fraction and torch.rand((), generator=generator) < adjacent_fraction:
            plans.append(adjacent_cut(levels, layers, generator))
        else:
            plans.append(_cut(level, levels, layers, generator))
    if levels > 1:
        plans.append(levels - 1)
    return plans


def _inner(
    ratios: Sequence[float], count: int, preference: float, generator: Generator
) -> list[int]:
    """Return distinct random levels between the ends."""
    weights = torch.tensor([(1.0 - ratio) ** -preference for ratio in ratios[1:-1]])
    count = min(count, len(weights))
    if count == 0:
        return []
    drawn: list[int] = (1 + torch.multinomial(weights, count, generator=generator)).tolist()
    return drawn


def _cut(level: int, levels: int, layers: int, generator: Generator) -> list[int]:
    """Return a plan that leaves `level` for a random other one at a random layer."""
    other = int(torch.randint(levels, (), generator=generator))
    cut = int(torch.randint(layers + 1, (), generator=generator))
    return [level] * cut + [other] * (layers - cut)


def adjacent_cut(levels: int, layers: int, generator: Generator) -> list[int]:
    """Return a plan of a random level that the next sparser one replaces at a random layer."""
    level = int(torch.randint(max(1, levels - 1), (), generator=generator))
    cut = int(torch.randint(layers + 1, (), generator=generator))
    return [level] * cut + [min(level + 1, levels - 1)] * (layers - cut)
