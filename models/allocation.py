# SPDX-License-Identifier: Apache-2.0
"""How many blocks each layer keeps at each ratio.

An allocation is a plain function. Whatever it gives, the weights kept in all of the network are as
close to the ratio as whole blocks allow, and a sparser level keeps no more of any layer.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aio.models.errors import ModelError
from aio.models.masked import MaskedLayer

Allocation = Callable[
    [Mapping[str, MaskedLayer], Sequence[float]],
    Mapping[str, Sequence[int]],
]
"""From the prunable layers by name and the ratios to the kept blocks per layer and level."""

LEAST_PART = 0.25
"""Of what `uniform` gives it: a ranking over all layers leaves every layer that much."""


def uniform(
    layers: Mapping[str, MaskedLayer], ratios: Sequence[float]
) -> Mapping[str, Sequence[int]]:
    """Give every layer the same ratio."""
    return {name: [layer.blocks_at(ratio) for ratio in ratios] for name, layer in layers.items()}


def erdos_renyi_kernel(
    layers: Mapping[str, MaskedLayer], ratios: Sequence[float]
) -> Mapping[str, Sequence[int]]:
    """Give a layer a density that falls with its size: ERK of RigL (arXiv 1911.11134).

    The density is proportional to (inputs + outputs + kernel sides) / weights, at most 1.
    """
    sizes = {name: layer.weight.numel() for name, layer in layers.items()}
    wanted = {name: sum(layer.weight.shape) / sizes[name] for name, layer in layers.items()}
    result: dict[str, list[int]] = {name: [] for name in layers}
    for ratio in ratios:
        factor = _density_factor(sizes, wanted, 1.0 - ratio)
        for name, layer in layers.items():
            result[name].append(layer.blocks_at(1.0 - min(1.0, factor * wanted[name])))
    return {name: _not_increasing(counts) for name, counts in result.items()}


def ranked(
    layers: Mapping[str, MaskedLayer],
    ratios: Sequence[float],
    costs: Mapping[str, float] | None = None,
) -> Mapping[str, Sequence[int]]:
    """Keep the best blocks of the whole network, by score, or by score for what they cost.

    Scores of a layer are compared relative to their mean, so that no layer wins by its scale.

    Args:
        layers: the prunable layers.
        ratios: of each level.
        costs: measured time of each layer at full density; None for equal ones.

    Raises:
        ModelError: a layer has no cost.
    """
    _check_costs(layers, costs)
    names = list(layers)
    keys = torch.cat(
        [_worth(layers[name], None if costs is None else costs[name]) for name in names]
    )
    heights = torch.cat([_weights(layers[name]) for name in names])
    owner = torch.cat([torch.full((layers[n].score.numel(),), i) for i, n in enumerate(names)])
    place = torch.cat([torch.arange(layers[name].score.numel()) for name in names])
    order = torch.argsort(keys, descending=True, stable=True)
    heights, owner, place = heights[order], owner[order], place[order]
    least = uniform(layers, ratios)
    result: dict[str, list[int]] = {name: [] for name in names}
    for level, ratio in enumerate(ratios):
        floor = torch.tensor([max(1, math.ceil(LEAST_PART * least[name][level])) for name in names])
        forced = place < floor[owner]
        free = heights * ~forced
        total = (heights * forced).sum() + free.cumsum(0)
        distance = (total - (1.0 - ratio) * heights.sum()).abs()
        last = int(distance.argmin())
        kept = forced.clone()
        kept[: last + 1] = True
        counts = torch.bincount(owner[kept], minlength=len(names)).tolist()
        for name, count in zip(names, counts, strict=True):
            result[name].append(count)
    return {name: _not_increasing(counts) for name, counts in result.items()}


def allocation(name: str, costs: Mapping[str, float]) -> Allocation:
    """Return an allocation by its name in the settings."""
    by_name: dict[str, Allocation] = {
        "uniform": uniform,
        "erk": erdos_renyi_kernel,
        "global": ranked,
        "cost": partial(ranked, costs=costs),
    }
    return by_name[name]


def read_costs(path: Path) -> dict[str, float]:
    """Return the measured time of each layer, in ms, from the JSON of `aio bench --layers`.

    That of the densest level on the least threads; a plain mapping of names to numbers is taken
    as it is.

    Raises:
        ModelError: the file holds no times of layers.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = _costs_of(document)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ModelError(
            f"{path} holds no times of layers ({error!r}); "
            "`aio bench MODEL --levels 0 --threads 1 --layers --json` writes them"
        ) from error
    wrong = [name for name, cost in found.items() if not (math.isfinite(cost) and cost > 0)]
    if wrong or not found:
        raise ModelError(f"{path}: the time of {wrong[0] if wrong else 'no layer'} is not positive")
    return found


def _costs_of(document: Any) -> dict[str, float]:
    if "results" not in document:
        return {str(name): float(cost) for name, cost in document.items()}
    threads = min(document["results"], key=lambda result: result["threads"])
    densest = min(threads["levels"], key=lambda level: level["level"])
    layers = [layer for layer in densest["layers"] if layer["density"] is not None]
    return {layer["name"]: float(layer["latency_ms"]["median"]) for layer in layers}


def _check_costs(layers: Mapping[str, MaskedLayer], costs: Mapping[str, float] | None) -> None:
    missing = [name for name in layers if costs is not None and name not in costs]
    if missing:
        raise ModelError(f"there is no cost of layer {missing[0]!r}; measure this very network")


def _worth(layer: MaskedLayer, cost: float | None) -> Tensor:
    """Return what every block is worth, best first."""
    score = layer.score.detach().flatten().cpu().double()
    score = torch.sort(score, descending=True).values
    score = score / score.abs().mean().clamp_min(1e-12)
    if cost is None:
        return score
    # A block's part of the layer's time. Below zero, dividing would turn the order around.
    per_block = cost / layer.score.numel()
    return torch.where(score > 0, score / per_block, score)


def _weights(layer: MaskedLayer) -> Tensor:
    """Return how many weights each block has, in the order of `_worth`."""
    order = torch.argsort(layer.score.detach().flatten(), descending=True)
    return layer.block_sizes().flatten()[order].cpu()


def _density_factor(sizes: Mapping[str, int], wanted: Mapping[str, float], density: float) -> float:
    """Return the factor of `wanted` at which densities, at most 1, keep `density` of all."""
    full: set[str] = set()
    while len(full) < len(sizes):
        rest = [name for name in sizes if name not in full]
        target = density * sum(sizes.values()) - sum(sizes[name] for name in full)
        factor = max(0.0, target) / sum(wanted[name] * sizes[name] for name in rest)
        more = {name for name in rest if factor * wanted[name] > 1.0}
        if not more:
            return factor
        full |= more
    return math.inf


def _not_increasing(counts: list[int]) -> list[int]:
    """Undo what rounding to whole blocks may raise by one from a level to a sparser one."""
    for level in range(1, len(counts)):
        counts[level] = min(counts[level], counts[level - 1])
    return counts
