# SPDX-License-Identifier: Apache-2.0
"""Activations: operators on each element of one value."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from aio.models.conversion import Conversion, described
from aio.models.operators.registry import Options, converts

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
    @converts(*targets, any_layout=True)
    def convert_plain(conversion: Conversion, node: fx.Node, options: Options) -> None:
        del options
        conversion.emit(node, op)


for _op, _targets in _PLAIN.items():
    _register_plain(_op, _targets)


@converts(nn.GELU, F.gelu, any_layout=True, approximate="none")
def _gelu(conversion: Conversion, node: fx.Node, options: Options) -> None:
    approximate = options["approximate"]
    if approximate not in {"none", "tanh"}:
        conversion.fail(node, f"gelu with approximate={approximate!r} is not supported")
    conversion.emit(node, "gelu_tanh" if approximate == "tanh" else "gelu")


@converts(nn.LeakyReLU, F.leaky_relu, F.leaky_relu_, any_layout=True, negative_slope=0.01)
def _leaky_relu(conversion: Conversion, node: fx.Node, options: Options) -> None:
    slope = options["negative_slope"]
    if not isinstance(slope, int | float) or not abs(slope) <= _SLOPE_LIMIT:
        conversion.fail(node, f"leaky_relu with negative_slope={slope} is not supported")
    conversion.emit(node, "leaky_relu", {"negative_slope": float(slope)})


@converts(
    torch.clamp, torch.clip, "clamp", "clip", "clamp_", "clip_", any_layout=True, min=None, max=None
)
def _clamp(conversion: Conversion, node: fx.Node, options: Options) -> None:
    _clip(conversion, node, options["min"], options["max"])


@converts(nn.Hardtanh, F.hardtanh, any_layout=True, min_val=-1.0, max_val=1.0)
def _hardtanh(conversion: Conversion, node: fx.Node, options: Options) -> None:
    _clip(conversion, node, options["min_val"], options["max_val"])


def _clip(conversion: Conversion, node: fx.Node, low: Any, high: Any) -> None:
    op = {(0, None): "relu", (0, 6): "relu6"}.get((low, high))
    if op is None:
        conversion.fail(
            node,
            f"{described(conversion, node)} from {low} to {high} is not supported, only from 0 to "
            "6 or without limit",
        )
    conversion.emit(node, op)
