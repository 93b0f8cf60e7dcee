# SPDX-License-Identifier: Apache-2.0
"""What a network returns: one tensor, or a tuple, list or dictionary of several; their names."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from torch import fx

from aio.models.conversion import Conversion, Layout
from aio.models.errors import ExportError
from aio.models.manifest import Output

_MOST_CHARACTERS = 255  # of a name in a model file


def makes_record(node: fx.Node) -> bool:
    """Tell whether an fx node makes a named tuple of others."""
    return isinstance(node.target, type) and hasattr(node.target, "_fields")


def named_results(result: Any) -> dict[str, Any]:
    """Return the parts of what a network returns, by the names they have by default.

    Raises:
        ExportError: it is neither a tensor nor a flat collection.
    """
    if isinstance(result, fx.Node) and makes_record(result):
        assert callable(result.target)
        result = result.target(*result.args, **result.kwargs)
    if isinstance(result, Mapping):
        if not all(isinstance(key, str) for key in result):
            raise ExportError("the network returns a dictionary whose keys are not all strings")
        return dict(result)
    if isinstance(result, tuple | list):
        if len(result) == 1:
            return {"output": result[0]}
        fields = getattr(result, "_fields", [f"output_{i}" for i in range(len(result))])
        return dict(zip(fields, result, strict=True))
    return {"output": result}


def returned(
    conversion: Conversion, result: Any, names: Sequence[str] | None
) -> list[tuple[Output, fx.Node]]:
    """Return the outputs, each with the fx node that makes it.

    Raises:
        ExportError: something returned is no value that the graph makes, or the names do not fit.
    """
    results = named_results(result)
    if not results:
        raise ExportError("the network returns nothing")
    wanted = check_names(names, list(results), "output_names")
    outputs = []
    for name, node in zip(wanted, results.values(), strict=True):
        where = f"output {name!r}: " if len(results) > 1 else ""
        if not conversion.is_value(node):
            raise ExportError(
                f"{where}the network must return a tensor it computes, not {_described(node)}"
            )
        value = conversion.value(node)
        if conversion.is_input(value):
            raise ExportError(f"{where}the network returns its input; there is nothing to export")
        if conversion.layout(node) is not Layout.PLAIN:
            layout = conversion.layout(node).value
            raise ExportError(f"{where}returning {layout} is not supported; permute it back")
        outputs.append((Output(name, value), node))
    return outputs


def _described(value: Any) -> str:
    return "a constant" if isinstance(value, fx.Node) else repr(value)


def set_labels(
    conversion: Conversion,
    outputs: Sequence[tuple[Output, fx.Node]],
    labels: Sequence[str] | Mapping[str, Sequence[str]],
) -> None:
    """Give outputs their labels: those of the one output, or a mapping by name.

    Raises:
        ExportError: there is no such output, or it has another number of classes.
    """
    if not isinstance(labels, Mapping):
        if labels and len(outputs) != 1:
            raise ExportError(f"labels for {len(outputs)} outputs must be a mapping by their names")
        labels = {outputs[0][0].name: labels}
    by_name = {output.name: (output, node) for output, node in outputs}
    for name, texts in labels.items():
        if name not in by_name:
            known = ", ".join(by_name)
            raise ExportError(f"labels for an output {name!r}, the network has {known}")
        output, node = by_name[name]
        shape = conversion.value_shape(node)
        if texts and (len(shape) != 1 or len(texts) != shape[0]):
            raise ExportError(f"{len(texts)} labels for an output of shape {shape}")
        output.labels = texts


def check_names(names: Sequence[str] | None, default: list[str], option: str) -> list[str]:
    """Return the names asked for, or the default ones.

    Raises:
        ExportError: there are too few or too many, one is repeated or can't be printed.
    """
    wanted = default if names is None else list(names)
    if isinstance(names, str) or len(wanted) != len(default):
        raise ExportError(f"{option} is {names!r}, expected {len(default)} names")
    if len(set(wanted)) != len(wanted):
        raise ExportError(f"{option}: {wanted} repeats a name")
    for name in wanted:
        printable = all(unicodedata.category(c) not in {"Cc", "Cs"} for c in name)
        if not printable or not 1 <= len(name) <= _MOST_CHARACTERS:
            raise ExportError(
                f"{option}: {name!r} is not 1 to {_MOST_CHARACTERS} printable characters"
            )
    return wanted
