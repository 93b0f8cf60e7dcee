# SPDX-License-Identifier: Apache-2.0
"""Operators that work element by element."""

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from aio.models.conversion import Conversion
from aio.models.operators.registry import REQUIRED, Options, converts
from aio.models.trace import input_of


@converts(operator.add, operator.iadd, torch.add, "add", "add_", other=REQUIRED, alpha=1)
def _add(conversion: Conversion, node: fx.Node, options: Options) -> None:
    terms = [input_of(node), options["other"]]
    if not isinstance(terms[1], fx.Node) or terms[1] not in conversion.sources(node):
        conversion.fail(node, "adding a constant is not supported")
    if options["alpha"] != 1:
        conversion.fail(node, f"add with alpha={options['alpha']} is not supported")
    shapes = [conversion.shape(term) for term in terms]
    if shapes[0] != shapes[1]:
        conversion.fail(node, f"adding shapes {shapes[0]} and {shapes[1]} is not supported")
    conversion.emit_from(node, "add", [conversion.value(term) for term in terms])


_SLOPE_LIMIT = torch.finfo(torch.float32).max

# What makes each activation that has no options: modules, functions and names of methods.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "relu": (nn.ReLU, F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"),
    "relu6": (nn.ReLU6, F.relu6),
    "hardswish": (nn.Hardswish, F.hardswish),
    "hardsigmoid": (nn.Hardsigmoid, F.hardsigmoid),
    "silu": (nn.SiLU, F.silu),
    "sigmoid": (
        nn.Sigmoid,
        F.sigmoid,
        torch.sigmoid,
        torch.sigmoid_,
        torch.special.expit,
        "sigmoid",
        "sigmoid_",
    ),
    "tanh": (nn.Tanh, F.tanh, torch.tanh, torch.tanh_, "tanh", "tanh_"),
}


def _register_plain(op: str, targets: tuple[Any, ...]) -> None:
    @converts(*targets)
    def convert_plain(conversion: Conversion, node: fx.Node, options: Options) -> None:
        del options
        conversion.emit(node, op)


for _op, _targets in _PLAIN.items():
    _register_plain(_op, _targets)


@converts(nn.GELU, F.gelu, approximate="none")
def _gelu(conversion: Conversion, node: fx.Node, options: Options) -> None:
    approximate = options["approximate"]
    if approximate not in {"none", "tanh"}:
        conversion.fail(node, f"gelu with approximate={approximate!r} is not supported")
    conversion.emit(node, "gelu_tanh" if approximate == "tanh" else "gelu")


@converts(nn.LeakyReLU, F.leaky_relu, F.leaky_relu_, negative_slope=0.01)
def _leaky_relu(conversion: Conversion, node: fx.Node, options: Options) -> None:
    slope = options["negative_slope"]
    if not isinstance(slope, int | float) or not abs(slope) <= _SLOPE_LIMIT:
        conversion.fail(node, f"leaky_relu with negative_slope={slope} is not supported")
    conversion.emit(node, "leaky_relu", {"negative_slope": float(slope)})
