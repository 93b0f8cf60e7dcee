# SPDX-License-Identifier: Apache-2.0
"""Export: from a trained `AllInOne` to a model file that the runtime executes.

What the format can't express is refused by operator and place. Every file is checked before it
is written: the graph is run by a plain interpreter and has to answer as the network does.
"""

import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from aio.models.allinone import AllInOne
from aio.models.conversion import Conversion, makes_tensor, note_shapes
from aio.models.errors import ExportError
from aio.models.export_check import check_answers
from aio.models.manifest import Model
from aio.models.operators import convert
from aio.models.outputs import check_names, makes_record, returned, set_labels
from aio.models.pixels import find_pixels
from aio.models.trace import evaluating, trace
from aio.models.writer import write_model


def export_model(
    model: AllInOne,
    path: str | os.PathLike[str],
    example_input: Tensor | Sequence[Tensor],
    *,
    metrics: Mapping[str, Sequence[float]] | None = None,
    name: str | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    labels: Sequence[str] | Mapping[str, Sequence[str]] = (),
    provenance: Mapping[str, Any] | None = None,
) -> int:
    """Write a model file and return its size in bytes.

    Args:
        model: the network; neither it nor its mode and levels are changed.
        path: file to write; a file that exists is replaced when the new one is complete.
        example_input: a batch as the network takes it, (N, C, H, W) or (N, features); fixes all
            but N. A tuple or list of batches for a network of several inputs.
        metrics: numbers per level by name, for example {"accuracy": [0.99, 0.98]}.
        name: what the model is called when served; the file's name without suffix by default.
        input_names: what a request calls the inputs; by default "input" for one, the names of
            forward's parameters for several.
        output_names: what an answer calls the outputs; by default "output" for one, the keys of a
            dictionary or the fields of a named tuple, or "output_0" and so on.
        labels: names of the classes, in the order of the one output; for several outputs a mapping
            of labels by the output's name.
        provenance: data set, command, seed and the like, as JSON types.

    Raises:
        ExportError: the network has an operator the format lacks, or an argument is wrong.
        OSError: the file can't be written.
    """
    examples = _examples(example_input)
    content = build_model(
        model,
        examples,
        name=Path(path).stem if name is None else name,
        metrics=metrics or {},
        input_names=input_names,
        output_names=output_names,
        labels=labels,
        provenance=provenance or {},
    )
    check_answers(model, content, examples)
    return write_model(content, path)


def build_model(
    model: AllInOne,
    examples: Sequence[Tensor],
    *,
    name: str,
    metrics: Mapping[str, Sequence[float]],
    input_names: Sequence[str] | None,
    output_names: Sequence[str] | None,
    labels: Sequence[str] | Mapping[str, Sequence[str]],
    provenance: Mapping[str, Any],
) -> Model:
    """Return the content of a model file; the arguments are those of `export_model`."""
    traced = trace(model.net, len(examples))
    parameters = [node for node in traced.graph.nodes if node.op == "placeholder"]
    if len(parameters) != len(examples):
        wanted = ", ".join(str(node.target) for node in parameters)
        raise ExportError(f"the network takes {wanted}, example_input has {len(examples)} tensors")
    with evaluating(model):
        note_shapes(traced, examples)
    default = ["input"] if len(parameters) == 1 else [str(node.target) for node in parameters]
    names = check_names(input_names, default, "input_names")
    conversion = Conversion(traced, len(model.ratios), names, find_pixels(traced))
    result = _convert_graph(conversion, names)
    outputs = returned(conversion, result, output_names)
    set_labels(conversion, outputs, labels)
    return Model(
        name=name,
        producer=f"aio-runtime {_version()}",
        inputs={key: tuple(x.shape[1:]) for key, x in zip(names, examples, strict=True)},
        outputs=[output for output, _ in outputs],
        ratios=model.ratios,
        metrics=metrics,
        nodes=conversion.nodes,
        provenance=provenance,
    )


def _convert_graph(conversion: Conversion, input_names: Sequence[str]) -> Any:
    """Convert every node and return what the network returns, with fx nodes for tensors."""
    names = iter(input_names)
    for node in conversion.traced.graph.nodes:
        if node.op == "placeholder":
            conversion.bind_input(node, next(names))
        elif node.op == "output":
            return node.args[0]
        elif conversion.constant(node) is None and makes_tensor(node) and not makes_record(node):
            convert(conversion, node)
    raise ExportError("the network returns nothing")


def _examples(example_input: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Return an example of every input, checked."""
    several = isinstance(example_input, tuple | list)
    examples = list(example_input) if several else [cast("Tensor", example_input)]
    if not examples:
        raise ExportError("example_input is empty, expected a tensor per input")
    for x in examples:
        if not isinstance(x, Tensor) or x.ndim not in {2, 4}:
            found = getattr(x, "shape", type(x).__name__)
            raise ExportError(
                "example_input must be a tensor (N, C, H, W) or (N, features), or a tuple of them, "
                f"got {found}"
            )
        if not x.is_floating_point() or 0 in x.shape:
            raise ExportError(
                f"example_input must hold floating-point numbers, got {x.dtype} of "
                f"shape {tuple(x.shape)}"
            )
    return examples


def _version() -> str:
    try:
        return importlib.metadata.version("aio-runtime")
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        return "unknown"
