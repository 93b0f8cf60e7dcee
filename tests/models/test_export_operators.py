# SPDX-License-Identifier: Apache-2.0
"""Operators in all the ways in which networks write them: the file answers as the network does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from aio.models import AllInOne, ExportError
from aio.models.interpret import interpret_all
from aio.models.outputs import named_results
from aio.models.switchable import SwitchableBatchNorm

RATIOS = (0.0, 0.5, 0.9)
Part = Callable[[Tensor], Tensor]


class Between(nn.Module):
    """A part behind convolutions, of which the middle one can be pruned."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.middle = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.last = nn.Conv2d(32, 32, 1)
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.part(self.last(self.norm(self.middle(self.first(x)))))
        return out


class WithLayers(nn.Module):
    """A function of a value and layers."""

    def __init__(self, make: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.make = make
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.make(x, *self.layers)


class Export(NamedTuple):
    error: float  # relative to the largest answer, the worst of all levels and outputs
    ops: Counter[str]
    manifest: dict[str, Any]


def exported(net: nn.Module, path: Path, *inputs: Tensor, **options: Any) -> Export:
    """Wrap, export and compare a network at every level."""
    prunable = any(isinstance(m, nn.Conv2d) for m in net.modules())
    model = AllInOne(net, RATIOS if prunable else (0.0,))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, SwitchableBatchNorm):
                for norm in module.by_level:
                    for tensor in (norm.running_mean, norm.bias):
                        tensor.normal_()  # type: ignore[operator]
                    for tensor in (norm.running_var, norm.weight):
                        tensor.uniform_(0.5, 2.0)  # type: ignore[operator]
    model.export(path, inputs if len(inputs) > 1 else inputs[0], **options)
    with safe_open(path, "pt") as file:
        manifest = json.loads(file.metadata()["manifest"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    worst = 0.0
    model.eval()
    with torch.no_grad():
        for level in range(len(model.ratios)):
            model.set_level(level)
            expected = named_results(model(*(x.clone() for x in inputs)))
            found = interpret_all(manifest, tensors, inputs, level)
            for answer, wanted in zip(found.values(), expected.values(), strict=True):
                assert answer.shape == wanted.shape
                worst = max(worst, float((answer - wanted).abs().max() / wanted.abs().max()))
    return Export(worst, Counter(node["op"] for node in manifest["nodes"]), manifest)


class LayerNorm2d(nn.LayerNorm):
    """Over the channels of each pixel, as torchvision writes it."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


def convnext(x: Tensor, norm: nn.LayerNorm, up: nn.Linear, down: nn.Linear) -> Tensor:
    y = norm(torch.permute(x, (0, 2, 3, 1)))
    y = down(F.gelu(up(y))) * torch.full((32,), 0.5)
    out: Tensor = y.permute(0, 3, 1, 2) + x
    return out


class SqueezeWithLinear(nn.Module):
    """A gate of linear layers, as Hu et al. publish it."""

    def __init__(self, shape_back: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Sequential(
            nn.Linear(32, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(inplace=True),
            nn.Linear(8, 32),
            nn.Sigmoid(),
        )
        self.shape_back = shape_back

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(x).view(x.size(0), -1)
        return x * self.shape_back(self.gate(y))


def squeeze_conv(x: Tensor, down: nn.Conv2d, up: nn.Conv2d) -> Tensor:
    return x * F.hardsigmoid(up(F.relu(down(x.mean((2, 3), keepdim=True)))))


def randomised(norm: nn.LayerNorm) -> nn.LayerNorm:
    for parameter in norm.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    return norm


# By name: a part, the operators it becomes besides three convolutions, and how many there are.
PARTS: dict[str, tuple[Part, dict[str, int]]] = {
    "cat": (lambda x: torch.cat([x, F.relu(x), x], 1), {"concat": 1, "relu": 1}),
    "cat_names": (lambda x: torch.concat(tensors=(x, x.relu()), dim=-3), {"concat": 1, "relu": 1}),
    "cat_flat": (
        lambda x: torch.cat((x.flatten(1), x.mean((2, 3))), dim=-1),
        {"flatten": 2, "global_avg_pool2d": 1, "concat": 1},
    ),
    "cat_one": (lambda x: torch.cat([x], 1).relu(), {"relu": 1}),
    "mul": (lambda x: torch.mul(x, x.sigmoid()) * x, {"mul": 2, "sigmoid": 1}),
    "squeeze": (
        WithLayers(squeeze_conv, nn.Conv2d(32, 8, 1), nn.Conv2d(8, 32, 1)),
        {"mul": 1, "global_avg_pool2d": 1, "conv2d": 2, "relu": 1, "hardsigmoid": 1},
    ),
    "expand": (
        lambda x: x + F.adaptive_avg_pool2d(x, 1).expand_as(x),
        {"add": 1, "global_avg_pool2d": 1},
    ),
    "expand_alone": (
        lambda x: F.adaptive_max_pool2d(x, 1).expand(-1, -1, 5, 4),
        {"adaptive_max_pool2d": 1, "upsample": 1},
    ),
    "scalars": (lambda x: 2 - (1.5 * x + 3) / 4 + x.neg(), {"affine": 2, "add": 1}),
    "hardswish": (
        lambda x: x * F.relu6(x + 3) / 6,
        {"affine": 2, "relu6": 1, "mul": 1},
    ),
    "per_channel": (
        lambda x: (
            (x * torch.linspace(0, 1, 32).view(-1, 1, 1)).relu()
            + torch.arange(32.0).view(1, 32, 1, 1)
        ),
        {"relu": 1, "affine": 1},
    ),
    "differences": (
        lambda x: torch.rsub(x.relu(), x) - torch.sub(x, x.tanh(), alpha=2),
        {"relu": 1, "tanh": 1, "affine": 3, "add": 3},
    ),
    "alpha": (lambda x: torch.add(x, x.relu(), alpha=0.5), {"relu": 1, "affine": 1, "add": 1}),
    "in_place": (lambda x: x.relu().mul_(2).add_(x).div_(3), {"relu": 1, "affine": 2, "add": 1}),
    "clamp": (lambda x: x.clamp(0, 6) + torch.clamp(x, min=0), {"relu6": 1, "relu": 1, "add": 1}),
    "hardtanh": (nn.Hardtanh(0.0, 6.0), {"relu6": 1}),
    "adaptive_avg": (nn.AdaptiveAvgPool2d((3, 5)), {"adaptive_avg_pool2d": 1}),
    "adaptive_max": (nn.AdaptiveMaxPool2d((None, 3)), {"adaptive_max_pool2d": 1}),
    "adaptive_same": (nn.AdaptiveMaxPool2d((7, 8)), {}),
    "amax": (lambda x: x.amax((-1, -2)), {"adaptive_max_pool2d": 1, "flatten": 1}),
    "ceil_average": (nn.AvgPool2d(3, 2, ceil_mode=True), {"avg_pool2d": 1}),
    "nearest": (nn.Upsample(scale_factor=2), {"upsample": 1}),
    "nearest_2d": (nn.UpsamplingNearest2d(size=(9, 5)), {"upsample": 1}),
    "bilinear": (
        lambda x: F.interpolate(x, size=(10, 3), mode="bilinear", align_corners=False),
        {"upsample": 1},
    ),
    "bilinear_like": (
        lambda x: F.interpolate(F.max_pool2d(x, 2), size=x.shape[-2:], mode="bilinear"),
        {"max_pool2d": 1, "upsample": 1},
    ),
    "bilinear_aligned": (nn.UpsamplingBilinear2d(scale_factor=1.5), {"upsample": 1}),
    "recomputed": (
        lambda x: F.interpolate(x, scale_factor=1.3, recompute_scale_factor=True),
        {"upsample": 1},
    ),
    "area": (lambda x: F.interpolate(x, (3, 3), mode="area"), {"adaptive_avg_pool2d": 1}),
    "upsample_same": (lambda x: F.interpolate(x, (7, 8)).relu(), {"relu": 1}),
    "softmax": (lambda x: x.softmax(1) + F.softmax(x, dim=-3), {"softmax": 2, "add": 1}),
    "softmax_2d": (nn.Softmax2d(), {"softmax": 1}),
    "softmax_flat": (
        lambda x: torch.softmax(x.mean((2, 3)), -1),
        {"global_avg_pool2d": 1, "flatten": 1, "softmax": 1},
    ),
    "batch_norm_alone": (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(32)), {"relu": 1, "affine": 1}),
    "batch_norm_flat": (
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(32), nn.ReLU()),
        {"global_avg_pool2d": 1, "flatten": 1, "affine": 1, "relu": 1},
    ),
    "batch_norm_function": (
        lambda x: F.batch_norm(x.relu(), torch.zeros(32), torch.ones(32), torch.full((32,), 2.0)),
        {"relu": 1, "affine": 1},
    ),
    "layer_norm_sample": (randomised(nn.LayerNorm((32, 7, 8))), {"layer_norm": 1}),
    "layer_norm_flat": (
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(32, bias=False)),
        {"global_avg_pool2d": 1, "flatten": 1, "layer_norm": 1},
    ),
    "layer_norm_2d": (randomised(LayerNorm2d(32, eps=1e-6)), {"layer_norm": 1}),
    "convnext": (
        WithLayers(
            convnext, randomised(nn.LayerNorm(32)), nn.Linear(32, 96), nn.Linear(96, 32, bias=False)
        ),
        {"layer_norm": 1, "conv2d": 2, "gelu": 1, "add": 1},
    ),
    "mean_last": (
        lambda x: x.permute(0, 2, 3, 1).relu().mean((1, 2)),
        {"relu": 1, "global_avg_pool2d": 1, "flatten": 1},
    ),
    "gate_view": (
        SqueezeWithLinear(lambda y: y.view(y.shape[0], 32, 1, 1)),
        {"global_avg_pool2d": 1, "conv2d": 2, "relu": 1, "sigmoid": 1, "mul": 1},
    ),
    "gate_none": (
        SqueezeWithLinear(lambda y: y[:, :, None, None]),
        {"global_avg_pool2d": 1, "conv2d": 2, "relu": 1, "sigmoid": 1, "mul": 1},
    ),
    "gate_unsqueeze": (
        SqueezeWithLinear(lambda y: y.unsqueeze(-1).unsqueeze(-1).expand(-1, -1, 7, 8)),
        {"global_avg_pool2d": 1, "conv2d": 2, "relu": 1, "sigmoid": 1, "mul": 1},
    ),
    "pad_alone": (nn.ZeroPad2d((1, 2, 0, 3)), {"conv2d": 1}),
    "clone": (lambda x: x.clone().relu_() + x.detach(), {"relu": 1, "add": 1}),
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.filterwarnings("ignore:nn.functional.*deprecated")
def test_part(name: str, tmp_path: Path) -> None:
    part, expected = PARTS[name]
    found = exported(Between(part), tmp_path / "m.aio", torch.randn(2, 3, 7, 8))
    assert found.error < 1e-5
    assert found.ops - Counter(conv2d=3) == Counter(expected)


def test_padding_before_windows_becomes_theirs(tmp_path: Path) -> None:
    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pad = nn.ZeroPad2d((0, 1, 2, 3))
            self.first = nn.Conv2d(3, 32, 3, stride=2, padding=1)
            self.second = nn.Conv2d(32, 32, 3, bias=False)
            self.norm = nn.BatchNorm2d(32)
            self.last = nn.Conv2d(32, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.first(F.pad(self.pad(x), [1, 0, 0, 0])))
            y: Tensor = self.last(self.norm(self.second(F.pad(x, (2, 1)))))
            return y

    found = exported(Padded(), tmp_path / "m.aio", torch.randn(2, 3, 7, 8))
    assert found.error < 1e-5
    assert found.ops == Counter(conv2d=3, relu=1)
    paddings = [n["attrs"]["padding"] for n in found.manifest["nodes"] if n["op"] == "conv2d"]
    assert paddings == [[3, 2, 4, 2], [0, 2, 0, 1], [0] * 4]


def test_scales_are_folded_where_nothing_else_reads_the_layer(tmp_path: Path) -> None:
    conv = nn.Conv2d(32, 32, 1)
    alone = Between(WithLayers(lambda x, conv: 0.5 * conv(x) - 1, conv))
    assert exported(alone, tmp_path / "m.aio", torch.randn(2, 3, 5, 5)).ops == Counter(conv2d=4)
    shared = Between(WithLayers(lambda x, conv: torch.cat([conv(x) * 2, x * 3, x], 1), conv))
    found = exported(shared, tmp_path / "m.aio", torch.randn(2, 3, 5, 5))
    assert found.error < 1e-5
    assert found.ops == Counter(conv2d=4, concat=1, affine=1)


def test_batch_norm_of_a_shared_result_stands_alone(tmp_path: Path) -> None:
    layers = nn.Conv2d(32, 32, 1), nn.BatchNorm2d(32)
    shared = Between(WithLayers(lambda x, conv, norm: norm(y := conv(x)) + y, *layers))
    found = exported(shared, tmp_path / "m.aio", torch.randn(2, 3, 5, 5))
    assert found.error < 1e-5
    assert found.ops == Counter(conv2d=4, affine=1, add=1)


class Two(nn.Module):
    """An image and a vector in; an image, two vectors out."""

    def __init__(self, collect: Callable[[Tensor, Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3)
        self.inner = nn.Conv2d(16, 70, 3)
        self.linear = nn.Linear(5, 70)
        self.last = nn.Linear(140, 4)
        self.collect = collect

    def forward(self, image: Tensor, vector: Tensor, unused: Tensor | None = None) -> Any:
        x = self.inner(F.relu(self.conv(image)))
        y = torch.cat([x.mean((2, 3)), self.linear(vector)], 1)
        z = self.last(y)
        if unused is not None:
            z = z + unused
        return self.collect(x, z, z.softmax(1))


class Pair(NamedTuple):
    image: Tensor
    scores: Tensor


COLLECTIONS: dict[str, tuple[Callable[[Tensor, Tensor, Tensor], Any], list[str]]] = {
    "tuple": (lambda x, y, z: (x, y, z), ["output_0", "output_1", "output_2"]),
    "list": (lambda x, y, z: [y, y], ["output_0", "output_1"]),
    "dict": (lambda x, y, z: {"scores": y, "image": x}, ["scores", "image"]),
    "named": (lambda x, y, z: Pair(x, y), ["image", "scores"]),
    "single": (lambda x, y, z: (z,), ["output"]),
}


@pytest.mark.parametrize("name", COLLECTIONS)
def test_several_inputs_and_outputs(name: str, tmp_path: Path) -> None:
    collect, names = COLLECTIONS[name]
    inputs = torch.randn(2, 3, 9, 8), torch.randn(2, 5)
    found = exported(Two(collect), tmp_path / "m.aio", *inputs)
    assert found.error < 1e-5
    assert found.manifest["inputs"] == [
        {"name": "image", "shape": [3, 9, 8]},
        {"name": "vector", "shape": [5]},
    ]
    assert [output["name"] for output in found.manifest["outputs"]] == names


def test_an_input_with_a_default_may_be_given(tmp_path: Path) -> None:
    inputs = torch.randn(2, 3, 9, 8), torch.randn(2, 5), torch.randn(2, 4)
    found = exported(Two(lambda x, y, z: y), tmp_path / "m.aio", *inputs)
    assert found.error < 1e-5
    assert [spec["name"] for spec in found.manifest["inputs"]] == ["image", "vector", "unused"]


def test_names_and_labels(tmp_path: Path) -> None:
    net, path = Two(lambda x, y, z: (x, y)), tmp_path / "m.aio"
    inputs = torch.randn(1, 3, 9, 8), torch.randn(1, 5)
    options = {"input_names": ["a", "b"], "output_names": ("c", "d")}
    found = exported(net, path, *inputs, **options, labels={"d": "wxyz"})
    assert [spec["name"] for spec in found.manifest["inputs"]] == ["a", "b"]
    assert [(o["name"], o.get("labels")) for o in found.manifest["outputs"]] == [
        ("c", None),
        ("d", list("wxyz")),
    ]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"input_names": ["a"]}, r"input_names is \['a'\], expected 2 names"),
        ({"input_names": "ab"}, "input_names is 'ab', expected 2 names"),
        ({"output_names": ["a", "a"]}, "output_names: .* repeats a name"),
        ({"output_names": ["a", ""]}, "output_names: '' is not 1 to 255"),
        ({"output_names": ["a", "b\n"]}, "is not 1 to 255 printable"),
        ({"labels": "wxyz"}, "labels for 2 outputs must be a mapping"),
        ({"labels": {"e": "wxyz"}}, "labels for an output 'e', the network has output_0, output_1"),
        ({"labels": {"output_1": "xyz"}}, r"3 labels for an output of shape \(4,\)"),
        ({"labels": {"output_0": "wxyz"}}, r"4 labels for an output of shape \(70, "),
    ]
    for option, message in wrong:
        with pytest.raises(ExportError, match=message):
            exported(net, path, *inputs, **option)


def test_a_name_of_an_input_is_not_given_to_a_node(tmp_path: Path) -> None:
    net = Between(F.relu)
    found = exported(net, tmp_path / "m.aio", torch.randn(1, 3, 4, 4), input_names=["relu"])
    assert [node["name"] for node in found.manifest["nodes"]] == [
        "first",
        "middle",
        "last",
        "relu_1",
    ]
