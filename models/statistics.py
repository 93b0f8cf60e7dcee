# SPDX-License-Identifier: Apache-2.0
"""Levels of a model file made usable without training: the statistics of every layer put right.

A sparser level changes mean and spread of what a layer makes, and everything behind it suffers.
Each output channel has a scale and a bias per level in the file, so both can be given back what
they are at the densest level, at no cost at inference. For a network with batch normalisation this
is its re-calibration (arXiv 1903.05134); without, it is all that can be done by measuring alone.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from aio.models.interpret import interpret_node
from aio.models.manifest import Model

MOST_GAIN = 20.0
"""A channel that has lost nearly everything is not amplified by more than this: it is noise."""
_SCALED = ("conv2d", "linear", "affine")


class _Moments:
    """Mean and standard deviation per channel, over all batches."""

    def __init__(self) -> None:
        self._count = 0
        self._sum: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0

    def add(self, values: Tensor) -> None:
        flat = values.transpose(0, 1).flatten(1).double()
        self._count += flat.shape[1]
        self._sum = self._sum + flat.sum(1)
        self._squares = self._squares + flat.square().sum(1)

    @property
    def mean(self) -> Tensor:
        return torch.as_tensor(self._sum / self._count)

    @property
    def deviation(self) -> Tensor:
        variance = torch.as_tensor(self._squares / self._count) - self.mean.square()
        return variance.clamp_min(0.0).sqrt()


class _Wanted(NamedTuple):
    mean: Tensor
    deviation: Tensor
    scale: Tensor


def corrected_nodes(model: Model) -> list[str]:
    """Return the names of nodes whose statistics are put right: pruned, or normalised before."""
    return [
        node.name
        for node in model.nodes
        if node.op in _SCALED and ({"score", "scale"} & set(node.tensors))
    ]


def correct_statistics(
    model: Model,
    batches: Callable[[], Iterable[Sequence[Tensor]]],
    levels: Sequence[int],
) -> None:
    """Give levels the statistics of level 0, layer by layer, in place.

    Args:
        model: the content of a file.
        batches: called once per level, gives the same batches each time: a tensor per input.
        levels: to be put right; not 0.
    """
    names = corrected_nodes(model)
    rows = len(model.ratios)
    for node in model.nodes:
        if node.name in names:
            channels = _channels(model, node.name)
            for part, neutral in (("scale", 1.0), ("bias", 0.0)):
                if part not in node.tensors:
                    node.tensors[part] = torch.full((rows, channels), neutral).double().numpy()
    manifest = model.manifest()
    tensors = {name: torch.from_numpy(values).clone() for name, values in model.tensors().items()}
    with torch.no_grad():
        wanted = _of_level_0(manifest["nodes"], manifest["inputs"], tensors, batches(), names)
        for level in levels:
            _correct(manifest, tensors, batches(), level, wanted)
    for node in model.nodes:
        if node.name in names:
            for part in ("scale", "bias"):
                node.tensors[part] = tensors[f"{node.name}.{part}"].double().numpy()


def _channels(model: Model, name: str) -> int:
    (node,) = (node for node in model.nodes if node.name == name)
    source = node.tensors.get("weight", node.tensors.get("scale", node.tensors.get("bias")))
    assert source is not None
    return int(source.shape[0] if "weight" in node.tensors else source.shape[1])


def _of_level_0(
    nodes: list[dict[str, object]],
    inputs: list[dict[str, object]],
    tensors: dict[str, Tensor],
    batches: Iterable[Sequence[Tensor]],
    names: Sequence[str],
) -> dict[str, _Wanted]:
    """Return the statistics of every corrected node's value at the densest level."""
    moments = {name: _Moments() for name in names}
    for batch in batches:
        values = _inputs(inputs, batch)
        for node in nodes:
            value = interpret_node(node, tensors, _sources(values, node), 0)
            values[str(node["name"])] = value
            if node["name"] in moments:
                moments[str(node["name"])].add(value)
    return {
        name: _Wanted(m.mean, m.deviation, tensors[f"{name}.scale"][0].double())
        for name, m in moments.items()
    }


def _correct(
    manifest: dict[str, list[dict[str, object]]],
    tensors: dict[str, Tensor],
    batches: Iterable[Sequence[Tensor]],
    level: int,
    wanted: dict[str, _Wanted],
) -> None:
    """Put one level right. A batch goes on with its own statistics, as in training."""
    pooled = {name: _Moments() for name in wanted}
    for batch in batches:
        values = _inputs(manifest["inputs"], batch)
        for node in manifest["nodes"]:
            name = str(node["name"])
            if name in wanted:
                _set(tensors, name, level, torch.tensor(1.0), torch.tensor(0.0))
                value = interpret_node(node, tensors, _sources(values, node), level)
                pooled[name].add(value)
                own = _Moments()
                own.add(value)
                scale, bias = _affine(own, wanted[name])
                sides = (1, -1, *[1] * (value.ndim - 2))
                value = value * scale.reshape(sides).float() + bias.reshape(sides).float()
            else:
                value = interpret_node(node, tensors, _sources(values, node), level)
            values[name] = value
    for name, moments in pooled.items():
        _set(tensors, name, level, *_affine(moments, wanted[name]))


def _affine(found: _Moments, wanted: _Wanted) -> tuple[Tensor, Tensor]:
    """Return scale and bias that give a channel the wanted mean and deviation."""
    most = MOST_GAIN * wanted.scale.abs()
    size = torch.minimum(wanted.deviation / found.deviation.clamp_min(1e-12), most)
    scale = torch.where(wanted.scale < 0, -size, size)
    return scale, wanted.mean - scale * found.mean


def _set(tensors: dict[str, Tensor], name: str, level: int, scale: Tensor, bias: Tensor) -> None:
    tensors[f"{name}.scale"][level] = scale
    tensors[f"{name}.bias"][level] = bias


def _inputs(specs: list[dict[str, object]], batch: Sequence[Tensor]) -> dict[str, Tensor]:
    return {str(spec["name"]): x for spec, x in zip(specs, batch, strict=True)}


def _sources(values: dict[str, Tensor], node: dict[str, object]) -> list[Tensor]:
    inputs = node["inputs"]
    assert isinstance(inputs, list)
    return [values[name] for name in inputs]
