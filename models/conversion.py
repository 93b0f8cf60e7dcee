# SPDX-License-Identifier: Apache-2.0
"""From a traced network to the nodes of a model file.

The converters of the operators are in `operators`; this is the state they share: names, shapes,
layouts and what has been emitted so far.
"""

import enum
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from aio.models.errors import ExportError
from aio.models.folding import fold_affine
from aio.models.manifest import Node
from aio.models.trace import module_of, place_of

_VALUE = "aio_value"  # key in fx's meta: a _TensorShape, or the value of anything else
_CONSTANT = "aio_constant"  # key in fx's meta: the tensor, where no input of the network decides it
_BATCH = 2  # more than one, so that an operator that mixes samples shows in the shapes
_SCALED = frozenset({"conv2d", "linear", "affine"})  # operators that end with a scale and a bias


class Layout(enum.Enum):
    """How a tensor of the network shows a value of the graph, which is C x H x W or flat."""

    PLAIN = "as the graph has it"
    CHANNELS_LAST = "a channels-last view"  # N x H x W x C
    PIXEL = "a flat view of one pixel"  # N x C of a value of C x 1 x 1


class _TensorShape(tuple[int, ...]):
    """The shape of a tensor, as opposed to a size that is itself the value of a node."""

    __slots__ = ()


class _Deferred(NamedTuple):
    source: fx.Node
    emit: Callable[[], Node]
    padding: list[int] | None  # [top, left, bottom, right] of zeros; None: the source is expanded


class Conversion:
    """The graph built so far.

    Attributes:
        traced: the network's inference graph.
        levels: number of levels.
        nodes: what has been emitted.
        pixels: flat tensors to be kept as images of one pixel, see `pixels.find_pixels`.
    """

    def __init__(
        self, traced: fx.GraphModule, levels: int, input_names: Sequence[str], pixels: set[fx.Node]
    ) -> None:
        self.traced = traced
        self.levels = levels
        self.nodes: list[Node] = []
        self.pixels = pixels
        self._input_names = frozenset(input_names)
        self._names = set(input_names)
        self._values: dict[fx.Node, str] = {}
        self._producers: dict[fx.Node, Node] = {}
        self._layouts: dict[fx.Node, Layout] = {}
        self._deferred: dict[fx.Node, _Deferred] = {}

    def bind_input(self, node: fx.Node, name: str) -> None:
        """Let a placeholder stand for an input of the graph."""
        self._values[node] = name

    def emit(self, node: fx.Node, op: str, attrs: dict[str, Any] | None = None) -> Node:
        """Add an operator that reads all of the fx node's tensor inputs and makes its value.

        The value has the layout of the first input.
        """
        sources = self.sources(node)
        made = self.emit_from(node, op, [self.value(source) for source in sources], attrs)
        self.set_layout(node, self.layout(sources[0]))
        return made

    def emit_from(
        self, node: fx.Node, op: str, inputs: list[str], attrs: dict[str, Any] | None = None
    ) -> Node:
        """Add an operator that reads the named values and makes the fx node's value."""
        made = self.emit_inner(node, op, inputs, attrs)
        self.extend(node, made)
        return made

    def emit_inner(
        self, node: fx.Node, op: str, inputs: list[str], attrs: dict[str, Any] | None = None
    ) -> Node:
        """Add one of several operators that an fx node becomes, which does not make its value."""
        made = Node(self._unique_name(node, op), op, inputs, attrs or {})
        self.nodes.append(made)
        return made

    def affine(
        self, node: fx.Node, source: fx.Node, scale: NDArray[Any], bias: NDArray[Any]
    ) -> None:
        """Let an fx node stand for scale * source + bias, each (levels, channels).

        They become part of the operator that makes the source where nothing else reads it.
        """
        producer = self.producer(source)
        if producer is None or producer.op not in _SCALED or len(source.users) != 1:
            producer = self.emit_from(node, "affine", [self.value(source)])
        elif producer.op == "affine" and node.op == "call_module":
            producer.name = self._unique_name(node, "affine")  # levels are known by modules
        fold_affine(producer, scale, bias)
        self.extend(node, producer)
        self.set_layout(node, self.layout(source))

    def affine_inner(self, node: fx.Node, value: str, scale: float, channels: int) -> str:
        """Add an operator that scales a value, which is one of several the fx node becomes."""
        made = self.emit_inner(node, "affine", [value])
        fold_affine(made, np.full((self.levels, channels), scale), np.zeros(1))
        return made.name

    def alias(self, node: fx.Node, source: fx.Node, layout: Layout = Layout.PLAIN) -> None:
        """Let an fx node that changes nothing stand for its input, in a layout of its own."""
        self._values[node] = self.value(source)
        self.set_layout(node, layout)

    def extend(self, node: fx.Node, producer: Node) -> None:
        """Let an fx node stand for the value of an operator."""
        self._values[node] = producer.name
        self._producers[node] = producer

    def defer(
        self,
        node: fx.Node,
        source: fx.Node,
        emit: Callable[[], Node],
        padding: list[int] | None = None,
    ) -> None:
        """Emit a padding with zeros, or an expansion of pixels, only when something needs it.

        Windows pad on their own (see `unpadded`), sums and products expand (see `unexpanded`).
        """
        self._deferred[node] = _Deferred(source, emit, padding)

    def unpadded(self, node: fx.Node) -> tuple[fx.Node, list[int]]:
        """Return what a window can read instead of a zero-padded image, and how to pad that."""
        deferred = self._deferred.get(node)
        if deferred is None or deferred.padding is None:
            return node, [0, 0, 0, 0]
        source, inner = self.unpadded(deferred.source)
        return source, [a + b for a, b in zip(inner, deferred.padding, strict=True)]

    def unexpanded(self, node: fx.Node) -> fx.Node:
        """Return what an operator that broadcasts can read instead of an expanded pixel."""
        deferred = self._deferred.get(node)
        return node if deferred is None or deferred.padding is not None else deferred.source

    def producer(self, node: fx.Node) -> Node | None:
        """Return the operator that makes an fx node's value, None for an input of the graph."""
        return self._producers.get(node)

    def value(self, node: fx.Node) -> str:
        """Return the name of the value an fx node makes."""
        if node in self._deferred and node not in self._values:
            self.extend(node, self._deferred[node].emit())
        if node not in self._values:
            self.fail(node, f"{target_name(node)} is not a value of the graph")
        return self._values[node]

    def is_input(self, value: str) -> bool:
        """Tell whether a value is an input of the graph."""
        return value in self._input_names

    def is_value(self, node: object) -> bool:
        """Tell whether an argument is an fx node that makes a value of the graph."""
        return node in self._values or node in self._deferred

    def sources(self, node: fx.Node) -> list[fx.Node]:
        """Return the fx nodes among a node's inputs that make values of the graph."""
        return [source for source in node.all_input_nodes if self.is_value(source)]

    def layout(self, node: fx.Node) -> Layout:
        """Return how an fx node's tensor shows its value."""
        return self._layouts.get(node, Layout.PLAIN)

    def set_layout(self, node: fx.Node, layout: Layout) -> None:
        """Note how an fx node's tensor shows its value."""
        self._layouts[node] = layout

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """Return the shape of an fx node's tensor without the batch axis."""
        shape = node.meta[_VALUE]
        if not isinstance(shape, _TensorShape) or not shape or shape[0] != _BATCH:
            self.fail(node, f"{target_name(node)} does not keep the batch axis")
        return tuple(shape[1:])

    def value_shape(self, node: fx.Node) -> tuple[int, ...]:
        """Return the shape of an fx node's value, whatever the layout of its tensor."""
        shape = self.shape(node)
        layout = self.layout(node)
        if layout is Layout.CHANNELS_LAST:
            return (shape[2], shape[0], shape[1])
        return (shape[0], 1, 1) if layout is Layout.PIXEL else shape

    def image_shape(self, node: fx.Node) -> tuple[int, int, int]:
        """Return channels, height and width of an fx node's value."""
        shape = self.value_shape(node)
        if len(shape) != 3:
            self.fail(node, f"{target_name(node)} gives {len(shape)} axes, an image has 3")
        return shape

    def channel_axis(self, node: fx.Node) -> int:
        """Return the axis of an fx node's tensor, batch included, that counts channels."""
        return 3 if self.layout(node) is Layout.CHANNELS_LAST else 1

    def concrete(self, argument: Any) -> Any:
        """Replace fx nodes in an argument by their values, for sizes taken from a shape."""
        return fx.node.map_arg(argument, lambda node: node.meta[_VALUE])

    def constant(self, node: fx.Node) -> Tensor | None:
        """Return the tensor of an fx node that no input decides, None for any other."""
        value = node.meta.get(_CONSTANT)
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
    """Runs a graph and notes every value's shape, or the value where it is no tensor.

    A tensor that no input of the network decides is kept: it is a constant.
    """

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        is_tensor = isinstance(result, Tensor)
        n.meta[_VALUE] = _TensorShape(result.shape) if is_tensor else result
        if n.op != "placeholder" and all(_CONSTANT in node.meta for node in n.all_input_nodes):
            n.meta[_CONSTANT] = result
        return result


def tensor_shape(node: fx.Node) -> tuple[int, ...] | None:
    """Return the noted shape of an fx node's tensor with the batch axis, None for no tensor."""
    shape = node.meta[_VALUE]
    return tuple(shape) if isinstance(shape, _TensorShape) else None


def makes_tensor(node: fx.Node) -> bool:
    """Tell tensors, and tuples of them, from sizes, which are resolved where they are used."""
    value = node.meta[_VALUE]
    if isinstance(value, _TensorShape):
        return True
    return isinstance(value, tuple | list) and any(isinstance(item, Tensor) for item in value)


def note_shapes(traced: fx.GraphModule, examples: Sequence[Tensor]) -> None:
    """Run the graph once on an example of every input and note all shapes in it.

    Raises:
        ExportError: the examples do not fit the network.
    """
    batches = [x[:1].repeat(_BATCH, *[1] * (x.ndim - 1)) for x in examples]
    try:
        with torch.no_grad():
            _Shapes(traced).run(*batches)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        shapes = " and ".join(str(tuple(x.shape)) for x in examples)
        raise ExportError(
            f"an example_input of shape {shapes} does not run through the network: {reason}"
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
