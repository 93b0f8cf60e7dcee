# SPDX-License-Identifier: Apache-2.0
"""The manifest of a model file: names, levels and the graph, as frozen dataclasses.

Follows docs/model-format.md. This module checks everything that needs no tensor; `shapes` and
`weights` check the rest.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aio.runtime.errors import InputError
from aio.runtime.model_file import strict_json
from aio.runtime.model_file.defect import Defect, show
from aio.runtime.model_file.fields import Fields, check_integer, check_number
from aio.runtime.model_file.later_ops import FORMAT_VERSION, MAX_FEATURES, OPS
from aio.runtime.model_file.ops import MAX_CHANNELS, MAX_SIDE, Attrs, Operator, Shape

MAX_INPUTS = 256
MAX_LEVELS = 256
MAX_PROVENANCE_DEPTH = 32
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NODE_NAME = re.compile(r".{1,255}")


@dataclass(frozen=True)
class InputSpec:
    """A graph input; the shape is (C, H, W) or (features,), without the batch axis."""

    name: str
    shape: Shape


@dataclass(frozen=True)
class OutputSpec:
    """A graph output: the value of a node, with a label per feature if there are any."""

    name: str
    node: str
    labels: tuple[str, ...] | None


@dataclass(frozen=True)
class Level:
    """One rung of the ladder: the fraction of prunable weights that is zero, and what it scores."""

    ratio: float
    metrics: Mapping[str, float]

    @property
    def accuracy(self) -> float | None:
        """Return the recorded accuracy from 0 to 1, None when nobody measured it."""
        return self.metrics.get("accuracy")


@dataclass(frozen=True)
class Node:
    """One operator of the graph."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Attrs
    operator: Operator = field(repr=False, compare=False)


@dataclass(frozen=True)
class Manifest:
    """The whole manifest."""

    name: str
    producer: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    levels: tuple[Level, ...]
    nodes: tuple[Node, ...]
    provenance: Mapping[str, object]

    @property
    def input(self) -> InputSpec:
        """Return the one input.

        Raises:
            InputError: the model has several.
        """
        if len(self.inputs) != 1:
            names = ", ".join(spec.name for spec in self.inputs)
            raise InputError(f"the model {self.name} has several inputs ({names}), expected one")
        return self.inputs[0]


def parse_manifest(text: str) -> Manifest:
    """Return the checked manifest.

    Raises:
        Defect: a key is missing, unknown, of the wrong type or out of range.
    """
    fields = Fields(strict_json.parse(text, "manifest"), "manifest")
    version = _parse_version(fields)
    inputs = _parse_inputs(fields, version)
    manifest = Manifest(
        name=fields.text("name", _MODEL_NAME),
        producer=fields.text("producer"),
        inputs=inputs,
        levels=_parse_levels(fields),
        nodes=_parse_nodes(fields, {spec.name for spec in inputs}, OPS[version]),
        outputs=tuple(_parse_output(item) for item in fields.nested_list("outputs")),
        provenance=_parse_provenance(fields),
    )
    fields.finish()
    _check_outputs(manifest)
    return manifest


def _parse_version(fields: Fields) -> int:
    version = fields.integer("format_version", 1, 1 << 31)
    if version > FORMAT_VERSION:
        raise Defect(
            f"format version is {version}, this reader takes up to {FORMAT_VERSION}: "
            "update aio-runtime or export the model again"
        )
    return version


def _parse_inputs(fields: Fields, version: int) -> tuple[InputSpec, ...]:
    specs: list[InputSpec] = []
    for item in fields.nested_list("inputs"):
        name = item.text("name", _NODE_NAME)
        if any(spec.name == name for spec in specs):
            raise Defect(f"{item.where}: the name {show(name)} is taken")
        specs.append(InputSpec(name, _parse_shape(item, version)))
        item.finish()
        if len(specs) > MAX_INPUTS:
            raise Defect(f"manifest.inputs has more than the limit of {MAX_INPUTS} entries")
    if not specs:
        raise Defect("manifest.inputs is empty, expected at least one")
    if version == 1 and len(specs) != 1:
        raise Defect(f"manifest.inputs has {len(specs)} entries, version 1 has exactly one")
    return tuple(specs)


def _parse_shape(item: Fields, version: int) -> Shape:
    sides = item.items("shape")
    if len(sides) == 1 and version > 1:
        return (check_integer(sides[0], f"{item.where}.shape[0]", 1, MAX_FEATURES),)
    if len(sides) != 3:
        expected = "3" if version == 1 else "3 for an image, 1 for a flat input"
        raise Defect(f"{item.where}.shape has {len(sides)} entries, expected {expected}")
    shape = tuple(
        check_integer(side, f"{item.where}.shape[{i}]", 1, MAX_CHANNELS)
        for i, side in enumerate(sides)
    )
    if max(shape[1:]) > MAX_SIDE:
        raise Defect(f"{item.where}.shape has a side above the limit of {MAX_SIDE}")
    return shape


def _parse_levels(fields: Fields) -> tuple[Level, ...]:
    items = list(fields.nested_list("levels"))
    if not 1 <= len(items) <= MAX_LEVELS:
        raise Defect(f"manifest.levels has {len(items)} entries, expected 1 to {MAX_LEVELS}")
    levels: list[Level] = []
    for item in items:
        ratio = item.number("ratio")
        if not 0 <= ratio < 1:
            raise Defect(f"{item.where}.ratio is {ratio}, expected 0 <= ratio < 1")
        if levels and ratio <= levels[-1].ratio:
            raise Defect(
                f"{item.where}.ratio is {ratio}, expected more than {levels[-1].ratio} before it"
            )
        levels.append(Level(ratio, _parse_metrics(item.nested("metrics"))))
        item.finish()
    return tuple(levels)


def _parse_metrics(fields: Fields) -> Mapping[str, float]:
    metrics = {
        key: check_number(value, f"{fields.where}.{show(key)}")
        for key, value in fields.rest().items()
    }
    accuracy = metrics.get("accuracy", 0.0)
    if not 0 <= accuracy <= 1:
        raise Defect(f"{fields.where}.accuracy is {accuracy}, expected 0 to 1")
    return metrics


def _parse_nodes(
    fields: Fields, known: set[str], operators: Mapping[str, Operator]
) -> tuple[Node, ...]:
    nodes = []
    for item in fields.nested_list("nodes"):
        node = _parse_node(item, operators)
        if node.name in known:
            raise Defect(f"{item.where}: the name {show(node.name)} is taken")
        for name in node.inputs:
            if name not in known:
                raise Defect(
                    f"node {show(node.name)}: input {show(name)} is neither an input of the "
                    "graph nor an earlier node"
                )
        known.add(node.name)
        nodes.append(node)
    return tuple(nodes)


def _parse_node(item: Fields, operators: Mapping[str, Operator]) -> Node:
    name, op, inputs = item.text("name", _NODE_NAME), item.text("op"), item.texts("inputs")
    operator = operators.get(op)
    if operator is None:
        raise Defect(f"node {show(name)}: unknown op {show(op)}; known are {', '.join(operators)}")
    _check_arity(name, op, operator, len(inputs))
    attrs = Fields(item.take("attrs"), f"node {show(name)}: attrs")
    node = Node(name, op, inputs, operator.parse(attrs), operator)
    attrs.finish()
    item.finish()
    return node


def _check_arity(name: str, op: str, operator: Operator, inputs: int) -> None:
    most = operator.most_inputs or operator.arity
    if not operator.arity <= inputs <= most:
        takes = f"{most}" if operator.most_inputs is None else f"{operator.arity} to {most}"
        raise Defect(f"node {show(name)}: {op} has {inputs} inputs, takes {takes}")


def _parse_output(item: Fields) -> OutputSpec:
    name, node = item.text("name", _NODE_NAME), item.text("node")
    labels = item.texts("labels") if item.has("labels") else None
    item.finish()
    return OutputSpec(name, node, labels)


def _parse_provenance(fields: Fields) -> Mapping[str, object]:
    provenance = fields.nested("provenance").rest()
    # Whoever prints it recurses, so the depth is bounded here.
    layer: list[object] = [provenance]
    for _ in range(MAX_PROVENANCE_DEPTH):
        layer = [inner for value in layer for inner in _children(value)]
    if layer:
        raise Defect(f"manifest.provenance is nested deeper than {MAX_PROVENANCE_DEPTH}")
    return provenance


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _check_outputs(manifest: Manifest) -> None:
    if not manifest.outputs:
        raise Defect("manifest.outputs is empty, expected at least one")
    nodes = {node.name for node in manifest.nodes}
    seen: set[str] = set()
    for output in manifest.outputs:
        if output.name in seen:
            raise Defect(f"two outputs are named {show(output.name)}")
        if output.node not in nodes:
            raise Defect(f"output {show(output.name)}: there is no node {show(output.node)}")
        seen.add(output.name)
