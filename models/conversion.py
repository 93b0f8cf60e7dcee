# SPDX-License-Identifier: Apache-2.0
"""From a traced network to the nodes of a model file.

The converters of the operators are in operators.py; this is the state they share: names, shapes
and what has been emitted so far.
"""

import re
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, fx, nn

from aio.models.errors import ExportError
from aio.models.manifest import Node
from aio.models.trace import module_of, place_of

_VALUE = "aio_value"  # key in fx's meta: a _TensorShape, or the value of anything else
_BATCH = 2  # more than one, so that an operator that mixes samples shows in the shapes


class _TensorShape(tuple[int, ...]):
    """The shape of a tensor, as opposed to a size that is itself the value of a node."""

    __slots__ = ()


class Conversion:
    """The graph built so far.

    Attributes:
        traced: the network's inference graph.
        levels: number of levels.
        nodes: what has been emitted.
    """

    def __init__(self, traced: fx.GraphModule, levels: int, input_name: str) -> None:
        self.traced = traced
        self.levels = levels
        self.nodes: list[Node] = []
        self._input_name = input_name
        self._names = {input_name}
        self._values: dict[fx.Node, str] = {}
        self._producers: dict[fx.Node, Node] = {}

    def bind_input(self, node: fx.Node) -> None:
        """Let a placeholder stand for the graph's input."""
        self._values[node] = self._input_name

    def emit(self, node: fx.Node, op: str, attrs: dict[str, Any] | None = None) -> Node:
        """Add an operator that reads all of the fx node's tensor inputs and makes its value."""
        return self.emit_from(
            node, op, [self.value(source) for source in self.sources(node)], attrs
        )

    def emit_from(
        self, node: fx.Node, op: str, inputs: list[str], attrs: dict[str, Any] | None = None
    ) -> Node:
        """Add an operator that reads the named values and makes the fx node's value."""
        made = Node(self._unique_name(node, op), op, inputs, attrs or {})
        self.nodes.append(made)
        self._values[node] = made.name
        self._producers[node] = made
        return made

    def alias(self, node: fx.Node, source: fx.Node) -> None:
        """Let an fx node that changes nothing stand for its input."""
        self._values[node] = self.value(source)

    def extend(self, node: fx.Node, producer: Node) -> None:
        """Let an fx node that was folded into an emitted operator stand for its value."""
        self._values[node] = producer.name
        self._producers[node] = producer

    def producer(self, node: fx.Node) -> Node | None:
        """Return the operator that makes an fx node's value, None for the graph's input."""
        return self._producers.get(node)

    def value(self, node: fx.Node) -> str:
        """Return the name of the value an fx node makes."""
        if node not in self._values:
            self.fail(node, f"{target_name(node)} is not a value of the graph")
        return self._values[node]

    def sources(self, node: fx.Node) -> list[fx.Node]:
        """Return the fx nodes among a node's inputs that make values of the graph."""
        return [source for source in node.all_input_nodes if source in self._values]

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """Return the shape of an fx node's tensor without the batch axis."""
        shape = node.meta[_VALUE]
        if not isinstance(shape, _TensorShape) or not shape or shape[0] != _BATCH:
            self.fail(node, f"{target_name(node)} does not keep the batch axis")
        return tuple(shape[1:])

    def image_shape(self, node: fx.Node) -> tuple[int, int, int]:
        """Return channels, height and width of an fx node's tensor."""
        shape = self.shape(node)
        if len(shape) != 3:
            self.fail(node, f"{target_name(node)} gives {len(shape)} axes, an image has 3")
        return shape

    def concrete(self, argument: Any) -> Any:
        """Replace fx nodes in an argument by their values, for sizes taken from a shape."""
        return fx.node.map_arg(argument, lambda node: node.meta[_VALUE])

    def attribute(self, node: fx.Node) -> Tensor | None:
        """Return the tensor an fx node reads from the network, None when it computes it."""
        if node.op != "get_attr":
            return None
        owner, _, name = str(node.target).rpartition(".")
        value = getattr(self.traced.get_submodule(owner), name)
        return value if isinstance(value, Tensor) else None

    def fail(self, node: fx.Node, reason: str) -> NoReturn:
        """Refuse the network because of a node."""
        place = place_of(node)
        raise ExportError(f"{place}: {reason}" if place else reason)

    def _unique_name(self, node: fx.Node, op: str) -> str:
        if node.op == "call_module":
            wanted = str(node.target)
        else:
            wanted = f"{place_of(node)}.{op}".lstrip(".")
        name, count = wanted, 0
        while name in self._names:
            count += 1
            name = f"{wanted}_{count}"
        self._names.add(name)
        return name


class _Shapes(fx.Interpreter):
    """Runs a graph and notes every value's shape, or the value where it is no tensor."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        n.meta[_VALUE] = _TensorShape(result.shape) if isinstance(result, Tensor) else result
        return result


def makes_tensor(node: fx.Node) -> bool:
    """Tell tensors from sizes and other numbers, which are resolved where they are used."""
    return isinstance(node.meta[_VALUE], _TensorShape)


def note_shapes(traced: fx.GraphModule, example_input: Tensor) -> None:
    """Run the graph once on an example and note all shapes in it.

    Raises:
        ExportError: the example does not fit the network.
    """
    batch = example_input[:1].expand(_BATCH, -1, -1, -1)
    try:
        with torch.no_grad():
            _Shapes(traced).run(batch)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise ExportError(
            f"an example_input of shape {tuple(example_input.shape)} does not run through the "
            f"network: {reason}"
        ) from error


def target_name(node: fx.Node) -> str:
    """Return what a reader of the network's code would call an fx node's operator."""
    if node.op == "call_module":
        return "this module"
    if node.op == "call_method":
        return f"Tensor.{node.target}"
    target = cast("Any", node.target)
    return re.sub(r"[^\w.]", "", getattr(target, "__name__", str(target)))


def described(conversion: Conversion, node: fx.Node) -> str:
    """Return the operator of an fx node for an error message."""
    module = module_of(conversion.traced, node)
    return type(module).__name__ if isinstance(module, nn.Module) else target_name(node)
