# SPDX-License-Identifier: Apache-2.0
"""The table of operators that can be exported, and how a call's options are read.

A converter is registered for the modules, functions and methods that mean the operator. Its
options are read from a module's attributes, or from a call's arguments in the order given.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import fx, nn

from aio.models.conversion import Conversion, described, target_name
from aio.models.trace import module_of

REQUIRED = object()
Options = Mapping[str, Any]
Converter = Callable[[Conversion, fx.Node, Options], None]


class _Entry(NamedTuple):
    converter: Converter
    # Names and defaults in the order of a call, without the input; None for any arguments.
    arguments: Mapping[str, Any] | None


_TABLE: dict[Any, _Entry] = {}


def converts(
    *targets: Any, any_arguments: bool = False, **arguments: Any
) -> Callable[[Converter], Converter]:
    """Register a converter for module types, functions and names of methods."""

    def register(converter: Converter) -> Converter:
        for target in targets:
            _TABLE[target] = _Entry(converter, None if any_arguments else arguments)
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
    options = {}
    if entry.arguments is not None:
        options = _options(conversion, node, module, entry.arguments)
    entry.converter(conversion, node, options)


def _options(
    conversion: Conversion, node: fx.Node, module: nn.Module | None, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    if module is not None:
        return {name: getattr(module, name, default) for name, default in arguments.items()}
    options = dict(arguments)
    options.update(zip(arguments, node.args[1:], strict=False))
    for name, value in node.kwargs.items():
        if name in arguments:
            options[name] = value
        elif name not in {"input", "inplace"}:
            conversion.fail(node, f"{target_name(node)} with {name}={value} is not supported")
    if len(node.args) - 1 > len(arguments):
        conversion.fail(node, f"{target_name(node)} has arguments that are not supported")
    return options


def pair(value: Any) -> list[int]:
    """Return a size given as one or two numbers as [vertical, horizontal]."""
    values = [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)]
    return values * 2 if len(values) == 1 else values
