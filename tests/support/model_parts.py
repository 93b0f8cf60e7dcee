# SPDX-License-Identifier: Apache-2.0
"""Small model files for tests, built of plain NumPy so that they can also be built wrong.

The writer here is independent of `aio.models.export` and of the reader under test.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

Array = NDArray[np.float32]
BLOCK_HEIGHT = 16


def container_bytes(header: bytes, data: bytes = b"") -> bytes:
    """Return a safetensors file of exactly this header and data."""
    return len(header).to_bytes(8, "little") + header + data


@dataclass
class ModelParts:
    """A manifest and its tensors, to be changed at will before they are written."""

    manifest: dict[str, Any]
    tensors: dict[str, Array] = field(default_factory=dict)

    def copy(self) -> ModelParts:
        return copy.deepcopy(self)

    def to_bytes(self) -> bytes:
        metadata = {"format": "aio", "manifest": json.dumps(self.manifest)}
        return bytes(save(dict(self.tensors), metadata))

    def write(self, path: Path) -> Path:
        path.write_bytes(self.to_bytes())
        return path

    def node(self, name: str) -> dict[str, Any]:
        return next(node for node in self.manifest["nodes"] if node["name"] == name)


class ModelBuilder:
    """Grows a network node by node; `finish` sets thresholds that give the levels' ratios."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        ratios: Sequence[float] = (0.0, 0.5, 0.8),
        accuracies: Sequence[float] | None = None,
        seed: int = 0,
        version: int = 1,
        block_height: int = BLOCK_HEIGHT,
    ) -> None:
        self.version = version
        self.others: dict[str, tuple[int, ...]] = {}  # inputs beside "x"
        self.rng = np.random.default_rng(seed)
        self.ratios = tuple(ratios)
        self.tensors: dict[str, Array] = {}
        self.nodes: list[dict[str, Any]] = []
        self.shape = shape
        self.accuracies = accuracies
        self.block_height = block_height  # of layers with scores

    def node(
        self, name: str, op: str, inputs: Sequence[str], attrs: Mapping[str, Any] | None = None
    ) -> str:
        self.nodes.append(
            {"name": name, "op": op, "inputs": list(inputs), "attrs": dict(attrs or {})}
        )
        return name

    def affine(self, name: str, source: str, channels: int) -> str:
        shape = len(self.ratios), channels
        self.tensors[f"{name}.scale"] = self._normal(shape, 0.2) + np.float32(1)
        self.tensors[f"{name}.bias"] = self._normal(shape, 0.2)
        return self.node(name, "affine", [source])

    def layer_norm(
        self, name: str, source: str, shape: tuple[int, ...], over: str, eps: float = 1e-5
    ) -> str:
        self.tensors[f"{name}.weight"] = self._normal(shape, 0.2) + np.float32(1)
        self.tensors[f"{name}.bias"] = self._normal(shape, 0.2)
        return self.node(name, "layer_norm", [source], {"eps": eps, "over": over})

    def conv(
        self,
        name: str,
        source: str,
        weight: tuple[int, int, int, int],
        *,
        stride: Sequence[int] = (1, 1),
        padding: Sequence[int] = (0, 0, 0, 0),
        dilation: Sequence[int] = (1, 1),
        groups: int = 1,
        sparse: bool = True,
        scale: bool = True,
        bias: bool = True,
    ) -> str:
        depthwise = groups == weight[0] > 1 == weight[1]  # the core takes only the usual height
        height = BLOCK_HEIGHT if depthwise or not sparse else self.block_height
        self._layer(name, weight, height if sparse else None, scale=scale, bias=bias)
        attrs = {
            "stride": list(stride),
            "padding": list(padding),
            "dilation": list(dilation),
            "groups": groups,
            **_block_attrs(height),
        }
        return self.node(name, "conv2d", [source], attrs)

    def linear(
        self,
        name: str,
        source: str,
        weight: tuple[int, int],
        *,
        sparse: bool = True,
        scale: bool = False,
        bias: bool = True,
    ) -> str:
        height = self.block_height if sparse else BLOCK_HEIGHT
        self._layer(name, weight, height if sparse else None, scale=scale, bias=bias)
        return self.node(name, "linear", [source], _block_attrs(height))

    def _layer(
        self, name: str, weight: tuple[int, ...], height: int | None, *, scale: bool, bias: bool
    ) -> None:
        fan_in = int(np.prod(weight[1:]))
        self.tensors[f"{name}.weight"] = self._normal(weight, fan_in**-0.5)
        outputs, levels = weight[0], len(self.ratios)
        if height is not None:
            blocks = (-(-outputs // height), *weight[1:])
            score = np.abs(self._normal(blocks))
            self.tensors[f"{name}.score"] = score
            self.tensors[f"{name}.threshold"] = thresholds(score, outputs, self.ratios, height)
        if scale:
            self.tensors[f"{name}.scale"] = self._normal((levels, outputs), 0.1) + np.float32(1)
        if bias:
            self.tensors[f"{name}.bias"] = self._normal((levels, outputs), 0.1)

    def _normal(self, shape: tuple[int, ...], deviation: float = 1.0) -> Array:
        values: Array = self.rng.standard_normal(shape, dtype=np.float32)
        return np.multiply(values, deviation, dtype=np.float32)

    def finish(
        self, outputs: Sequence[str], labels: Sequence[str] | None = None, name: str = "small"
    ) -> ModelParts:
        specs: list[dict[str, Any]] = [{"name": f"{node}_out", "node": node} for node in outputs]
        if labels is not None:
            specs[0]["labels"] = list(labels)
        levels = [{"ratio": ratio, "metrics": {}} for ratio in self.ratios]
        for level, accuracy in zip(levels, self.accuracies or (), strict=False):
            level["metrics"] = {"accuracy": accuracy}
        manifest = {
            "format_version": self.version,
            "name": name,
            "producer": "tests 1",
            "inputs": [
                {"name": key, "shape": list(shape)}
                for key, shape in {"x": self.shape, **self.others}.items()
            ],
            "outputs": specs,
            "levels": levels,
            "nodes": self.nodes,
            "provenance": {"seed": 0},
        }
        return ModelParts(manifest, self.tensors)


def _block_attrs(height: int) -> dict[str, int]:
    return {} if height == BLOCK_HEIGHT else {"block_height": height}


def thresholds(
    score: Array, outputs: int, ratios: Sequence[float], height: int = BLOCK_HEIGHT
) -> Array:
    """Return thresholds that prune each ratio of the layer's weights to within half a block."""
    rows = np.full(score.shape[0], height)
    rows[-1] = outputs - height * (score.shape[0] - 1)
    sizes = np.broadcast_to(rows.reshape(-1, *[1] * (score.ndim - 1)), score.shape).ravel()
    order = np.argsort(score, axis=None)
    pruned = np.concatenate([[0], np.cumsum(sizes[order])]) / sizes.sum()
    values = np.concatenate([[-np.inf], score.ravel()[order]]).astype(np.float32)
    return np.array([values[np.argmin(np.abs(pruned - ratio))] for ratio in ratios], np.float32)


def small_model(
    ratios: Sequence[float] = (0.0, 0.5, 0.8),
    accuracies: Sequence[float] | None = (0.9, 0.8, 0.7),
    seed: int = 0,
    block_height: int = BLOCK_HEIGHT,
) -> ModelParts:
    """Return a network of a few thousand weights that uses every operator of version 1."""
    b = ModelBuilder((3, 11, 9), ratios, accuracies, seed, block_height=block_height)
    b.conv("stem", "x", (20, 3, 3, 3), padding=(1, 1, 1, 1), sparse=False)
    b.node("stem_act", "hardswish", ["stem"])
    pool = {"kernel": [3, 3], "stride": [2, 2], "padding": [1, 1, 1, 1]}
    b.node("pool", "max_pool2d", ["stem_act"], pool)
    b.conv("body", "pool", (20, 20, 3, 3), padding=(1, 1, 1, 1))
    b.node("body_act", "relu", ["body"])
    b.conv("point", "body_act", (20, 20, 1, 1), bias=False)
    b.node("sum", "add", ["point", "pool"])
    b.node("sum_act", "relu6", ["sum"])
    average = {"kernel": [2, 2], "stride": [1, 2], "padding": [0, 1, 1, 0]}
    b.node("average", "avg_pool2d", ["sum_act"], {**average, "count_include_pad": False})
    b.conv("down", "average", (33, 20, 2, 2), stride=(2, 1), dilation=(1, 2), scale=False)
    b.node("global", "global_avg_pool2d", ["down"])
    b.node("flat", "flatten", ["global"])
    b.linear("head", "flat", (10, 33))
    return b.finish(["head"], labels=[str(digit) for digit in range(10)])


def activation_model(block_height: int = BLOCK_HEIGHT) -> ModelParts:
    """Return a small network with every activation, behind a layer and on its own."""
    b = ModelBuilder((6, 5, 4), block_height=block_height)
    value = b.conv("stem", "x", (40, 6, 3, 3), padding=(1, 1, 1, 1))
    for op in ("hardsigmoid", "silu", "sigmoid", "tanh", "gelu", "gelu_tanh", "leaky_relu"):
        attrs = {"negative_slope": 0.2} if op == "leaky_relu" else {}
        act = b.node(f"{op}_act", op, [b.conv(f"{op}_conv", value, (40, 40, 1, 1))], attrs)
        value = b.node(f"{op}_sum", "add", [act, b.node(f"{op}_alone", op, ["stem"], attrs)])
    b.node("flat", "flatten", [value])
    b.linear("head", "flat", (10, 40 * 5 * 4))
    return b.finish(["head"])


def grouped_model(block_height: int = BLOCK_HEIGHT) -> ModelParts:
    """Return a small network of depthwise and grouped convolutions."""
    b = ModelBuilder((12, 9, 8), block_height=block_height)
    b.conv("depthwise", "x", (12, 1, 3, 3), padding=(1, 1, 1, 1), groups=12, sparse=False)
    b.node("act", "relu6", ["depthwise"])
    b.conv("point", "act", (40, 12, 1, 1))
    b.conv("grouped", "point", (60, 10, 3, 3), stride=(2, 1), padding=(1, 0, 1, 0), groups=4)
    b.conv("multiplier", "grouped", (120, 1, 3, 1), groups=60, bias=False)
    b.node("flat", "flatten", ["multiplier"])
    b.linear("head", "flat", (10, 120 * 3 * 6))
    return b.finish(["head"])


def later_model() -> ModelParts:
    """Return a small network of every operator of version 2, with three inputs."""
    b = ModelBuilder((3, 9, 7), version=2)
    b.others = {"vector": (5,), "gate": (40, 1, 1)}
    b.conv("stem", "x", (40, 3, 3, 3), padding=(1, 1, 1, 1))
    b.affine("affine", "stem", 40)
    b.node("relu", "relu", ["affine"])
    b.node("gated", "mul", ["relu", "gate"])
    b.node("shifted", "add", ["gate", "stem"])
    b.node("product", "mul", ["gated", "shifted"])
    b.node("smaller", "adaptive_avg_pool2d", ["product"], {"output_size": [4, 3]})
    b.node("largest", "adaptive_max_pool2d", ["stem"], {"output_size": [4, 3]})
    b.node("joined", "concat", ["smaller", "largest", "smaller"])
    b.layer_norm("norm", "joined", (120,), "channels", eps=1e-6)
    b.node("nearest", "upsample", ["norm"], {"size": [7, 5], "mode": "nearest"})
    for name, aligned in (("bilinear", False), ("aligned", True)):
        attrs = {"size": [7, 5], "mode": "bilinear", "align_corners": aligned}
        b.node(name, "upsample", ["norm"], attrs)
    b.node("sum", "add", ["nearest", b.node("both", "add", ["bilinear", "aligned"])])
    b.conv("point", "sum", (33, 120, 1, 1))
    b.node("weights", "softmax", ["point"])
    b.layer_norm("whole", "point", (33, 7, 5), "sample")
    b.node("image", "mul", ["whole", "weights"])
    b.node("global", "global_avg_pool2d", ["relu"])
    b.linear("side", b.affine("scaled", "vector", 5), (20, 5), sparse=False)
    b.node("flat", "concat", [b.node("features", "flatten", ["global"]), "side", "vector"])
    b.layer_norm("flat_norm", "flat", (65,), "sample")
    b.linear("head", "flat_norm", (10, 65))
    b.node("scores", "softmax", ["head"])
    # Many outputs, as bounds on errors widen from one operator to the next.
    return b.finish(["scores", "product", "largest", "joined", "norm", "sum", "weights", "image"])
