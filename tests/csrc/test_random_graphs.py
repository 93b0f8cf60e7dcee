# SPDX-License-Identifier: Apache-2.0
"""Graphs that nobody planned for: values read many times, joined, broadcast and put out.

What is fused, which values share memory and what is made in place must not be seen in any result.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from aio.runtime import _native

Floats = NDArray[np.float32]
LEVELS = 2
SIDE = 5  # of most images; the others have one pixel
OPS = ("conv", "act", "add", "mul", "concat", "affine", "pool", "squeeze", "up", "norm", "soft")


@dataclass
class Network:
    """A graph, and what torch says of each of its values at each level in float64."""

    data: st.DataObject
    rng: np.random.Generator
    graph: _native.Graph = field(default_factory=lambda: _native.Graph(LEVELS))
    ids: list[int] = field(default_factory=list)
    exact: list[list[Tensor]] = field(default_factory=list)
    inputs: list[Floats] = field(default_factory=list)

    def normal(self, *shape: int) -> Floats:
        return self.rng.standard_normal(shape, dtype=np.float32)

    def add(self, value: int, exact: list[Tensor]) -> None:
        self.ids.append(value)
        self.exact.append(exact)

    def add_input(self, channels: int, side: int) -> None:
        x = self.normal(2, channels, side, side)
        self.inputs.append(x)
        value = self.graph.input(f"x{len(self.inputs)}", channels, side, side)
        self.add(value, [torch.from_numpy(x.astype(np.float64))] * LEVELS)

    def pick(self, *, channels: int | None = None, side: int | None = None) -> int:
        """Return an index of a value; those asked for exist."""
        fits = [
            index
            for index, (x, *_) in enumerate(self.exact)
            if channels in (None, x.shape[1]) and side in (None, x.shape[2])
        ]
        return self.data.draw(st.sampled_from(fits[-6:] + fits[:2]))

    def grow(self, op: str) -> None:
        name = f"{op}{len(self.ids)}"
        source = self.pick()
        value, exact = self.ids[source], self.exact[source]
        channels, side = exact[0].shape[1], exact[0].shape[2]
        if op == "conv":
            self._conv(name, value, exact, channels)
        elif op == "act":
            kind = self.data.draw(st.sampled_from(["relu", "sigmoid", "tanh"]))
            made = self.graph.activation(name, value, kind)
            self.add(made, [getattr(torch, kind)(x) for x in exact])
        elif op in ("add", "mul"):
            self._pair(op, name, source)
        elif op == "concat":
            others = [self.pick(side=side) for _ in range(self.data.draw(st.integers(1, 3)))]
            parts = [source, *others]
            made = self.graph.concat(name, [self.ids[part] for part in parts])
            joined = [torch.cat([self.exact[part][k] for part in parts], 1) for k in range(LEVELS)]
            self.add(made, joined)
        elif op == "affine":
            scale, bias = self.normal(LEVELS, channels), self.normal(LEVELS, channels)
            made = self.graph.affine(name, value, scale=scale, bias=bias)
            rows = [torch.from_numpy(v[:, :, None, None].astype(np.float64)) for v in (scale, bias)]
            self.add(made, [x * rows[0][k] + rows[1][k] for k, x in enumerate(exact)])
        else:
            self._reshape(op, name, value, exact)

    def _conv(self, name: str, value: int, exact: list[Tensor], channels: int) -> None:
        out, kernel = self.data.draw(st.sampled_from([(16, 3), (32, 1), (20, 3), (7, 1)]))
        size = np.float32(1 / (channels**0.5 * kernel))
        weight: Floats = self.normal(out, channels, kernel, kernel) * size
        pad = kernel // 2
        made = self.graph.conv2d(name, value, weight, padding=(pad, pad, pad, pad))
        double = torch.from_numpy(weight.astype(np.float64))
        self.add(made, [functional.conv2d(x, double, padding=pad) for x in exact])

    def _pair(self, op: str, name: str, source: int) -> None:
        other = self.pick(channels=self.exact[source][0].shape[1])
        pair = [source, other] if self.data.draw(st.booleans()) else [other, source]
        made = getattr(self.graph, op)(name, *(self.ids[index] for index in pair))
        function = torch.add if op == "add" else torch.mul
        # Bounded, so that no chain of products grows.
        made = self.graph.activation(f"{name}_tanh", made, "tanh")
        values = zip(*(self.exact[index] for index in pair), strict=True)
        self.add(made, [torch.tanh(function(a, b)) for a, b in values])

    def _reshape(self, op: str, name: str, value: int, exact: list[Tensor]) -> None:
        size = {"squeeze": (1, 1)}.get(op, (SIDE, SIDE))
        if op == "pool":
            made = self.graph.adaptive_max_pool2d(name, value, size)
            self.add(made, [functional.adaptive_max_pool2d(x, size) for x in exact])
        elif op == "squeeze":
            made = self.graph.adaptive_avg_pool2d(name, value, size)
            self.add(made, [functional.adaptive_avg_pool2d(x, size) for x in exact])
        elif op == "up":
            made = self.graph.upsample(name, value, size, "bilinear")
            self.add(made, [functional.interpolate(x, size, mode="bilinear") for x in exact])
        elif op == "norm":
            made = self.graph.layer_norm(name, value, eps=1.0, over="sample")
            shape = exact[0].shape[1:]
            self.add(made, [functional.layer_norm(x, shape, eps=1.0) for x in exact])
        else:
            made = self.graph.softmax(name, value)
            self.add(made, [functional.softmax(x, 1) for x in exact])


@settings(max_examples=120, deadline=None)
@given(
    data=st.data(),
    ops=st.lists(st.sampled_from(OPS), min_size=3, max_size=14),
    seed=st.integers(0, 999),
    isa=st.sampled_from(_native.supported_isas()),
    threads=st.integers(1, 2),
)
def test_a_random_graph_is_torchs(
    data: st.DataObject, ops: list[str], seed: int, isa: str, threads: int
) -> None:
    network = Network(data, np.random.default_rng(seed))
    network.add_input(16, SIDE)
    network.add_input(20, SIDE)
    network.add_input(16, 1)
    for op in ops:
        network.grow(op)
    last = len(network.ids) - 1
    outputs = sorted({last, *data.draw(st.lists(st.integers(0, last), max_size=3))})
    for output in outputs:
        network.graph.output(network.ids[output])
    executor = _native.Executor(network.graph, isa=isa, threads=threads)
    for level in range(LEVELS):
        executor.set_level(level)
        for made, output in zip(executor.run(network.inputs), outputs, strict=True):
            wanted = network.exact[output][level].numpy()
            np.testing.assert_allclose(made, wanted, rtol=2e-3, atol=2e-3)
