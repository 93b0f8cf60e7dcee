# SPDX-License-Identifier: Apache-2.0
"""Operators that work element by element."""

import operator

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


@converts(nn.ReLU, F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_")
def _relu(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    conversion.emit(node, "relu")


@converts(nn.ReLU6, F.relu6)
def _relu6(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    conversion.emit(node, "relu6")


@converts(nn.Hardswish, F.hardswish)
def _hardswish(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    conversion.emit(node, "hardswish")
