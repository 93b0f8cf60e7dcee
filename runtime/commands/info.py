# SPDX-License-Identifier: Apache-2.0
"""`aio info`: what a model file holds, from the file alone."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from aio.runtime.printing import json_text, number, text_table

if TYPE_CHECKING:
    from aio.runtime.model_file import LayerSummary, ModelFile

HELP = "describe a model file: levels, accuracies, graph"
EXAMPLES = """\
examples:
  aio info                        the model that ships with the package
  aio info resnet18.aio --nodes   also every node of the graph
  aio info resnet18.aio --json    for machines
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", nargs="?", type=Path, help="model file (the shipped one)")
    parser.add_argument("--nodes", action="store_true", help="list the nodes of the graph")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Read and check the file, print what it says."""
    from aio.runtime.model_file import read_model_file  # noqa: PLC0415
    from aio.runtime.shipped import SHIPPED_MODEL  # noqa: PLC0415

    model = read_model_file(args.model or SHIPPED_MODEL)
    if args.json:
        print(json_text(describe(model)))
        return 0
    print(_summary(model))
    print()
    print(_levels(model))
    if args.nodes:
        print()
        print(_nodes(model))
    return 0


def describe(model: "ModelFile") -> dict[str, object]:
    """Return the file's content, without the tensors, as plain data."""
    manifest = model.manifest
    layers = {layer.node: layer for layer in model.layers}
    return {
        "path": str(model.path),
        "size_bytes": model.size_bytes,
        "sha256": model.content_hash,
        "name": manifest.name,
        "producer": manifest.producer,
        "inputs": [{"name": spec.name, "shape": spec.shape} for spec in manifest.inputs],
        "outputs": [
            {"name": output.name, "shape": model.shapes[output.node], "labels": output.labels}
            for output in manifest.outputs
        ],
        "weights": sum(layer.weight.size for layer in model.weights.values()),
        "prunable_weights": model.prunable_weights,
        "levels": [
            {
                "index": index,
                "ratio": level.ratio,
                "metrics": dict(level.metrics),
                "nonzero_weights": model.nonzero_weights(index),
                "macs": model.macs(index),
            }
            for index, level in enumerate(manifest.levels)
        ],
        "nodes": [
            {
                "name": node.name,
                "op": node.op,
                "inputs": node.inputs,
                "output_shape": model.shapes[node.name],
                **_layer_counts(layers.get(node.name)),
            }
            for node in manifest.nodes
        ],
        "provenance": manifest.provenance,
    }


def _layer_counts(layer: "LayerSummary | None") -> dict[str, object]:
    if layer is None:
        return {}
    return {
        "nonzero_weights": layer.nonzero_weights,
        "macs": layer.macs,
        "sparse": layer.prunable_weights > 0,
    }


def _summary(model: "ModelFile") -> str:
    manifest = model.manifest
    weights = sum(layer.weight.size for layer in model.weights.values())
    lines = [
        ("file", f"{model.path}, {model.size_bytes:,} bytes"),
        ("model", manifest.name),
        ("producer", manifest.producer),
        *(("input", f"{spec.name} {_shape(spec.shape)}") for spec in manifest.inputs),
    ]
    for output in manifest.outputs:
        labels = f", {len(output.labels)} labels" if output.labels else ""
        lines.append(("output", f"{output.name} {_shape(model.shapes[output.node])}{labels}"))
    lines.append(("weights", f"{weights:,}, {model.prunable_weights:,} of them prunable"))
    lines.append(("nodes", f"{len(manifest.nodes)}"))
    lines += [
        (f"provenance {key if key.isprintable() else ascii(key)}", json.dumps(value))
        for key, value in sorted(manifest.provenance.items())
    ]
    width = max(len(key) for key, _ in lines)
    return "\n".join(f"{key:<{width}}  {value}" for key, value in lines)


def _levels(model: "ModelFile") -> str:
    rows = [
        [
            str(index),
            f"{level.ratio:.3f}",
            number(level.accuracy, ".4f"),
            f"{model.nonzero_weights(index):,}",
            f"{model.macs(index):,}",
        ]
        for index, level in enumerate(model.manifest.levels)
    ]
    return text_table(["level", "ratio", "accuracy", "non-zero weights", "MACs"], rows)


def _nodes(model: "ModelFile") -> str:
    layers = {layer.node: layer for layer in model.layers}
    rows = []
    for node in model.manifest.nodes:
        layer = layers.get(node.name)
        counts = ["", "", ""]
        if layer is not None:
            ends = layer.nonzero_weights[0], layer.nonzero_weights[-1], layer.macs[0]
            counts = [f"{count:,}" for count in ends]
        inputs = " ".join(node.inputs)
        rows.append([node.name, node.op, inputs, _shape(model.shapes[node.name]), *counts])
    header = ["node", "op", "inputs", "output", "weights", "at last level", "MACs"]
    return text_table(header, rows, left=4)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
