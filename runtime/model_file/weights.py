# SPDX-License-Identifier: Apache-2.0
"""Weights, scores and thresholds of the layers, checked against the graph and each other."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aio.runtime.model_file.defect import Defect, show
from aio.runtime.model_file.manifest import Manifest, Node
from aio.runtime.model_file.ops import ConvAttrs, LinearAttrs, Shape

Array = NDArray[np.float32]

MAX_RATIO_ERROR = 0.01
# Some 20 seconds of one fast core; VGG-16 needs 1.5 % of it.
MAX_MACS = 10**12
_PIECE = 1 << 18


@dataclass(frozen=True)
class Weights:
    """The tensors of one layer as the file has them; None where the file has none.

    A score stands for `block_height` output channels.
    """

    weight: Array
    score: Array | None
    threshold: Array | None
    scale: Array | None
    bias: Array | None
    block_height: int


@dataclass(frozen=True)
class LayerSummary:
    """Counts of one layer: weights kept and multiply-accumulates per sample, by level."""

    node: str
    nonzero_weights: tuple[int, ...]
    macs: tuple[int, ...]
    prunable_weights: int


def weight_shapes(manifest: Manifest, tensors: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the weight's shape of every node that has one, by the shapes of all tensors.

    Raises:
        Defect: a weight is missing or has the wrong number of dimensions.
    """
    shapes = {}
    for node in manifest.nodes:
        rank = node.operator.weight_rank
        if rank == 0:
            continue
        shape = tensors.get(f"{node.name}.weight")
        if shape is None:
            raise Defect(f"node {show(node.name)} ({node.op}): its tensor 'weight' is missing")
        if len(shape) != rank:
            raise Defect(
                f"node {show(node.name)} ({node.op}): weight has shape {list(shape)}, "
                f"expected {rank} dimensions"
            )
        shapes[node.name] = shape
    return shapes


def collect_weights(manifest: Manifest, tensors: Mapping[str, Array]) -> dict[str, Weights]:
    """Return the tensors of every layer by node name, all values checked.

    Raises:
        Defect: a tensor has the wrong shape or a forbidden value, or belongs to no node.
    """
    left = dict(tensors)
    layers = {}
    for node in manifest.nodes:
        if node.operator.weight_rank:
            layers[node.name] = _layer(node, left, len(manifest.levels))
    if left:
        raise Defect(f"tensor {show(min(left))} belongs to no node of the graph")
    return layers


def _layer(node: Node, left: dict[str, Array], levels: int) -> Weights:
    weight = left.pop(f"{node.name}.weight")
    assert isinstance(node.attrs, ConvAttrs | LinearAttrs)
    outputs, height = weight.shape[0], node.attrs.block_height
    blocks = (-(-outputs // height), *weight.shape[1:])
    expected = {
        "score": blocks,
        "threshold": (levels,),
        "scale": (levels, outputs),
        "bias": (levels, outputs),
    }
    found: dict[str, Array | None] = {}
    for part, shape in expected.items():
        tensor = found[part] = left.pop(f"{node.name}.{part}", None)
        if tensor is not None and tensor.shape != shape:
            raise Defect(
                f"tensor {show(f'{node.name}.{part}')} has shape {list(tensor.shape)}, "
                f"expected {list(shape)}"
            )
    layer = Weights(
        weight, found["score"], found["threshold"], found["scale"], found["bias"], height
    )
    check_finite(node.name, {"weight": weight, **found})
    _check_threshold(node.name, layer)
    return layer


def check_finite(node: str, parts: Mapping[str, Array | None]) -> None:
    """Refuse tensors of a node, by part, that hold NaN or infinity; thresholds are judged apart."""
    for part, tensor in parts.items():
        if tensor is None or part == "threshold":
            continue
        index = _first_not_finite(tensor.reshape(-1))
        if index is not None:
            where = np.unravel_index(index, tensor.shape)
            raise Defect(
                f"tensor {show(f'{node}.{part}')} holds {tensor[where]} at "
                f"{[int(i) for i in where]}, expected finite numbers"
            )


def _first_not_finite(values: Array) -> int | None:
    # In pieces: the answers for all of a large layer would take a quarter of its memory.
    for begin in range(0, values.size, _PIECE):
        finite = np.isfinite(values[begin : begin + _PIECE])
        if not finite.all():
            return begin + int(np.argmin(finite))
    return None


def _check_threshold(node: str, layer: Weights) -> None:
    if (layer.score is None) != (layer.threshold is None):
        there, missing = (
            ("score", "threshold")
            if layer.threshold is None
            else (
                "threshold",
                "score",
            )
        )
        raise Defect(f"node {show(node)} has a tensor '{there}' without a '{missing}'")
    if layer.threshold is None:
        return
    for level, value in enumerate(layer.threshold):
        if np.isnan(value) or value == np.inf:
            raise Defect(
                f"tensor {show(f'{node}.threshold')} is {value} at level {level}, "
                "expected a finite number or -inf"
            )
        if level and value < layer.threshold[level - 1]:
            raise Defect(
                f"tensor {show(f'{node}.threshold')} decreases from "
                f"{layer.threshold[level - 1]} to {value} at level {level}: "
                "masks would not be nested"
            )


def summarize(
    manifest: Manifest, layers: Mapping[str, Weights], shapes: Mapping[str, Shape]
) -> tuple[LayerSummary, ...]:
    """Count what every level keeps, and hold it against the ratios of the manifest.

    Raises:
        Defect: a level keeps another fraction of the weights than it says, or needs too much work.
    """
    levels = len(manifest.levels)
    summaries = []
    for name, layer in layers.items():
        kept = _kept_weights(layer, levels)
        pixels = math.prod(shapes[name][1:])
        prunable = 0 if layer.score is None else layer.weight.size
        summaries.append(LayerSummary(name, kept, tuple(n * pixels for n in kept), prunable))
    _check_macs(manifest, layers, summaries)
    _check_ratios(manifest, layers, summaries)
    return tuple(summaries)


def _kept_weights(layer: Weights, levels: int) -> tuple[int, ...]:
    if layer.score is None or layer.threshold is None:
        return (layer.weight.size,) * levels
    height = layer.block_height
    last_rows = layer.weight.shape[0] - height * (layer.score.shape[0] - 1)
    full = _count_above(layer.score[:-1], layer.threshold)
    last = _count_above(layer.score[-1], layer.threshold)
    return tuple(height * f + last_rows * p for f, p in zip(full, last, strict=True))


def _count_above(scores: Array, thresholds: Array) -> list[int]:
    ordered = np.sort(scores, axis=None)
    return [int(n) for n in ordered.size - np.searchsorted(ordered, thresholds, side="right")]


def _check_macs(
    manifest: Manifest, layers: Mapping[str, Weights], summaries: list[LayerSummary]
) -> None:
    nodes = {node.name: node for node in manifest.nodes}
    macs = sum(
        summary.macs[0] * _groups_per_block(nodes[summary.node], layers[summary.node])
        for summary in summaries
    )
    if macs > MAX_MACS:
        raise Defect(f"one sample needs {macs} multiply-accumulates, the limit is {MAX_MACS}")


def _groups_per_block(node: Node, layer: Weights) -> int:
    """Return how many groups a block of output channels spans, at most; it computes all of them."""
    groups = node.attrs.groups if isinstance(node.attrs, ConvAttrs) else 1
    size = layer.weight.shape[0] // groups
    depthwise = layer.weight.shape[1] == size == 1  # has kernels of its own
    return 1 if depthwise else min(groups, (layer.block_height + size - 2) // size + 1)


def _check_ratios(
    manifest: Manifest, layers: Mapping[str, Weights], summaries: list[LayerSummary]
) -> None:
    sparse = [summary for summary in summaries if summary.prunable_weights]
    prunable = sum(summary.prunable_weights for summary in sparse)
    if prunable == 0:
        if len(manifest.levels) > 1 or manifest.levels[0].ratio != 0:
            raise Defect("no layer has scores, so the only level can be ratio 0")
        return
    half_blocks = sum(
        min(layers[s.node].block_height, layers[s.node].weight.shape[0]) / 2 for s in sparse
    )
    allowed = MAX_RATIO_ERROR + half_blocks / prunable
    for index, level in enumerate(manifest.levels):
        actual = 1 - sum(summary.nonzero_weights[index] for summary in sparse) / prunable
        if abs(actual - level.ratio) > allowed:
            raise Defect(
                f"level {index} says ratio {level.ratio}, its masks prune {actual:.4f} of the "
                f"weights; the difference may be {allowed:.4f}"
            )
