# SPDX-License-Identifier: Apache-2.0
"""Hostile model files: every defect gets a ModelFileError that names it, nothing else happens."""

from __future__ import annotations

import json
import os
import socket
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_parts import ModelParts, container_bytes, later_model, small_model

from aio.runtime.errors import ModelFileError
from aio.runtime.model_file import ModelFile, read_model_file

Change = Callable[[ModelParts], None]
SMALL = small_model()
LATER = later_model()
INPUT = {"name": "x", "shape": [3, 11, 9]}
BYTES = SMALL.to_bytes()
HEADER_END = 8 + int.from_bytes(BYTES[:8], "little")


def defect_of(path: Path) -> str:
    """Return the message of the one exception that reading the file may raise."""
    with pytest.raises(ModelFileError) as caught:
        read_model_file(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert len(message) < 1000
    return message.removeprefix(f"{path}: ")


def defect_of_bytes(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "hostile.aio"
    path.write_bytes(content)
    return defect_of(path)


def header_of(content: bytes) -> dict[str, Any]:
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    assert isinstance(header, dict)
    return header


def with_header(change: Callable[[dict[str, Any]], None]) -> bytes:
    header = header_of(BYTES)
    change(header)
    return container_bytes(json.dumps(header).encode(), BYTES[HEADER_END:])


# Changes to the manifest, each with what the message has to contain.


def edit(*path: str | int, value: object) -> Change:
    """Set the manifest's entry at the path."""

    def change(parts: ModelParts) -> None:
        target: Any = parts.manifest
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value

    return change


def drop(*path: str | int) -> Change:
    """Delete the manifest's entry at the path."""

    def change(parts: ModelParts) -> None:
        target: Any = parts.manifest
        for key in path[:-1]:
            target = target[key]
        del target[path[-1]]

    return change


def node(name: str, key: str, value: object) -> Change:
    def change(parts: ModelParts) -> None:
        parts.node(name)[key] = value

    return change


def attr(name: str, key: str, value: object) -> Change:
    def change(parts: ModelParts) -> None:
        parts.node(name)["attrs"][key] = value

    return change


def tensor(name: str, change_array: Callable[[Any], Any]) -> Change:
    def change(parts: ModelParts) -> None:
        parts.tensors[name] = np.ascontiguousarray(change_array(parts.tensors[name].copy()))

    return change


def put(index: tuple[int, ...], value: float) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array[index] = value
        return array

    return change


def remove_tensor(name: str) -> Change:
    def change(parts: ModelParts) -> None:
        del parts.tensors[name]

    return change


def add_tensor(name: str, *shape: int) -> Change:
    def change(parts: ModelParts) -> None:
        parts.tensors[name] = np.zeros(shape, np.float32)

    return change


def many_levels(parts: ModelParts) -> None:
    parts.manifest["levels"] = [{"ratio": i / 1000, "metrics": {}} for i in range(1000)]


def deep_provenance(parts: ModelParts) -> None:
    value: object = 0
    for _ in range(100):
        value = [value]
    parts.manifest["provenance"] = {"deep": value}


def same_output_twice(parts: ModelParts) -> None:
    parts.manifest["outputs"] *= 2


def leaky(slope: object) -> Change:
    def change(parts: ModelParts) -> None:
        parts.node("body_act").update(op="leaky_relu", attrs={"negative_slope": slope})

    return change


def swap_levels(parts: ModelParts) -> None:
    parts.manifest["levels"].reverse()


def no_scores(parts: ModelParts) -> None:
    for name in list(parts.tensors):
        if name.endswith((".score", ".threshold")):
            del parts.tensors[name]


DEFECTS: dict[str, tuple[Change, str]] = {
    "no version": (drop("format_version"), "manifest lacks the key 'format_version'"),
    "newer version": (edit("format_version", value=3), "format version is 3, this reader takes"),
    "version 0": (edit("format_version", value=0), "format_version is 0, expected 1 to"),
    "version is text": (edit("format_version", value="1"), "format_version is '1', expected an i"),
    "version is true": (edit("format_version", value=True), "format_version is True, expected an"),
    "version is 1.0": (edit("format_version", value=1.0), "format_version is 1.0, expected an int"),
    "version is huge": (edit("format_version", value=10**25), "format_version is 1000"),
    "no name": (drop("name"), "manifest lacks the key 'name'"),
    "name with slash": (edit("name", value="../../etc"), "name is '../../etc', expected the pat"),
    "name with newline": (edit("name", value="a\nb"), "character '\\n' is not allowed"),
    "name too long": (edit("name", value="a" * 65), "expected the pattern"),
    "surrogate": (edit("producer", value="\ud800"), "is not allowed"),
    "terminal escape": (edit("producer", value="\x1b[2J"), "character '\\x1b' is not allowed"),
    "long text": (edit("producer", value="p" * 5000), "has 5000 characters, the limit is 1024"),
    "unknown key": (edit("extra", value=1), "manifest has the unknown key 'extra'"),
    "levels is a number": (edit("levels", value=10**9), "manifest.levels is 1000000000, expected"),
    "no levels": (edit("levels", value=[]), "manifest.levels has 0 entries, expected 1 to 256"),
    "1000 levels": (many_levels, "manifest.levels has 1000 entries, expected 1 to 256"),
    "levels shuffled": (swap_levels, "levels[1].ratio is 0.5, expected more than 0.8"),
    "ratio 1": (edit("levels", 2, "ratio", value=1), "ratio is 1.0, expected 0 <= ratio < 1"),
    "ratio negative": (edit("levels", 0, "ratio", value=-0.1), "levels[0].ratio is -0.1, expected"),
    "ratio is true": (edit("levels", 0, "ratio", value=True), "ratio is True, expected a number"),
    "ratio wrong": (edit("levels", 1, "ratio", value=0.6), "level 1 says ratio 0.6, its masks"),
    "accuracy 2": (edit("levels", 0, "metrics", value={"accuracy": 2}), "accuracy is 2.0, exp"),
    "metric is text": (edit("levels", 0, "metrics", value={"a": "b"}), "metrics.'a' is 'b', exp"),
    "level is a list": (edit("levels", 0, value=[]), "manifest.levels[0] is [], expected an obj"),
    "level has more": (edit("levels", 0, "x", value=0), "levels[0] has the unknown key 'x'"),
    "deep provenance": (deep_provenance, "provenance is nested deeper than 32"),
    "no input": (edit("inputs", value=[]), "manifest.inputs is empty, expected at least one"),
    "two inputs": (edit("inputs", value=[INPUT, INPUT | {"name": "y"}]), "version 1 has exactly o"),
    "op of version 2": (
        node("sum", "op", "mul"),
        "unknown op 'mul'; known are conv2d, linear, add",
    ),
    "flat input": (edit("inputs", 0, "shape", value=[3]), "shape has 1 entries, expected 3"),
    "input rank": (edit("inputs", 0, "shape", value=[3, 4]), "shape has 2 entries, expected 3"),
    "input zero": (
        edit("inputs", 0, "shape", value=[0, 4, 4]),
        "inputs[0].shape[0] is 0, expected",
    ),
    "input negative": (edit("inputs", 0, "shape", value=[3, -4, 4]), "shape[1] is -4, expected 1"),
    "input float": (edit("inputs", 0, "shape", value=[3, 4.5, 4]), "shape[1] is 4.5, expected an"),
    "input side": (edit("inputs", 0, "shape", value=[3, 40000, 4]), "above the limit of 16384"),
    "input channels": (edit("inputs", 0, "shape", value=[70000, 4, 4]), "is 70000, expected 1 to"),
    "input huge": (edit("inputs", 0, "shape", value=[3, 16384, 16384]), "activations need"),
    "input changed": (edit("inputs", 0, "shape", value=[4, 11, 9]), "'stem' (conv2d): weight"),
    "no outputs": (edit("outputs", value=[]), "manifest.outputs is empty"),
    "output of nothing": (edit("outputs", 0, "node", value="nix"), "there is no node 'nix'"),
    "output of input": (edit("outputs", 0, "node", value="x"), "there is no node 'x'"),
    "output twice": (same_output_twice, "two outputs are named 'head_out'"),
    "labels": (edit("outputs", 0, "labels", value=["a"]), "has 1 labels for 10 features"),
    "label is null": (edit("outputs", 0, "labels", value=[None]), "labels[0] is None, expected a"),
    "no nodes": (edit("nodes", value=[]), "there is no node 'head'"),
    "node is text": (edit("nodes", 0, value="conv"), "manifest.nodes[0] is 'conv', expected an o"),
    "node name twice": (node("sum", "name", "pool"), "the name 'pool' is taken"),
    "node named as input": (node("stem", "name", "x"), "the name 'x' is taken"),
    "node without name": (node("sum", "name", ""), "name is '', expected the pattern"),
    "unknown op": (node("sum", "op", "exec"), "unknown op 'exec'; known are conv2d, linear"),
    "op is a list": (node("sum", "op", ["add"]), "op is ['add'], expected a string"),
    "input of itself": (node("sum", "inputs", ["sum", "pool"]), "input 'sum' is neither"),
    "input from later": (node("stem", "inputs", ["head"]), "input 'head' is neither an input"),
    "too few inputs": (node("sum", "inputs", ["pool"]), "add has 1 inputs, takes 2"),
    "no inputs": (node("stem_act", "inputs", []), "hardswish has 0 inputs, takes 1"),
    "add of shapes": (node("sum", "inputs", ["stem", "pool"]), "its inputs differ in shape"),
    "linear of image": (node("head", "inputs", ["global"]), "expected a flat one (use flatten)"),
    "pool of flat": (node("head", "op", "global_avg_pool2d"), "expected an image [C, H, W]"),
    "unknown attr": (attr("sum", "speed", 9), "attrs has the unknown key 'speed'"),
    "attr missing": (node("body", "attrs", {}), "attrs lacks the key 'stride'"),
    "stride 0": (attr("body", "stride", [0, 1]), "attrs.stride[0] is 0, expected 1 to 16384"),
    "stride huge": (attr("body", "stride", [1, 2**40]), "attrs.stride[1] is 1099511627776, exp"),
    "stride of bool": (attr("body", "stride", [True, 1]), "stride[0] is True, expected an integer"),
    "padding -1": (attr("body", "padding", [0, -1, 0, 0]), "padding[1] is -1, expected 0 to"),
    "padding of 2": (attr("body", "padding", [0, 1]), "padding has 2 entries, expected 4"),
    "padding of output": (attr("body", "padding", [16384, 0, 16384, 0]), "limit of a side is"),
    "dilation": (attr("body", "dilation", [9, 1]), "a window of [19, 3] does not fit"),
    "groups of weight": (attr("body", "groups", 2), "20 input channels for each of 2 groups, its"),
    "groups odd": (attr("body", "groups", 3), "3 groups do not divide its 20 input and 20 output"),
    "groups 0": (attr("body", "groups", 0), "attrs.groups is 0, expected 1 to 65536"),
    "groups -1": (attr("body", "groups", -1), "attrs.groups is -1, expected 1 to 65536"),
    "groups huge": (attr("body", "groups", 2**63), "groups is 9223372036854775808, expected 1"),
    "groups of bool": (attr("body", "groups", True), "groups is True, expected an integer"),
    "groups of float": (attr("body", "groups", 1.0), "groups is 1.0, expected an integer"),
    "groups of pool": (attr("pool", "groups", 1), "attrs has the unknown key 'groups'"),
    "depthwise without groups": (
        tensor("body.weight", lambda a: a[:, :1]),
        "has 1 input channels, its input 20",
    ),
    "slope missing": (node("body_act", "op", "leaky_relu"), "attrs lacks the key 'negative_slope'"),
    "slope is text": (leaky("0.1"), "negative_slope is '0.1', expected a number"),
    "slope of float64": (leaky(1e39), "negative_slope is 1e+39, expected a number within the ran"),
    "slope of relu": (attr("body_act", "negative_slope", 0.1), "unknown key 'negative_slope'"),
    "block height": (attr("body", "block_height", 12), "height is 12, expected one of 16, 8, 4"),
    "block height of scores": (attr("body", "block_height", 8), "[2, 20, 3, 3], expected [3, 20,"),
    "block height 0": (attr("body", "block_height", 0), "block_height is 0, expected 1 to 65536"),
    "block height of text": (attr("head", "block_height", "8"), "is '8', expected an integer"),
    "weight type": (attr("body", "weight_type", "int8"), "weight_type is 'int8', this executor"),
    "weight type of number": (attr("head", "weight_type", 32), "weight_type is 32, expected a str"),
    "kernel 0": (attr("pool", "kernel", [0, 3]), "kernel[0] is 0, expected 1"),
    "kernel too large": (attr("average", "kernel", [99, 2]), "does not fit in the input [6, 5]"),
    "pool of padding": (attr("pool", "padding", [2, 0, 0, 0]), "at most half the kernel [3, 3]"),
    "include_pad": (attr("average", "count_include_pad", 1), "expected true or false"),
    "no weight": (remove_tensor("body.weight"), "'body' (conv2d): its tensor 'weight' is missing"),
    "weight rank": (tensor("head.weight", lambda a: a[0]), "expected 2 dimensions"),
    "weight empty": (tensor("body.weight", lambda a: a[:0]), "shape is 0, expected 1 to"),
    "weight channels": (tensor("body.weight", lambda a: a[:, :9]), "has 9 input channels, its in"),
    "weight features": (
        tensor("head.weight", lambda a: a[:, :9]),
        "takes 9 features, its input 33",
    ),
    "weight nan": (tensor("body.weight", put((1, 2, 0, 0), np.nan)), "holds nan at [1, 2, 0, 0]"),
    "weight inf": (
        tensor("head.weight", put((3, 4), -np.inf)),
        "'head.weight' holds -inf at [3, 4",
    ),
    "score nan": (tensor("body.score", put((0, 0, 0, 0), np.nan)), "'body.score' holds nan"),
    "score inf": (tensor("body.score", put((0, 0, 0, 0), np.inf)), "'body.score' holds inf"),
    "scale nan": (tensor("body.scale", put((2, 7), np.nan)), "'body.scale' holds nan at [2, 7]"),
    "bias inf": (tensor("body.bias", put((0, 19), np.inf)), "'body.bias' holds inf at [0, 19]"),
    "score shape": (tensor("body.score", lambda a: a[:1]), "has shape [1, 20, 3, 3], expected [2,"),
    "scale levels": (tensor("body.scale", lambda a: a[:2]), "shape [2, 20], expected [3, 20]"),
    "bias rank": (tensor("body.bias", lambda a: a[0]), "has shape [20], expected [3, 20]"),
    "threshold count": (tensor("body.threshold", lambda a: a[:2]), "has shape [2], expected [3]"),
    "threshold nan": (tensor("body.threshold", put((1,), np.nan)), "is nan at level 1"),
    "threshold inf": (tensor("body.threshold", put((2,), np.inf)), "is inf at level 2"),
    "threshold falls": (tensor("body.threshold", put((2,), -9)), "to -9.0 at level 2: masks would"),
    "masks too sparse": (tensor("body.threshold", put((0,), 0.5)), "level 0 says ratio 0.0, its"),
    "no threshold": (remove_tensor("body.threshold"), "'score' without a 'threshold'"),
    "no score": (remove_tensor("body.score"), "'threshold' without a 'score'"),
    "no scores at all": (no_scores, "no layer has scores"),
    "tensor of nobody": (add_tensor("x.weight", 1), "tensor 'x.weight' belongs to no node"),
    "tensor of relu": (add_tensor("sum.weight", 1, 1), "tensor 'sum.weight' belongs to no node"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_defect_is_named(defect: str, tmp_path: Path) -> None:
    change, expected = DEFECTS[defect]
    parts = SMALL.copy()
    change(parts)
    assert expected in defect_of(parts.write(tmp_path / "hostile.aio"))


def all_of(*changes: Change) -> Change:
    def change(parts: ModelParts) -> None:
        for one in changes:
            one(parts)

    return change


def many_inputs(parts: ModelParts) -> None:
    parts.manifest["inputs"] += [{"name": f"i{i}", "shape": [1]} for i in range(300)]


LATER_DEFECTS: dict[str, tuple[Change, str]] = {
    "version 1": (edit("format_version", value=1), "inputs[1].shape has 1 entries, expected 3"),
    "input twice": (edit("inputs", 1, "name", value="x"), "inputs[1]: the name 'x' is taken"),
    "many inputs": (many_inputs, "manifest.inputs has more than the limit of 256 entries"),
    "no inputs": (edit("inputs", value=[]), "manifest.inputs is empty"),
    "node named as second input": (node("affine", "name", "gate"), "the name 'gate' is taken"),
    "input of two axes": (edit("inputs", 1, "shape", value=[5, 1]), "2 entries, expected 3 for an"),
    "flat input of 0": (edit("inputs", 1, "shape", value=[0]), "inputs[1].shape[0] is 0, expected"),
    "flat input huge": (edit("inputs", 1, "shape", value=[10**9]), "is 1000000000, expected 1 to"),
    "mul of three": (node("gated", "inputs", ["relu"] * 3), "mul has 3 inputs, takes 2"),
    "mul of shapes": (node("gated", "inputs", ["relu", "x"]), "an image [C, H, W] and one of [C"),
    "mul of flat and image": (node("gated", "inputs", ["relu", "vector"]), "shapes [40, 9, 7] and"),
    "gate of channels": (edit("inputs", 2, "shape", value=[39, 1, 1]), "[40, 9, 7] and [39, 1, 1]"),
    "concat of one": (node("joined", "inputs", ["smaller"]), "concat has 1 inputs, takes 2 to 256"),
    "concat of 257": (
        node("joined", "inputs", ["smaller"] * 257),
        "has 257 inputs, takes 2 to 256",
    ),
    "concat of sizes": (
        node("joined", "inputs", ["stem", "smaller"]),
        "differ in more than the ch",
    ),
    "concat of ranks": (
        node("joined", "inputs", ["vector", "smaller"]),
        "[5] and [40, 4, 3], which",
    ),
    "concat of channels": (
        all_of(
            edit("inputs", 2, "shape", value=[60_000, 1, 1]),
            node("gated", "op", "concat"),
            node("gated", "inputs", ["gate", "gate"]),
        ),
        "makes 120000 channels, the limit is 65536",
    ),
    "concat of features": (
        all_of(
            edit("inputs", 1, "shape", value=[10_000_000]),
            node("scaled", "op", "concat"),
            node("scaled", "inputs", ["vector", "vector"]),
        ),
        "makes 20000000 features, the limit is 16777216",
    ),
    "output size 0": (attr("smaller", "output_size", [0, 3]), "output_size[0] is 0, expected 1 to"),
    "output size huge": (
        all_of(
            attr("smaller", "output_size", [16384, 16384]),
            attr("largest", "output_size", [16384, 16384]),
        ),
        "activations need",
    ),
    "output size of one": (attr("smaller", "output_size", 3), "output_size is 3, expected a list"),
    "adaptive of flat": (node("smaller", "inputs", ["vector"]), "expected an image [C, H, W]"),
    "size missing": (node("nearest", "attrs", {"mode": "nearest"}), "attrs lacks the key 'size'"),
    "size of float": (attr("nearest", "size", [7.0, 5]), "size[0] is 7.0, expected an integer"),
    "size huge": (
        all_of(*(attr(n, "size", [16384, 16384]) for n in ("nearest", "bilinear", "aligned"))),
        "activations need",
    ),
    "mode": (attr("nearest", "mode", "cubic"), "mode is 'cubic', expected 'nearest' or 'bilinear'"),
    "corners of nearest": (attr("nearest", "align_corners", False), "unknown key 'align_corners'"),
    "corners missing": (attr("nearest", "mode", "bilinear"), "lacks the key 'align_corners'"),
    "corners of number": (attr("aligned", "align_corners", 1), "is 1, expected true or false"),
    "upsampled flat": (node("nearest", "inputs", ["vector"]), "expected an image [C, H, W]"),
    "eps negative": (attr("norm", "eps", -1e-5), "attrs.eps is -1e-05, expected 0 or more"),
    "eps of float64": (
        attr("norm", "eps", 1e39),
        "eps is 1e+39, expected a number within the range",
    ),
    "eps of text": (attr("norm", "eps", "0"), "eps is '0', expected a number"),
    "over": (attr("norm", "over", "rows"), "over is 'rows', expected 'sample' or 'channels'"),
    "channels of flat": (attr("flat_norm", "over", "channels"), "expected an image [C, H, W]"),
    "norm of sample": (attr("norm", "over", "sample"), "[120], expected [120, 4, 3]"),
    "norm weight shape": (tensor("norm.weight", lambda a: a[:9]), "has shape [9], expected [120]"),
    "norm bias nan": (tensor("norm.bias", put((7,), np.nan)), "'norm.bias' holds nan at [7]"),
    "norm scale": (add_tensor("norm.scale", 3, 120), "tensor 'norm.scale' belongs to no node"),
    "affine levels": (tensor("affine.scale", lambda a: a[:2]), "[2, 40], expected [3, 40]"),
    "affine channels": (tensor("affine.bias", lambda a: a[:, :9]), "[3, 9], expected [3, 40]"),
    "affine of features": (tensor("scaled.bias", lambda a: a[:, :4]), "[3, 4], expected [3, 5]"),
    "affine inf": (
        tensor("affine.scale", put((1, 2), np.inf)),
        "'affine.scale' holds inf at [1, 2]",
    ),
    "affine weight": (add_tensor("affine.weight", 40), "tensor 'affine.weight' belongs to no node"),
    "affine score": (add_tensor("affine.score", 3), "tensor 'affine.score' belongs to no node"),
    "softmax weight": (add_tensor("scores.weight", 10), "tensor 'scores.weight' belongs to no no"),
    "softmax axis": (attr("scores", "dim", 1), "attrs has the unknown key 'dim'"),
}


@pytest.mark.parametrize("defect", LATER_DEFECTS)
def test_defect_of_version_2_is_named(defect: str, tmp_path: Path) -> None:
    change, expected = LATER_DEFECTS[defect]
    parts = LATER.copy()
    change(parts)
    assert expected in defect_of(parts.write(tmp_path / "hostile.aio"))


def set_entry(name: str, key: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        header[name][key] = value

    return change


CONTAINER_DEFECTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "7 bytes": (b"1234567", "has 7 bytes, too few"),
    "length 0": (container_bytes(b""), "header starts with b'', expected {"),
    "length huge": (b"\xff" * 8 + b"{}", "header length is 18446744073709551615 bytes, the limit"),
    "length 17 MiB": ((17 << 20).to_bytes(8, "little") + b"{}", "the limit is 16777216"),
    "length beyond": (container_bytes(b"{}")[:-1], "is truncated: the header ends at byte 10"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(99), "is this a safetensors file?"),
    "list": (container_bytes(b"[1]"), "header starts with b'[', expected {"),
    "no json": (container_bytes(b"{nope}"), "header is not JSON: Expecting property name"),
    "not utf-8": (container_bytes(b'{"\xff": 1}'), "header is not UTF-8: byte 2"),
    "nested": (container_bytes(b'{"a":' * 200_000), "header is nested too deeply"),
    "nested lists": (container_bytes(b'{"a":' + b"[" * 400_000), "header is nested too deeply"),
    "values": (container_bytes(b'{"a":[' + b"0," * 600_000 + b"0]}"), "JSON values, the limit is"),
    "nan": (container_bytes(b'{"a": NaN}'), "NaN is not a JSON number"),
    "infinity": (container_bytes(b'{"a": -Infinity}'), "-Infinity is not a JSON number"),
    "1e999": (container_bytes(b'{"a": 1e999}'), "number 1e999 does not fit"),
    "long integer": (
        container_bytes(b'{"a": ' + b"9" * 2_000_000 + b"}"),
        "has 2000000 characters",
    ),
    "long float": (container_bytes(b'{"a": 0.' + b"9" * 500_000 + b"}"), "has 500002 characters"),
    "twice": (container_bytes(b'{"a": 1, "a": 2}'), "key 'a' appears twice"),
    "no metadata": (container_bytes(b"{}"), "__metadata__ is None, expected an object"),
    "plain safetensors": (
        container_bytes(b'{"__metadata__": {}}'),
        "is a safetensors file but no model file",
    ),
    "other format": (container_bytes(b'{"__metadata__": {"format": "pt"}}'), "format is 'pt'"),
    "no manifest": (
        container_bytes(b'{"__metadata__": {"format": "aio"}}'),
        "lacks the key 'manifest'",
    ),
    "metadata is a number": (
        container_bytes(b'{"__metadata__": {"format": 1}}'),
        "__metadata__.'format' is 1, expected a string",
    ),
    "manifest is a list": (
        container_bytes(b'{"__metadata__": {"format": "aio", "manifest": "[]"}}'),
        "manifest is [], expected an object",
    ),
    "manifest is no json": (
        container_bytes(b'{"__metadata__": {"format": "aio", "manifest": "{"}}'),
        "manifest is not JSON",
    ),
    "other dtype": (with_header(set_entry("body.weight", "dtype", "BF16")), "has dtype 'BF16'; th"),
    "no dtype": (with_header(set_entry("body.weight", "dtype", "F33")), "no safetensors type"),
    "shape of bool": (with_header(set_entry("head.weight", "shape", [True])), "shape is True, exp"),
    "shape negative": (with_header(set_entry("head.weight", "shape", [-1, -330])), "shape is -1"),
    "shape huge": (with_header(set_entry("head.weight", "shape", [2**63, 2])), "expected 1 to"),
    "shape rank": (with_header(set_entry("head.weight", "shape", [1] * 99)), "has 99 dimensions"),
    "shape too large": (with_header(set_entry("head.weight", "shape", [10, 34])), "needs 1360 byt"),
    "offset beyond": (
        with_header(set_entry("stem.weight", "data_offsets", [0, 2**40])),
        "ends at byte 1099511627776",
    ),
    "offset negative": (
        with_header(set_entry("stem.weight", "data_offsets", [-4, 2156])),
        "data_offsets[0] is -4, expected 0",
    ),
    "offset reversed": (
        with_header(set_entry("stem.weight", "data_offsets", [2160, 0])),
        "its offsets 2160 to 0 give -2160",
    ),
    "offsets missing": (
        with_header(lambda header: header["stem.weight"].pop("data_offsets")),
        "lacks the key 'data_offsets'",
    ),
    "entry has more": (with_header(set_entry("stem.weight", "x", 1)), "has the unknown key 'x'"),
    "overlap": (
        with_header(lambda h: h["stem.scale"].update(data_offsets=h["stem.bias"]["data_offsets"])),
        "overlaps",
    ),
    "hole": (with_header(lambda header: header.pop("stem.bias")), "belong to no tensor"),
    "data after": (BYTES + b"\0\0\0\0", "4 bytes after the last tensor belong to no tensor"),
}


@pytest.mark.parametrize("defect", CONTAINER_DEFECTS)
def test_container_defect_is_named(defect: str, tmp_path: Path) -> None:
    content, expected = CONTAINER_DEFECTS[defect]
    assert expected in defect_of_bytes(tmp_path, content)


def test_truncated_anywhere(tmp_path: Path) -> None:
    ends = [*range(64), *range(64, len(BYTES), 97), HEADER_END - 1, HEADER_END, len(BYTES) - 1]
    for end in ends:
        assert defect_of_bytes(tmp_path, BYTES[:end])


def loads_or_says_why(path: Path) -> ModelFile | None:
    try:
        return read_model_file(path)
    except ModelFileError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right
        return None


def test_any_bit_flipped(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / "flipped.aio"
    positions = {*range(8 * 8), *rng.integers(0, 8 * HEADER_END, 1500).tolist()}
    positions |= set(rng.integers(8 * HEADER_END, 8 * len(BYTES), 300).tolist())
    refused = 0
    for position in sorted(positions):
        content = bytearray(BYTES)
        content[position // 8] ^= 1 << position % 8
        path.write_bytes(content)
        refused += loads_or_says_why(path) is None
    assert refused > len(positions) / 2


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["conv2d", "x", "stem", "head", "F32", [1, 1], 16, 0, -1, 1e300]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every value inside a JSON document."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += places(inner, (*path, index))
    return found


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), original=st.sampled_from([SMALL, LATER]), value=JSON)
def test_any_manifest_value_replaced(
    data: st.DataObject, original: ModelParts, value: object, tmp_path: Path
) -> None:
    place = data.draw(st.sampled_from(places(original.manifest)))
    parts = original.copy()
    edit(*place, value=value)(parts)
    model = loads_or_says_why(parts.write(tmp_path / "mutated.aio"))
    assert model is None or model.shapes[model.manifest.outputs[0].node]


HEADER = header_of(BYTES)
TENSOR_PLACES = [place for place in places(HEADER) if place[0] != "__metadata__"]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.sampled_from(TENSOR_PLACES), value=JSON)
def test_any_header_value_replaced(
    place: tuple[str | int, ...], value: object, tmp_path: Path
) -> None:
    def change(header: dict[str, Any]) -> None:
        edit(*place, value=value)(ModelParts(header))

    path = tmp_path / "mutated.aio"
    path.write_bytes(with_header(change))
    model = loads_or_says_why(path)
    assert model is None or model.size_bytes == path.stat().st_size


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(header=st.binary(max_size=200), data=st.binary(max_size=40))
def test_arbitrary_bytes(header: bytes, data: bytes, tmp_path: Path) -> None:
    assert defect_of_bytes(tmp_path, container_bytes(header, data))
    assert defect_of_bytes(tmp_path, header or b"\0")


def test_files_that_are_no_files(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.aio"
    os.mkfifo(fifo)
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "socket.aio"))
    with unix:
        assert "No such device" in defect_of(tmp_path / "socket.aio")
    assert "is not a regular file" in defect_of(fifo)
    assert "is not a regular file" in defect_of(Path("/dev/zero"))
    assert "is a directory" in defect_of(tmp_path)
    assert "No such file" in defect_of(tmp_path / "missing.aio")
    assert "is empty" in defect_of(Path("/proc/self/maps"))
    # Files of sysfs claim a page of content, like a file that shrinks while it is read.
    assert "changed while it was read" in defect_of(Path("/sys/devices/system/cpu/online"))
    loop = tmp_path / "loop.aio"
    loop.symlink_to(loop)
    assert "symbolic links" in defect_of(loop)
    assert "Not a directory" in defect_of(fifo / "model.aio")
    assert "File name too long" in defect_of(tmp_path / ("a" * 300))


def test_unreadable_file(tmp_path: Path) -> None:
    path = SMALL.write(tmp_path / "secret.aio")
    path.chmod(0)
    if os.geteuid() == 0:  # root may read everything
        assert read_model_file(path).manifest.name == "small"
    else:
        assert "Permission denied" in defect_of(path)


def test_symlink_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "link.aio"
    link.symlink_to(SMALL.write(tmp_path / "real.aio"))
    assert read_model_file(link).manifest.name == "small"


def test_path_is_quoted_when_it_is_not_printable(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"a\\x1b\[2Jb"):
        read_model_file(tmp_path / "a\x1b[2Jb")
    with pytest.raises(ModelFileError, match="null byte"):
        read_model_file("a\0b")


def hostile_graph(nodes: int) -> bytes:
    """Return a file whose graph is a long chain of large values."""
    parts = SMALL.copy()
    parts.tensors = {}
    chain = [
        {"name": f"n{i}", "op": "relu", "inputs": [f"n{i - 1}" if i else "x"], "attrs": {}}
        for i in range(nodes)
    ]
    parts.manifest.update(nodes=chain, outputs=[{"name": "y", "node": chain[-1]["name"]}])
    parts.manifest["levels"] = [{"ratio": 0, "metrics": {}}]
    return parts.to_bytes()


def test_refusing_is_cheap(tmp_path: Path) -> None:
    """No file may cost much more memory or time than its size."""
    deep_and_wide = container_bytes(b'{"a":[' + b"[]," * 160_000 + b"0]}")
    for content in (deep_and_wide, hostile_graph(20_000), (1 << 62).to_bytes(8, "little") + b"{"):
        path = tmp_path / "costly.aio"
        path.write_bytes(content)
        tracemalloc.start()
        start = time.perf_counter()
        loads_or_says_why(path)
        seconds = time.perf_counter() - start
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 200 << 20
        assert seconds < 30
