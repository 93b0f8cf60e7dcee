# SPDX-License-Identifier: Apache-2.0
"""Graphs that can't be run are refused by the node's name, before any memory is touched."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from aio.runtime import _native

ONES = np.ones((16, 3, 3, 3), np.float32)


def start() -> tuple[_native.Graph, int]:
    graph = _native.Graph(2)
    return graph, graph.input("x", 3, 8, 8)


Build = Callable[[_native.Graph, int], object]
SCORE = np.ones((1, 3, 3, 3), np.float32)
RISING = np.array([0, 1], np.float32)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda g, x: g.conv2d("c", 7, ONES), "value 7 does not exist"),
        (lambda g, x: g.conv2d("c", x, ONES[:, :2]), "2 input channels, its input has 3"),
        (lambda g, x: g.conv2d("c", x, ONES[0]), "3 dimensions, expected 4"),
        (lambda g, x: g.conv2d("c", x, ONES, stride=(0, 1)), "stride or dilation 0"),
        (lambda g, x: g.conv2d("c", x, ONES, padding=(0, -1, 0, 0)), "padding -1"),
        (lambda g, x: g.conv2d("c", x, ONES, dilation=(5, 5)), "reaches over 11x11"),
        (lambda g, x: g.conv2d("c", x, ONES, score=SCORE), "score and threshold"),
        (
            lambda g, x: g.conv2d(
                "c", x, ONES, score=SCORE, threshold=np.array([1, 0], np.float32)
            ),
            "must not decrease",
        ),
        (
            lambda g, x: g.conv2d("c", x, ONES, score=SCORE * np.nan, threshold=RISING),
            "score has a NaN",
        ),
        (lambda g, x: g.conv2d("c", x, ONES[:, :1], groups=0), r"groups 0 is outside \[1, 65536\]"),
        (lambda g, x: g.conv2d("c", x, ONES[:, :1], groups=-3), "groups -3 is outside"),
        (lambda g, x: g.conv2d("c", x, ONES[:, :1], groups=70_000), "groups 70000 is outside"),
        (
            lambda g, x: g.conv2d("c", x, ONES[:, :1], groups=3),
            "3 groups do not divide 3 input and 16 output channels",
        ),
        (
            lambda g, x: g.conv2d("c", x, ONES, groups=2),
            "2 groups do not divide 3 input and 16 output channels",
        ),
        (
            lambda g, x: g.conv2d("c", x, ONES[:15, :2], groups=3),
            "weight has 2 input channels in each of 3 groups, its input has 3",
        ),
        (lambda g, x: g.conv2d("c", x, ONES, scale=np.ones(16, np.float32)), "scale has 16 values"),
        (lambda g, x: g.linear("c", x, np.ones((4, 192), np.float32)), "needs a flat input"),
        (
            lambda g, x: g.linear("c", g.flatten("f", x), np.ones((4, 9), np.float32)),
            "9 input features, its input has 192",
        ),
        (lambda g, x: g.activation("c", x, "swish"), "'swish' is unknown; valid: relu, relu6"),
        (
            lambda g, x: g.activation("c", x, "leaky_relu", negative_slope=float("inf")),
            "negative_slope inf is not finite",
        ),
        (lambda g, x: g.add("c", x, g.flatten("f", x)), "adds 3x8x8 and 3x8x8 .flat.; shapes must"),
        (lambda g, x: g.mul("c", x, 9), "value 9 does not exist"),
        (lambda g, x: g.mul("c", x, g.input("y", 3, 1, 8)), "multiplies 3x8x8 and 3x1x8"),
        (lambda g, x: g.mul("c", x, g.input("y", 1, 1, 1)), "multiplies 3x8x8 and 1x1x1"),
        (lambda g, x: g.concat("c", [x]), "joins 1 values, expected 2 to 256"),
        (lambda g, x: g.concat("c", [x] * 257), "joins 257 values"),
        (lambda g, x: g.concat("c", [x, 5]), "value 5 does not exist"),
        (lambda g, x: g.concat("c", [x, g.input("y", 3, 8, 7)]), "joins 3x8x8 and 3x8x7"),
        (lambda g, x: g.concat("c", [x, g.flatten("f", x)]), "all values flat or none"),
        (
            lambda g, x: g.concat("c", [g.input(f"y{i}", 65_536, 1, 1) for i in range(2)]),
            "makes 131072 channels, the limit is 65536",
        ),
        (
            lambda g, x: g.affine("c", x, scale=np.ones(3, np.float32)),
            r"scale has shape \(3\), expected \(2, 3\)",
        ),
        (
            lambda g, x: g.affine("c", g.flatten("f", x), bias=np.ones((2, 3), np.float32)),
            r"bias has shape \(2, 3\), expected \(2, 192\)",
        ),
        (lambda g, x: g.affine("c", -1), "value -1 does not exist"),
        (lambda g, x: g.adaptive_avg_pool2d("c", x, (0, 1)), r"height 0 is outside \[1, 16384\]"),
        (lambda g, x: g.adaptive_max_pool2d("c", g.flatten("f", x), (1, 1)), "its input is flat"),
        (lambda g, x: g.upsample("c", x, (4, 20_000), "nearest"), "width 20000 is outside"),
        (lambda g, x: g.upsample("c", x, (4, 4), "bicubic"), "'bicubic' is unknown; valid: near"),
        (
            lambda g, x: g.upsample("c", x, (4, 4), "nearest", align_corners=True),
            "align_corners is for mode 'bilinear' only",
        ),
        (lambda g, x: g.upsample("c", g.flatten("f", x), (4, 4), "nearest"), "input is flat"),
        (lambda g, x: g.softmax("c", 12), "value 12 does not exist"),
        (lambda g, x: g.layer_norm("c", x, eps=-1.0, over="sample"), "eps -1.0+ must be finite"),
        (lambda g, x: g.layer_norm("c", x, eps=np.nan, over="sample"), "eps nan must be finite"),
        (lambda g, x: g.layer_norm("c", x, eps=0.1, over="rows"), "over 'rows' is unknown; valid"),
        (
            lambda g, x: g.layer_norm("c", g.flatten("f", x), eps=0.1, over="channels"),
            "normalises channels, but its input is flat",
        ),
        (
            lambda g, x: g.layer_norm(
                "c", x, eps=0.1, over="channels", weight=np.ones((3, 8, 8), np.float32)
            ),
            r"weight has shape \(3, 8, 8\), expected \(3\)",
        ),
        (
            lambda g, x: g.layer_norm(
                "c", x, eps=0.1, over="sample", bias=np.ones((3, 64), np.float32)
            ),
            r"bias has shape \(3, 64\), expected \(3, 8, 8\)",
        ),
        (lambda g, x: g.flat_input("c", 0), r"features 0 is outside \[1, "),
        (lambda g, x: g.max_pool2d("c", x, (2, 2), (2, 2), (2, 0, 0, 0)), "vertical padding 2"),
        (lambda g, x: g.global_avg_pool2d("c", g.flatten("f", x)), "its input is flat"),
    ],
)
def test_a_refusal_names_the_node(build: Build, message: str) -> None:
    graph, x = start()
    with pytest.raises(ValueError, match=f"node 'c': .*{message}|{message}"):
        build(graph, x)


def test_an_image_that_cannot_fit_is_refused() -> None:
    graph = _native.Graph(1)
    with pytest.raises(ValueError, match="channels 100000 is outside"):
        graph.input("x", 100_000, 1, 1)
    with pytest.raises(ValueError, match="values per sample, the limit is"):
        graph.input("x", 65_536, 16_384, 16_384)


def test_groups_whose_blocks_take_too_much_memory_are_refused() -> None:
    # 2,048 blocks of 16 groups: 16 times the weights, all but one of 16 of them zero.
    graph = _native.Graph(1)
    x = graph.input("x", 65_536, 1, 1)
    weight = np.ones((32_768, 2, 1, 9), np.float32)
    pad = (0, 4, 0, 4)
    graph.conv2d("small", x, weight, padding=pad, groups=32_768)
    with pytest.raises(ValueError, match=r"'large': its 32768 groups need .* limit is 2\d+"):
        graph.conv2d("large", x, np.tile(weight, 30), padding=(0, 150, 0, 150), groups=32_768)


def test_a_halo_beyond_the_arena_is_refused() -> None:
    graph = _native.Graph(1)
    x = graph.input("x", 64, 100, 100)
    pad = (16_000, 16_000, 16_000, 16_000)
    weight = np.ones((16, 64, 1, 1), np.float32)
    graph.output(graph.conv2d("c", x, weight, stride=(16_384, 16_384), padding=pad))
    with pytest.raises(ValueError, match="1 GiB"):
        _native.Executor(graph)


def test_a_graph_needs_an_output() -> None:
    graph, _ = start()
    with pytest.raises(ValueError, match="no output"):
        _native.Executor(graph)


def test_a_graph_needs_an_input() -> None:
    with pytest.raises(ValueError, match="no input"):
        _native.Executor(_native.Graph(1))
