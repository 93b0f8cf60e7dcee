# SPDX-License-Identifier: Apache-2.0
"""Export: from a trained `AllInOne` to a model file that the runtime executes.

What the format can't express is refused by operator and place. Every file is checked before it
is written: the graph is run by a plain interpreter and has to answer as the network does.
"""

import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from aio.models.allinone import AllInOne
from aio.models.conversion import Conversion, makes_tensor, note_shapes
from aio.models.errors import ExportError
from aio.models.interpret import interpret
from aio.models.manifest import Model
from aio.models.operators import convert
from aio.models.trace import evaluating, trace
from aio.models.writer import write_model

# Relative to the largest answer. Both sides sum in float32; a wrong graph is off by far more.
_TOLERANCE = 1e-3


def export_model(
    model: AllInOne,
    path: str | os.PathLike[str],
    example_input: Tensor,
    *,
    metrics: Mapping[str, Sequence[float]] | None = None,
    name: str | None = None,
    input_name: str = "input",
    output_name: str = "output",
    labels: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> int:
    """Write a model file and return its size in bytes.

    Args:
        model: the network; neither it nor its mode and levels are changed.
        path: file to write; a file that exists is replaced when the new one is complete.
        example_input: a batch as the network takes it, (N, C, H, W); fixes C, H and W.
        metrics: numbers per level by name, for example {"accuracy": [0.99, 0.98]}.
        name: what the model is called when served; the file's name without suffix by default.
        input_name: what a request calls the input.
        output_name: what an answer calls the output.
        labels: names of the classes, in the order of the outputs.
        provenance: data set, command, seed and the like, as JSON types.

    Raises:
        ExportError: the network has an operator the format lacks, or an argument is wrong.
        OSError: the file can't be written.
    """
    _check_example(example_input)
    content = build_model(
        model,
        example_input,
        name=Path(path).stem if name is None else name,
        metrics=metrics or {},
        input_name=input_name,
        output_name=output_name,
        labels=labels,
        provenance=provenance or {},
    )
    _check_answers(model, content, example_input)
    return write_model(content, path)


def build_model(
    model: AllInOne,
    example_input: Tensor,
    *,
    name: str,
    metrics: Mapping[str, Sequence[float]],
    input_name: str,
    output_name: str,
    labels: Sequence[str],
    provenance: Mapping[str, Any],
) -> Model:
    """Return the content of a model file; the arguments are those of `export_model`."""
    traced = trace(model.net)
    with evaluating(model):
        note_shapes(traced, example_input)
    conversion = Conversion(traced, len(model.ratios), input_name)
    output_node = _convert_graph(conversion)
    shape = conversion.shape(output_node)
    if labels and (len(shape) != 1 or len(labels) != shape[0]):
        raise ExportError(f"{len(labels)} labels for an output of shape {shape}")
    channels, height, width = example_input.shape[1:]
    return Model(
        name=name,
        producer=f"aio-runtime {_version()}",
        input_name=input_name,
        input_shape=(channels, height, width),
        output_name=output_name,
        output_node=conversion.value(output_node),
        labels=labels,
        ratios=model.ratios,
        metrics=metrics,
        nodes=conversion.nodes,
        provenance=provenance,
    )


def _convert_graph(conversion: Conversion) -> fx.Node:
    """Convert every node and return the one whose value is the output."""
    inputs = 0
    for node in conversion.traced.graph.nodes:
        if node.op == "placeholder":
            inputs += 1
            if inputs > 1:
                raise ExportError(f"a second input, {node.target}, is not supported")
            conversion.bind_input(node)
        elif node.op == "output":
            result = node.args[0]
            if not isinstance(result, fx.Node):
                raise ExportError("the network must return one tensor, not several or none")
            if conversion.producer(result) is None:
                raise ExportError("the network returns its input; there is nothing to export")
            return result
        elif node.op != "get_attr" and makes_tensor(node):
            convert(conversion, node)
    raise ExportError("the network returns nothing")


def _check_example(example_input: Tensor) -> None:
    if not isinstance(example_input, Tensor) or example_input.ndim != 4:
        found = getattr(example_input, "shape", type(example_input).__name__)
        raise ExportError(f"example_input must be a tensor (N, C, H, W), got {found}")
    if not example_input.is_floating_point() or 0 in example_input.shape:
        raise ExportError(
            f"example_input must hold floating-point numbers, got {example_input.dtype} of "
            f"shape {tuple(example_input.shape)}"
        )


def _check_answers(model: AllInOne, content: Model, example_input: Tensor) -> None:
    """Compare the exported graph with the network at the densest and the sparsest level."""
    example = example_input[:1].detach()
    noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0))
    x = torch.cat([example, example + noise.to(example)])  # an example may be all zeros
    manifest = content.manifest()
    tensors = {name: torch.from_numpy(v).to(example) for name, v in content.tensors().items()}
    levels = model.layer_levels
    with evaluating(model), torch.no_grad():
        for level in sorted({0, len(model.ratios) - 1}):
            model.set_level(level)
            expected = model(x.clone())
            error = float((interpret(manifest, tensors, x, level) - expected).abs().max())
            if not error <= _TOLERANCE * float(expected.abs().max()):
                model.set_layer_levels(levels)
                raise ExportError(
                    f"the exported graph differs from the network by {error:g} at level {level}; "
                    "does its forward change a tensor in place that it uses again?"
                )
    model.set_layer_levels(levels)


def _version() -> str:
    try:
        return importlib.metadata.version("aio-runtime")
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        return "unknown"
