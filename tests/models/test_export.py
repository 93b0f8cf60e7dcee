# SPDX-License-Identifier: Apache-2.0
"""What is exported answers as the network does, at every level; the rest is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from aio.models import AllInOne, ExportError, zoo
from aio.models.export import export_model
from aio.models.interpret import interpret
from aio.models.switchable import SwitchableBatchNorm

Contents = tuple[dict[str, Any], dict[str, Tensor]]
Reader = Callable[[Path], Contents]

RATIOS = (0.0, 0.3, 0.5, 0.75, 0.9, 0.95)


def trained(net: nn.Module, ratios: tuple[float, ...] = RATIOS) -> AllInOne:
    """Wrap a network as if training had touched everything that differs between levels."""
    model = AllInOne(net, ratios)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, SwitchableBatchNorm):
                for level in range(len(ratios)):
                    bn = module.at(level)
                    assert bn.running_mean is not None
                    assert bn.running_var is not None
                    bn.running_mean.normal_()
                    bn.running_var.uniform_(0.5, 2.0)
                    if bn.affine:
                        bn.weight.uniform_(0.5, 1.5)
                        bn.bias.normal_()
        for layer in model.masked_layers().values():
            layer.score.uniform_()
    model.update_thresholds()
    return model


def largest_error(model: AllInOne, contents: Contents, x: Tensor) -> float:
    """Return the largest difference at any level, relative to the largest answer."""
    manifest, tensors = contents
    worst = 0.0
    model.eval()
    with torch.no_grad():
        for level in range(len(model.ratios)):
            model.set_level(level)
            expected = model(x.clone())
            found = interpret(manifest, tensors, x, level)
            assert found.shape == expected.shape
            worst = max(worst, float((found - expected).abs().max() / expected.abs().max()))
    return worst


class NoBatchNorm(nn.Module):
    """Biases, odd channel counts, a rectangular kernel, dilation, stride 3, asymmetric padding."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 20, 3, padding="same")
        self.rectangular = nn.Conv2d(20, 37, (3, 5), padding=(1, 2))
        self.dilated = nn.Conv2d(37, 33, 3, padding=2, dilation=2, bias=False)
        self.strided = nn.Conv2d(33, 19, (5, 3), stride=(3, 2))
        self.even = nn.Conv2d(19, 70, (4, 2), padding="same")
        self.hidden = nn.Linear(70 * 3 * 8, 45)
        self.last = nn.Linear(45, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.rectangular(F.hardswish(self.first(x))))
        x = F.relu6(self.dilated(x))
        x = torch.relu(self.even(self.strided(x)))
        out: Tensor = self.last(self.hidden(x.flatten(1)).relu())
        return out


class Functional(nn.Module):
    """The same operators as functions, methods and in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 24, 3, bias=False)
        self.bn = nn.BatchNorm2d(24)
        self.conv = nn.Conv2d(24, 24, 3, padding=1)
        self.last = nn.Conv2d(24, 24, 1)
        self.kernel = nn.Parameter(torch.randn(24, 24, 1, 1) * 0.2)
        self.matrix = nn.Parameter(torch.randn(5, 24))
        self.offset = nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.stem(x)).relu_()
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        y = self.last(self.conv(x))
        y += x
        y = torch.add(F.relu(y, inplace=True), F.conv2d(x, self.kernel, stride=1))
        y = y.add(F.avg_pool2d(x, kernel_size=3, stride=1, padding=1))
        y = F.dropout(y, training=self.training)
        y = F.adaptive_avg_pool2d(y, 1).reshape(y.size(0), -1)
        return F.linear(y, self.matrix, self.offset)


class Pools(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1)
        self.ceil = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.counted = nn.AvgPool2d((3, 2), stride=(1, 2), padding=(1, 0))
        self.uncounted = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
        self.adaptive = nn.AdaptiveAvgPool2d((5, 1))
        self.same = nn.AdaptiveAvgPool2d((5, None))
        self.inner = nn.Conv2d(16, 64, 1)
        self.last = nn.Conv2d(64, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.uncounted(self.counted(self.ceil(self.conv(x))))
        x = self.last(F.relu6(self.inner(self.same(self.adaptive(x)))))
        x = F.avg_pool2d(x, x.size()[2:])
        return x.view(x.shape[0], -1)


class LinearWithBatchNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(48, 40),
            nn.BatchNorm1d(40, affine=False),
            nn.ReLU6(),
            nn.Linear(40, 50, bias=False),
            nn.BatchNorm1d(50),
            nn.Hardswish(),
            nn.Dropout(0.3),
            nn.Linear(50, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class PreActivation(nn.Module):
    """An in-place activation whose input is used again: the shortcut sees the overwritten one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.conv = nn.Conv2d(16, 16, 3, padding=1)
        self.last = nn.Conv2d(16, 2, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.conv(self.relu(x)) + x
        return torch.mean(self.last(x), dim=(-1, -2))


class Activations(nn.Module):
    """Every activation as a module, behind a layer, and as a function or method."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 40, 3, padding=1)
        self.modules_ = nn.ModuleList(
            [
                nn.SiLU(inplace=True),
                nn.Sigmoid(),
                nn.Hardsigmoid(),
                nn.Tanh(),
                nn.GELU(),
                nn.GELU(approximate="tanh"),
                nn.LeakyReLU(0.3, inplace=True),
                nn.LeakyReLU(),
            ]
        )
        self.layers = nn.ModuleList(nn.Conv2d(40, 40, 1) for _ in self.modules_)
        self.last = nn.Conv2d(40, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer, activation in zip(self.layers, self.modules_, strict=True):
            x = activation(layer(x)) + x
        y = F.silu(x) + torch.sigmoid(x) + F.sigmoid(x) + x.sigmoid() + F.hardsigmoid(x)
        y = y + torch.tanh(x) + F.tanh(x) + x.tanh() + F.gelu(x) + F.gelu(x, approximate="tanh")
        y = y + F.leaky_relu(x, 0.2) + F.leaky_relu(x, negative_slope=-0.5)
        out: Tensor = self.last(y)
        return out


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "digits_resnet": (zoo.digits_resnet, (1, 8, 8)),
    "resnet18": (lambda: zoo.resnet18(num_classes=11), (3, 40, 40)),
    "no_batch_norm": (NoBatchNorm, (3, 13, 17)),
    "functional": (Functional, (2, 12, 11)),
    "pools": (Pools, (1, 10, 12)),
    "linear_with_batch_norm": (LinearWithBatchNorm, (3, 4, 4)),
    "pre_activation": (PreActivation, (1, 6, 6)),
    "activations": (Activations, (2, 5, 6)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_file_answers_as_the_network_at_every_level(
    name: str, tmp_path: Path, read_model: Reader
) -> None:
    make, shape = NETWORKS[name]
    model = trained(make())
    x = torch.randn(3, *shape)
    model.export(tmp_path / "m.aio", example_input=x)
    assert largest_error(model, read_model(tmp_path / "m.aio"), x) < 1e-4


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_random_convolutions(data: st.DataObject, tmp_path: Path, read_model: Reader) -> None:
    draw = data.draw
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    same = stride == (1, 1) and draw(st.booleans())
    channels = draw(st.integers(16, 40)), draw(st.integers(32, 50))
    torch.manual_seed(draw(st.integers(0, 1000)))
    conv = nn.Conv2d(
        *channels,
        kernel,
        stride,
        "same" if same else draw(st.tuples(st.integers(0, 3), st.integers(0, 3))),
        draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        bias=draw(st.booleans()),
    )
    norm = nn.BatchNorm2d(channels[1]) if draw(st.booleans()) else nn.Identity()
    net = nn.Sequential(
        nn.Conv2d(1, channels[0], 1), conv, norm, nn.ReLU(), nn.Conv2d(channels[1], 2, 1)
    )
    ratios = (0.0, draw(st.floats(0.1, 0.9)), 0.95)
    prunable = conv.weight.numel() >= 64 * 16
    model = trained(net, ratios if prunable else (0.0,))
    x = torch.randn(2, 1, 9, 8)
    model.export(tmp_path / "m.aio", example_input=x)
    assert largest_error(model, read_model(tmp_path / "m.aio"), x) < 1e-4


def test_manifest_of_the_digits_network(tmp_path: Path, read_model: Reader) -> None:
    model = trained(zoo.digits_resnet())
    export_model(
        model,
        tmp_path / "m.aio",
        torch.zeros(1, 1, 8, 8),
        name="digits",
        metrics={"accuracy": [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]},
        input_names=["image"],
        output_names=["logits"],
        labels=tuple("0123456789"),
        provenance={"seed": 1},
    )
    manifest, tensors = read_model(tmp_path / "m.aio")
    assert manifest["format_version"] == 2
    assert manifest["name"] == "digits"
    assert manifest["producer"].startswith("aio-runtime ")
    assert manifest["inputs"] == [{"name": "image", "shape": [1, 8, 8]}]
    assert manifest["outputs"] == [
        {"name": "logits", "node": "fc", "labels": list("0123456789")},
    ]
    assert [level["ratio"] for level in manifest["levels"]] == list(RATIOS)
    assert manifest["levels"][1]["metrics"] == {"accuracy": 0.9}
    nodes = {node["name"]: node for node in manifest["nodes"]}
    assert nodes["layer2.0.conv1"] == {
        "name": "layer2.0.conv1",
        "op": "conv2d",
        "inputs": ["layer1.3.relu_1"],
        "attrs": {
            "stride": [2, 2],
            "padding": [1, 1, 1, 1],
            "dilation": [1, 1],
            "groups": 1,
        },
    }
    assert nodes["layer2.0.add"]["inputs"] == ["layer2.0.conv2", "layer2.0.downsample.0"]
    assert {name.rpartition(".")[2] for name in tensors if name.startswith("layer2.0.conv1.")} == {
        "weight",
        "score",
        "threshold",
        "scale",
        "bias",
    }
    assert set(tensors) & {"conv1.score", "fc.score", "fc.scale"} == set()
    assert tensors["fc.bias"].shape == (6, 10)


def test_thresholds_in_the_file_give_the_masks_of_training(
    tmp_path: Path, read_model: Reader
) -> None:
    model = trained(zoo.digits_resnet())
    model.export(tmp_path / "m.aio", example_input=torch.zeros(1, 1, 8, 8))
    _, tensors = read_model(tmp_path / "m.aio")
    for name, layer in model.masked_layers().items():
        score, threshold = tensors[f"{name}.score"], tensors[f"{name}.threshold"]
        assert torch.equal(score, layer.score)
        for level, kept in enumerate(layer.kept_blocks()):
            assert int((score > threshold[level]).sum()) == kept


def test_export_changes_neither_the_model_nor_its_level(tmp_path: Path) -> None:
    model = trained(zoo.digits_resnet()).train()
    model.set_level(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.export(tmp_path / "m.aio", example_input=torch.zeros(1, 1, 8, 8))
    assert model.training
    assert set(model.layer_levels) == {3}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_same_model_same_bytes(tmp_path: Path) -> None:
    model = trained(zoo.digits_resnet())
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        model.export(tmp_path / folder / "m.aio", example_input=torch.zeros(1, 1, 8, 8))
    contents = [(tmp_path / folder / "m.aio").read_bytes() for folder in ("a", "b")]
    assert contents[0] == contents[1]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_plain_network_exports_as_one_dense_level(tmp_path: Path, read_model: Reader) -> None:
    model = trained(NoBatchNorm().eval(), ratios=(0.0,))
    x = torch.randn(2, 3, 13, 17)
    model.export(tmp_path / "m.aio", example_input=x)
    manifest, tensors = read_model(tmp_path / "m.aio")
    assert manifest["levels"] == [{"ratio": 0.0, "metrics": {}}]
    assert not any(name.endswith(("score", "scale")) for name in tensors)
    assert largest_error(model, (manifest, tensors), x) < 1e-4


class Around(nn.Module):
    """Convolutions around a part that is not supported."""

    def __init__(self, part: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 3, padding=1)
        self.inner = nn.Conv2d(32, 32, 1)
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.part(self.inner(self.stem(x))))


class Channels(nn.Module):
    """A part on a view with the channels last."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.part(x.permute(0, 2, 3, 1))
        return out


REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "reflect": (nn.Conv2d(32, 32, 3, padding=1, padding_mode="reflect"), "part: padding mode"),
    "transposed": (nn.ConvTranspose2d(32, 32, 1), "part: operator ConvTranspose2d"),
    "elu": (nn.Sequential(nn.ReLU(), nn.ELU()), r"part\.1: operator ELU is not"),
    "mish": (F.mish, "operator mish is not supported"),
    "slope": (nn.LeakyReLU(float("inf")), "part: leaky_relu with negative_slope=inf is not"),
    "clamp": (lambda x: x.clamp(0, 1), r"Tensor\.clamp from 0 to 1 is not supported"),
    "slice": (lambda x: torch.cat([x[:, :16], x[:, 16:]], dim=1), "operator getitem is not"),
    "chunk": (lambda x: torch.cat(x.chunk(2, 1), 1), r"operator Tensor\.chunk is not"),
    "cat_rows": (lambda x: torch.cat([x, x], dim=2), "concatenation along 2 of 4 axes"),
    "cat_constant": (
        lambda x: torch.cat([x, torch.ones(2, 1, 6, 6)], dim=1),
        "concatenation of something else than values",
    ),
    "cat_many": (
        lambda x: torch.cat([x] * 257, 1),
        "concatenation of 257 values, the limit is 256",
    ),
    "divide": (lambda x: 1.0 / x, "division by a computed value"),
    "divide_zero": (lambda x: x / 0, "division by zero"),
    "constant": (lambda x: x * torch.ones(32, 6, 6), r"mul with a constant of \(32, 6, 6\)"),
    "broadcast": (lambda x: x + F.avg_pool2d(x, (1, 6)), r"add of shapes .* and \(32, 6, 1\)"),
    "rounding": (lambda x: torch.div(x, 2, rounding_mode="floor"), "div has arguments that"),
    "instance_norm": (nn.InstanceNorm2d(32), "part: operator InstanceNorm2d is not"),
    "group_norm": (lambda x: F.group_norm(x, 4), "operator group_norm is not"),
    "layer_norm": (nn.LayerNorm(6), r"part: layer normalisation of \(6,\) in \(32, 6, 6\)"),
    "softmax": (nn.Softmax(dim=2), "part: softmax over axis 2 of 4 is not"),
    "softmax_type": (lambda x: F.softmax(x, 1, dtype=torch.float64).float(), "softmax with dtype"),
    "log_softmax": (nn.LogSoftmax(dim=1), "part: operator LogSoftmax is not"),
    "bicubic": (nn.Upsample(scale_factor=2, mode="bicubic"), "part: Upsample with mode='bicubic'"),
    "antialias": (
        lambda x: F.interpolate(x, (3, 3), mode="bilinear", antialias=True),
        "interpolate with antialias",
    ),
    "scale": (nn.Upsample(scale_factor=1.3), "part: Upsample by 1.3 from 6 to 7 pixels is not"),
    "pad_mode": (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "padding with mode='reflect'"),
    "pad_value": (nn.ConstantPad2d(1, 0.5), "part: padding with 0.5 is not supported"),
    "pad_channels": (lambda x: F.pad(x, (0, 0, 0, 0, 1, 0)), r"which pads channels"),
    "crop": (lambda x: F.pad(x, (-1, 0, 0, 0)), r"padding by \[-1, 0, 0, 0\], which crops"),
    "permute": (lambda x: x.permute(0, 3, 2, 1), r"permute by \(0, 3, 2, 1\) is not supported"),
    "view_conv": (Channels(nn.Conv2d(6, 32, 1)), "Conv2d of a channels-last view is not"),
    "view_norm": (Channels(nn.BatchNorm2d(6)), "batch normalisation of a channels-last view"),
    "view_flatten": (Channels(nn.Flatten()), r"shape from \(6, 6, 32\) to .* of a channels-last"),
    "mean": (lambda x: x.mean(1, keepdim=True).expand(-1, 32, -1, -1), "mean over 1"),
    "expand": (lambda x: F.avg_pool2d(x, (1, 6)).expand(2, 32, 6, 6), "expansion from"),
    "reshape": (lambda x: x.view(-1, 32, 2, 18), r"change of shape from \(32, 6, 6\)"),
    "batch_mixed": (lambda x: x.view(-1, 32, 3, 6), "does not keep the batch axis"),
    "dilated_pool": (nn.MaxPool2d(2, 1, dilation=2), "part: max pooling with dilation 2"),
    "indices": (lambda x: F.adaptive_max_pool2d(x, 2, True)[0], "pool2d.* is not supported"),
    "ceil": (
        nn.MaxPool2d(5, 5, ceil_mode=True),
        "part: MaxPool2d with ceil_mode from 6 x 6 pixels needs 4 pixels of padding",
    ),
    "ceil_average": (
        nn.AvgPool2d(6, 3, padding=1, ceil_mode=True),
        "part: average pooling with ceil_mode and counted padding",
    ),
    "divisor": (nn.AvgPool2d(2, divisor_override=3), "part: average pooling with divisor"),
    "linear_axes": (nn.Linear(6, 6), "part: a linear layer on 3 axes"),
    "computed": (
        lambda x: x + F.linear(x.flatten(1), x.flatten(1)).mean(),
        "linear with a computed weight",
    ),
    "not_read": (
        lambda x: x + torch.relu(torch.ones(32, 6, 6)),
        r"add with a constant of \(32, 6, 6\)",
    ),
    "dropout": (lambda x: F.dropout(x, 0.5, True), "operator dropout is not supported"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_by_name_and_place(name: str, tmp_path: Path) -> None:
    part, message = REFUSED[name]
    model = AllInOne(Around(part), (0.0,))
    with pytest.raises(ExportError, match=message):
        model.export(tmp_path / "m.aio", example_input=torch.randn(1, 1, 6, 6))
    assert list(tmp_path.iterdir()) == []


def test_batch_norm_without_statistics_is_refused(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(ExportError, match="1: batch normalisation without running statistics"):
        AllInOne(net, (0.0,)).export(tmp_path / "m.aio", torch.zeros(2, 1, 3, 3))


def test_what_a_network_must_return(tmp_path: Path) -> None:
    class Returning(nn.Module):
        def __init__(self, make: Callable[[Tensor], Any]) -> None:
            super().__init__()
            self.make = make

        def forward(self, x: Tensor) -> Any:
            return self.make(x)

    for make, message in (
        (lambda x: x, "returns its input"),
        (lambda x: (F.relu(x), x), "output 'output_1': the network returns its input"),
        (lambda x: (F.relu(x), None), "output 'output_1': the network must return .* not None"),
        (lambda x: {"a": F.relu(x), 2: x}, "keys are not all strings"),
        (lambda x: [], "returns nothing"),
        (lambda x: F.relu(x).permute(0, 2, 3, 1), "returning a channels-last view"),
        (lambda x: (F.relu(x), torch.ones(1)), "output 'output_1': .* not a constant"),
    ):
        with pytest.raises(ExportError, match=message):
            AllInOne(Returning(make), (0.0,)).export(tmp_path / "m.aio", torch.zeros(1, 1, 3, 3))


def test_graph_that_differs_from_the_network_is_noticed(tmp_path: Path) -> None:
    class Aliased(nn.Module):
        """Overwrites a tensor through a view of it, which a graph of values can't show."""

        def forward(self, x: Tensor) -> Tensor:
            x = F.hardswish(x)
            x.flatten(1).relu_()
            return F.hardswish(x)

    with pytest.raises(ExportError, match=r"differs from the network by .* at level 0"):
        AllInOne(Aliased(), (0.0,)).export(
            tmp_path / "m.aio", torch.linspace(-2, 2, 9).view(1, 1, 3, 3)
        )


def test_a_network_that_computes_with_the_size_of_the_batch_is_refused(tmp_path: Path) -> None:
    class Share(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x) / x.shape[0]

    with pytest.raises(ExportError, match="differs from the network"):
        AllInOne(Share(), (0.0,)).export(tmp_path / "m.aio", torch.ones(4, 1, 3, 3))


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (torch.zeros(1, 8, 8), r"must be a tensor \(N, C, H, W\)"),
        ((), "example_input is empty"),
        ((torch.zeros(1, 1, 8, 8), 1.0), "got float"),
        ([torch.zeros(1, 1, 8, 8)] * 2, "the network takes x, example_input has 2 tensors"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.int64), "floating-point"),
        (torch.zeros(0, 1, 8, 8), "floating-point"),
        (torch.zeros(1, 3, 8, 8), r"shape \(1, 3, 8, 8\) does not run"),
        ([1.0], "got float"),
    ],
)
def test_example_that_does_not_fit_is_named(tmp_path: Path, example: Any, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        AllInOne(zoo.digits_resnet(), (0.0,)).export(tmp_path / "m.aio", example)


def test_labels_must_match_the_output(tmp_path: Path) -> None:
    model = AllInOne(zoo.digits_resnet(), (0.0,))
    with pytest.raises(ExportError, match=r"2 labels for an output of shape \(10,\)"):
        model.export(tmp_path / "m.aio", torch.zeros(1, 1, 8, 8), labels=("a", "b"))


def test_name_comes_from_the_file_and_must_be_servable(tmp_path: Path, read_model: Reader) -> None:
    model = AllInOne(zoo.digits_resnet(), (0.0,))
    model.export(tmp_path / "my-net.v2.aio", torch.zeros(1, 1, 8, 8))
    assert read_model(tmp_path / "my-net.v2.aio")[0]["name"] == "my-net.v2"
    with pytest.raises(ExportError, match="pass another with name="):
        model.export(tmp_path / "my net.aio", torch.zeros(1, 1, 8, 8))


def test_diverged_weights_are_refused(tmp_path: Path) -> None:
    model = AllInOne(zoo.digits_resnet(), (0.0,))
    with torch.no_grad():
        model.net.get_parameter("layer1.0.conv1.weight")[0, 0, 0, 0] = torch.nan
    with pytest.raises(ExportError, match=r"differs|layer1\.0\.conv1: weight holds nan"):
        model.export(tmp_path / "m.aio", torch.zeros(1, 1, 8, 8))


def test_manifest_is_ascii_json(tmp_path: Path) -> None:
    model = AllInOne(zoo.digits_resnet(num_classes=2), (0.0,))
    model.export(tmp_path / "m.aio", torch.zeros(1, 1, 8, 8), labels=("ä", '"'))
    data = (tmp_path / "m.aio").read_bytes()
    header = data[8 : 8 + int.from_bytes(data[:8], "little")]
    assert header.isascii()
    manifest = json.loads(json.loads(header)["__metadata__"]["manifest"])
    assert manifest["outputs"][0]["labels"] == ["ä", '"']
