# SPDX-License-Identifier: Apache-2.0
"""The table of operators that can be exported, and how a call's options are read.

A converter is registered for the modules, functions and methods that mean the operator. Its
options are read from a module's attributes, or from a call's arguments in the order given.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, fx, nn

from aio.models.conversion import Conversion, Layout, described, target_name
from aio.models.trace import module_of

REQUIRED = object()
Options = Mapping[str, Any]
Converter = Callable[[Conversion, fx.Node, Options], None]


class _Entry(NamedTuple):
    converter: Converter
    # Names and defaults in the order of a call, without the input; None for any arguments.
    arguments: Mapping[str, Any] | None
    first: str  # what the input is called when it is given by name
    any_layout: bool  # the converter looks at layouts; others get plain inputs only


_TABLE: dict[Any, _Entry] = {}


def converts(
    *targets: Any,
    any_arguments: bool = False,
    first: str = "input",
    any_layout: bool = False,
    **arguments: Any,
) -> Callable[[Converter], Converter]:
    """Register a converter for module types, functions and names of methods.

    Args:
        targets: what means the operator.
        any_arguments: the converter reads the call's arguments itself.
        first: what the call's first argument is called.
        any_layout: the converter takes inputs that are views (see `Layout`), not only plain ones.
        arguments: names and defaults of the other arguments, in the order of a call.
    """

    def register(converter: Converter) -> Converter:
        for target in targets:
            known = None if any_arguments else arguments
            _TABLE[target] = _Entry(converter, known, first, any_layout)
        return converter

    return register


def convert(conversion: Conversion, node: fx.Node) -> None:
    """Convert one call of a module, function or method.

    Raises:
        ExportError: the operator or one of its options is not supported.
    """
    module = module_of(conversion.traced, node)
    entry = _TABLE.get(type(module) if module is not None else node.target)
    if entry is None:
        conversion.fail(node, f"operator {described(conversion, node)} is not supported")
    if not conversion.sources(node):
        conversion.fail(node, f"{described(conversion, node)} does not read a value of the graph")
    if not entry.any_layout:
        _check_plain(conversion, node)
    entry.converter(conversion, node, _options(conversion, node, module, entry))


def takes_any_layout(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Tell whether the converter of a node takes inputs that are views."""
    module = module_of(traced, node)
    entry = _TABLE.get(type(module) if module is not None else node.target)
    return entry is not None and entry.any_layout


def _check_plain(conversion: Conversion, node: fx.Node) -> None:
    for source in conversion.sources(node):
        layout = conversion.layout(source)
        if layout is not Layout.PLAIN:
            name = described(conversion, node)
            conversion.fail(node, f"{name} of {layout.value} is not supported")


def _options(
    conversion: Conversion, node: fx.Node, module: nn.Module | None, entry: _Entry
) -> dict[str, Any]:
    arguments = entry.arguments
    if arguments is None:
        return {}
    if module is not None:
        return {name: getattr(module, name, default) for name, default in arguments.items()}
    options = dict(arguments)
    options.update(zip(arguments, node.args[1:], strict=False))
    for name, value in node.kwargs.items():
        if name in arguments:
            options[name] = value
        elif name not in {entry.first, "inplace"}:
            conversion.fail(node, f"{target_name(node)} with {name}={value} is not supported")
    if len(node.args) - 1 > len(arguments):
        conversion.fail(node, f"{target_name(node)} has arguments that are not supported")
    return options


def stored_tensor(
    conversion: Conversion, node: fx.Node, options: Options, name: str
) -> Tensor | None:
    """Return an option that must be a tensor of the network, or None."""
    value = options[name]
    if isinstance(value, fx.Node):
        stored = conversion.constant(value)
        if stored is None:
            conversion.fail(node, f"{target_name(node)} with a computed {name} is not supported")
        return stored
    assert value is None or isinstance(value, Tensor)
    return value


def pair(value: Any) -> list[int]:
    """Return a size given as one or two numbers as [vertical, horizontal]."""
    values = [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)]
    return values * 2 if len(values) == 1 else values
