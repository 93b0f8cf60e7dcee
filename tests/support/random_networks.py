# SPDX-License-Identifier: Apache-2.0
"""Random networks out of every operator: plans that print and shrink, and their torch modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

Shape = tuple[int, ...]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
}
MOST_CHANNELS, MOST_SIDE, MOST_FEATURES = 70, 14, 600
KERNELS = ((1, 1), (3, 3), (5, 5), (7, 7), (1, 3), (5, 2), (3, 1), (2, 2))


class Step(NamedTuple):
    """One operator: what it is, which values it reads (inputs first), and its numbers."""

    op: str
    sources: tuple[int, ...]
    numbers: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A network: shapes of its inputs without batch axis, its steps, the values it returns."""

    inputs: tuple[Shape, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    seed: int  # of the weights


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class Squeeze(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.up(F.silu(self.down(F.adaptive_avg_pool2d(x, 1))))
        return torch.sigmoid(gate) * x


class RandomNetwork(nn.Module):
    """The torch module of a plan."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            parts = {str(i): _PARTS[s.op](*s.numbers) for i, s in enumerate(plan.steps)}
        self.parts = nn.ModuleDict({i: m for i, m in parts.items() if isinstance(m, nn.Module)})
        self.functions = {i: f for i, f in parts.items() if not isinstance(f, nn.Module)}

    def forward(self, a: Tensor, b: Tensor | None = None, c: Tensor | None = None) -> Any:
        values = [a, b, c][: len(self.plan.inputs)]
        for i, step in enumerate(self.plan.steps):
            part = self.parts[str(i)] if str(i) in self.parts else self.functions[str(i)]
            values.append(part(*(values[source] for source in step.sources)))
        results = [values[i] for i in self.plan.outputs]
        return results[0] if len(results) == 1 else tuple(results)


def _conv(
    ends: tuple[int, int],
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    extra: tuple[bool, bool],
) -> nn.Module:
    bias, norm = extra
    top, left, bottom, right = padding
    same = (top, left) == (bottom, right)
    inside = (top, left) if same else 0
    conv = nn.Conv2d(*ends, kernel, stride, inside, dilation, groups, bias=bias)
    layers: list[nn.Module] = [] if same else [nn.ZeroPad2d((left, right, top, bottom))]
    return nn.Sequential(*layers, conv, *([nn.BatchNorm2d(ends[1])] if norm else []))


def _linear(ends: tuple[int, int], bias: bool, norm: bool) -> nn.Module:
    return nn.Sequential(nn.Linear(*ends, bias=bias), *([nn.BatchNorm1d(ends[1])] if norm else []))


# From an operator's numbers to a module or a function.
_PARTS: dict[str, Callable[..., Callable[..., Tensor]]] = {
    "conv": _conv,
    "linear": _linear,
    "activation": lambda name: ACTIVATIONS[name](),
    "max_pool": lambda kernel, stride, padding, ceil: nn.MaxPool2d(
        kernel, stride, padding, ceil_mode=ceil
    ),
    "avg_pool": nn.AvgPool2d,
    "adaptive_avg": nn.AdaptiveAvgPool2d,
    "adaptive_max": nn.AdaptiveMaxPool2d,
    "upsample": lambda size, mode, corners: nn.Upsample(
        size, mode=mode, align_corners=corners if mode == "bilinear" else None
    ),
    "pad": lambda *sides: nn.ZeroPad2d(sides),
    "batch_norm": lambda channels, axes: (nn.BatchNorm2d if axes == 3 else nn.BatchNorm1d)(
        channels
    ),
    "pixel_norm": LayerNorm2d,
    "layer_norm": nn.LayerNorm,
    "softmax": lambda: nn.Softmax(dim=1),
    "scalar": lambda scale, shift: lambda x: scale * x + shift,
    "add": lambda: lambda x, y: x + y,
    "subtract": lambda: lambda x, y: x - y,
    "mul": lambda: lambda x, y: x * y,
    "concat": lambda: lambda *values: torch.cat(values, 1),
    "squeeze": Squeeze,
    "mean": lambda: lambda x: x.mean((2, 3), keepdim=True),
    "flatten": nn.Flatten,
}


class _Growth:
    """The plan so far: steps and the shape of every value."""

    def __init__(self, draw: st.DrawFn, inputs: Sequence[Shape]) -> None:
        self.draw = draw
        self.shapes = list(inputs)
        self.steps: list[Step] = []

    def chance(self) -> bool:
        return self.draw(st.booleans())

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, max(low, high)))

    def pick(self, choices: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(choices))

    def add(self, op: str, sources: Sequence[int], shape: Shape, *numbers: Any) -> int:
        self.steps.append(Step(op, tuple(sources), numbers))
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def grow(self) -> None:
        """Add one operator that reads a recent value."""
        recent = range(max(0, len(self.shapes) - 3), len(self.shapes))
        source = self.pick(recent)
        kinds = _IMAGE_KINDS if len(self.shapes[source]) == 3 else _FLAT_KINDS
        self.pick(kinds)(self, source)


def _slide(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    return (size + padding - dilation * (kernel - 1) - 1) // stride + 1


def _grow_conv(g: _Growth, source: int) -> None:
    channels, height, width = g.shapes[source]
    kernel, stride = g.pick(KERNELS), (g.number(1, 3), g.number(1, 3))
    dilation = (g.number(1, 2), g.number(1, 2))
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    # At least what makes the kernel fit, on any side.
    need = [max(0, e - size) for e, size in zip(extent, (height, width), strict=True)]
    top, left = (g.number(0, 2) for _ in range(2))
    bottom, right = (top, left) if g.chance() else (g.number(0, 2), g.number(0, 2))
    bottom, right = max(bottom, need[0] - top), max(right, need[1] - left)
    groups = g.pick([1, 1, 1, channels, *[n for n in range(2, 9) if channels % n == 0]])
    out = groups * g.number(1, max(1, min(3, MOST_CHANNELS // groups)))
    if groups == 1:
        out = g.number(1, MOST_CHANNELS)
    rows = _slide(height, kernel[0], stride[0], top + bottom, dilation[0])
    columns = _slide(width, kernel[1], stride[1], left + right, dilation[1])
    sides = (top, left, bottom, right)
    extra = (g.chance(), g.chance())
    g.add(
        "conv",
        [source],
        (out, rows, columns),
        (channels, out),
        kernel,
        stride,
        sides,
        dilation,
        groups,
        extra,
    )


def _grow_activation(g: _Growth, source: int) -> None:
    g.add("activation", [source], g.shapes[source], g.pick(list(ACTIVATIONS)))


def _grow_pool(g: _Growth, source: int) -> None:
    channels, height, width = g.shapes[source]
    kernel = (g.number(1, min(4, height)), g.number(1, min(4, width)))
    stride = (g.number(1, 3), g.number(1, 3))
    padding = (g.number(0, kernel[0] // 2), g.number(0, kernel[1] // 2))
    sides = [
        _slide(size, k, s, 2 * p)
        for size, k, s, p in zip((height, width), kernel, stride, padding, strict=True)
    ]
    if g.chance():
        # ceil_mode, where sizes are such that it adds a window that lies inside the padding rules
        ceil = _ceil_fits((height, width), kernel, stride, padding)
        probe = torch.empty(1, 1, height, width)
        sides = list(F.max_pool2d(probe, kernel, stride, padding, ceil_mode=ceil).shape[2:])
        g.add("max_pool", [source], (channels, *sides), kernel, stride, padding, ceil)
    else:
        g.add("avg_pool", [source], (channels, *sides), kernel, stride, padding, False, g.chance())


def _ceil_fits(size: Shape, kernel: Shape, stride: Shape, padding: Shape) -> bool:
    probe = torch.empty(1, 1, *size)
    sides = F.max_pool2d(probe, kernel, stride, padding, ceil_mode=True).shape[2:]
    return all(
        (side - 1) * s + k - n - p <= k // 2
        for side, s, k, n, p in zip(sides, stride, kernel, size, padding, strict=True)
    )


def _grow_adaptive(g: _Growth, source: int) -> None:
    channels, height, width = g.shapes[source]
    size = g.number(1, min(MOST_SIDE, height + 2)), g.number(1, min(MOST_SIDE, width + 2))
    op = g.pick(["adaptive_avg", "adaptive_max"])
    g.add(op, [source], (channels, *size), size)


def _grow_upsample(g: _Growth, source: int) -> None:
    channels = g.shapes[source][0]
    size = g.number(1, MOST_SIDE), g.number(1, MOST_SIDE)
    g.add(
        "upsample", [source], (channels, *size), size, g.pick(["nearest", "bilinear"]), g.chance()
    )


def _grow_pad(g: _Growth, source: int) -> None:
    channels, height, width = g.shapes[source]
    left, right, top, bottom = (g.number(0, 1) for _ in range(4))
    shape = (channels, height + top + bottom, width + left + right)
    g.add("pad", [source], shape, left, right, top, bottom)


def _grow_norm(g: _Growth, source: int) -> None:
    shape = g.shapes[source]
    kinds = ["batch_norm", "layer_norm"]
    # Of very few numbers the deviation may be anything, and errors are divided by it.
    if len(shape) == 3 and shape[0] >= 8:
        kinds.append("pixel_norm")
    kind = g.pick(kinds)
    if kind == "batch_norm":
        g.add(kind, [source], shape, shape[0], len(shape))
    elif kind == "pixel_norm":
        g.add(kind, [source], shape, shape[0])
    else:
        g.add(kind, [source], shape, list(shape))


def _grow_plain(g: _Growth, source: int) -> None:
    shape = g.shapes[source]
    if g.chance():
        g.add("softmax", [source], shape)
    else:
        g.add("scalar", [source], shape, g.pick([-1.0, 0.5, 2.0, 1.0]), g.pick([0.0, 1.5, -3.0]))


def _grow_squeeze(g: _Growth, source: int) -> None:
    shape = g.shapes[source]
    g.add("squeeze", [source], shape, shape[0], g.number(1, 9))


def _grow_join(g: _Growth, source: int) -> None:
    """Join with a value of the same shape, or with the means of an image's channels."""
    shape = g.shapes[source]
    others = [i for i, other in enumerate(g.shapes) if other == shape]
    other = g.pick(others)
    if len(shape) == 3 and g.chance():
        other = g.add("mean", [source], (shape[0], 1, 1))
    pair = [source, other] if g.chance() else [other, source]
    g.add(g.pick(["add", "mul", "subtract"]), pair, shape)


def _grow_concat(g: _Growth, source: int) -> None:
    shape, limit = g.shapes[source], MOST_CHANNELS if len(g.shapes[source]) == 3 else MOST_FEATURES
    others = [
        i
        for i, other in enumerate(g.shapes)
        if len(other) == len(shape) and other[1:] == shape[1:] and other[0] < limit // 2
    ]
    sources = [
        source,
        *g.draw(st.lists(st.sampled_from(others or [source]), min_size=1, max_size=3)),
    ]
    channels = sum(g.shapes[i][0] for i in sources)
    g.add("concat", sources, (channels, *shape[1:]))


def _grow_linear(g: _Growth, source: int) -> None:
    (features,) = g.shapes[source]
    out = g.number(1, 80)
    g.add("linear", [source], (out,), (features, out), g.chance(), g.chance())


_EVERYWHERE = [_grow_activation, _grow_norm, _grow_plain, _grow_join, _grow_concat]
_FLAT_KINDS = [_grow_linear, _grow_linear, *_EVERYWHERE]
_IMAGE_KINDS = [
    *[_grow_conv] * 3,
    _grow_pool,
    _grow_adaptive,
    _grow_upsample,
    _grow_pad,
    _grow_squeeze,
    *_EVERYWHERE,
]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Return a random network whose next to last layer can be pruned, with up to three inputs."""
    side = st.integers(3, MOST_SIDE)
    image = (draw(st.integers(1, 20)), draw(side), draw(side))
    others = draw(st.lists(st.sampled_from([image, (draw(st.integers(1, 30)),)]), max_size=2))
    inputs = (image, *others)
    g = _Growth(draw, inputs)
    for source in range(len(inputs)):  # each is read
        (_grow_conv if len(inputs[source]) == 3 else _grow_linear)(g, source)
    for _ in range(draw(st.integers(4, 14))):
        g.grow()
    returned = sorted(draw(st.sets(st.integers(len(inputs), len(g.shapes) - 1), max_size=2)))
    head = _finish(g)
    return Plan(inputs, tuple(g.steps), (*returned, head), draw(st.integers(0, 2**16)))


def _finish(g: _Growth) -> int:
    """Join everything that nobody reads into a wide layer and a last one; return that."""
    first = len(g.shapes) - len(g.steps)
    read = {source for step in g.steps for source in step.sources}
    loose = [i for i in range(first, len(g.shapes)) if i not in read]
    flat = []
    for i in loose:
        shape = g.shapes[i]
        if len(shape) == 3:
            pooled = g.add("adaptive_avg", [i], (shape[0], 2, 1), (2, 1))
            flat.append(g.add("flatten", [pooled], (2 * shape[0],)))
        else:
            flat.append(i)
    features = sum(g.shapes[i][0] for i in flat)
    joined = flat[0] if len(flat) == 1 else g.add("concat", flat, (features,))
    wide = g.add("linear", [joined], (1040,), (features, 1040), True, False)
    active = g.add("activation", [wide], (1040,), "relu")
    return g.add("linear", [active], (7,), (1040, 7), True, False)


def sample(plan: Plan, batch: int) -> list[Tensor]:
    """Return random inputs for a plan."""
    generator = torch.Generator().manual_seed(plan.seed)
    return [torch.randn((batch, *shape), generator=generator) for shape in plan.inputs]
