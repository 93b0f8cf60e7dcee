# SPDX-License-Identifier: Apache-2.0
"""The content of a model file before it is bytes; see docs/model-format.md."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aio.models.errors import ExportError

FORMAT_VERSION = 2
DEFAULT_BLOCK_HEIGHT = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass
class Node:
    """An operator of the graph.

    Attributes:
        name: unique among nodes and graph inputs.
        op: operator, one of the table in docs/model-format.md.
        inputs: names of the values it reads.
        attrs: its attributes.
        tensors: its tensors by the last part of their name; float64 until `Model.tensors`.
    """

    name: str
    op: str
    inputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)


@dataclass
class Output:
    """A value that the network returns.

    Attributes:
        name: what an answer calls it.
        node: name of the operator that makes it.
        labels: names of its classes, may be empty.
    """

    name: str
    node: str
    labels: Sequence[str] = ()


@dataclass
class Model:
    """Everything a model file holds.

    Attributes:
        name: what it is called when served.
        producer: program and version that made it.
        inputs: shapes without the batch axis by name, in order: (C, H, W) or (features,).
        outputs: what the network returns, in order.
        ratios: pruning ratio of each level.
        metrics: numbers per level, by name.
        nodes: the graph in execution order.
        provenance: where the weights come from; anything JSON can hold.
    """

    name: str
    producer: str
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Sequence[Output]
    ratios: Sequence[float]
    metrics: Mapping[str, Sequence[float]]
    nodes: Sequence[Node]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ExportError(
                f"name {self.name!r} is not usable: up to 64 letters, digits, '.', '_' and '-', "
                "the first a letter or digit; pass another with name="
            )
        for metric, values in self.metrics.items():
            _check_metric(metric, values, len(self.ratios))

    def manifest(self) -> dict[str, Any]:
        """Return the manifest as JSON types."""
        outputs: list[dict[str, Any]] = []
        for output in self.outputs:
            outputs.append({"name": output.name, "node": output.node})
            if output.labels:
                outputs[-1]["labels"] = list(output.labels)
        levels = [
            {"ratio": ratio, "metrics": {name: float(v[i]) for name, v in self.metrics.items()}}
            for i, ratio in enumerate(self.ratios)
        ]
        return {
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "producer": self.producer,
            "inputs": [{"name": name, "shape": list(s)} for name, s in self.inputs.items()],
            "outputs": outputs,
            "levels": levels,
            "nodes": [
                {"name": n.name, "op": n.op, "inputs": n.inputs, "attrs": n.attrs}
                for n in self.nodes
            ],
            "provenance": dict(self.provenance),
        }

    def manifest_json(self) -> str:
        """Return the manifest as compact JSON, the same text for the same content."""
        try:
            return json.dumps(
                self.manifest(), allow_nan=False, ensure_ascii=True, separators=(",", ":")
            )
        except (TypeError, ValueError) as error:
            raise ExportError(f"labels or provenance can't be written as JSON: {error}") from error

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return all tensors as float32 under their names in the file.

        Raises:
            ExportError: a number is not finite in float32.
        """
        result = {}
        for node in self.nodes:
            for suffix, values in node.tensors.items():
                with np.errstate(over="ignore"):
                    single = np.ascontiguousarray(values, dtype=np.float32)
                allowed = np.isfinite(single)
                if suffix == "threshold":
                    allowed |= np.isneginf(single)
                if not allowed.all():
                    raise ExportError(
                        f"{node.name}: {suffix} holds {single[~allowed][0]}; the network's "
                        "training has diverged or its statistics overflow float32"
                    )
                result[f"{node.name}.{suffix}"] = single
        return result


def _check_metric(name: str, values: Sequence[float], levels: int) -> None:
    if len(values) != levels:
        raise ExportError(f"metric {name!r} has {len(values)} values for {levels} levels")
    for value in values:
        if not math.isfinite(value):
            raise ExportError(f"metric {name!r} holds {value}")
        if name == "accuracy" and not 0.0 <= value <= 1.0:
            raise ExportError(f"accuracy {value} is not a fraction between 0 and 1")
