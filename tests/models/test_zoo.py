# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import pytest
import torch
from torch import nn

from aio.models import ModelError, zoo
from aio.models.conv_bn import StochasticDepth
from aio.models.mobilenet import InvertedResidual
from aio.models.mobilenet_v3 import InvertedResidual as InvertedResidualV3
from aio.models.resnet import Bottleneck, ResNet


def torchvision_resnet(
    depths: tuple[int, ...], kernels: tuple[int, ...], expansion: int
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's residual networks, from their published structure.

    `kernels` are the kernel sizes of a block's convolutions, the last of which has `expansion`
    times the stage's channels.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def bn(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    shapes["conv1.weight"] = (64, 3, 7, 7)
    bn("bn1", 64)
    before = 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in range(depths[stage - 1]):
            name, inputs = f"layer{stage}.{block}", before
            for i, kernel in enumerate(kernels, start=1):
                outputs = channels * (expansion if i == len(kernels) else 1)
                shapes[f"{name}.conv{i}.weight"] = (outputs, inputs, kernel, kernel)
                bn(f"{name}.bn{i}", outputs)
                inputs = outputs
            if block == 0 and (stage > 1 or expansion > 1):
                shapes[f"{name}.downsample.0.weight"] = (outputs, before, 1, 1)
                bn(f"{name}.downsample.1", outputs)
            before = outputs
    shapes["fc.weight"] = (1000, before)
    shapes["fc.bias"] = (1000,)
    return shapes


@pytest.mark.parametrize(
    ("make", "expected", "entries", "parameters"),
    [
        (zoo.resnet18, torchvision_resnet((2, 2, 2, 2), (3, 3), 1), 122, 11_689_512),
        (zoo.resnet34, torchvision_resnet((3, 4, 6, 3), (3, 3), 1), 218, 21_797_672),
        (zoo.resnet50, torchvision_resnet((3, 4, 6, 3), (1, 3, 1), 4), 320, 25_557_032),
    ],
)
def test_resnets_have_torchvisions_state_dict(
    make: Callable[[], ResNet],
    expected: dict[str, tuple[int, ...]],
    entries: int,
    parameters: int,
) -> None:
    net = make()
    state = net.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == expected
    assert list(state) == list(expected)
    assert len(state) == entries
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_resnet50_has_the_stride_in_the_middle_convolution() -> None:
    blocks = [m for m in zoo.resnet50().modules() if isinstance(m, Bottleneck)]
    strides = [(b.conv1.stride[0], b.conv2.stride[0], b.conv3.stride[0]) for b in blocks]
    assert [i for i, stride in enumerate(strides) if stride == (1, 2, 1)] == [3, 7, 13]
    assert strides.count((1, 1, 1)) == 13


@pytest.mark.parametrize("make", [zoo.resnet18, zoo.resnet34, zoo.resnet50])
def test_resnets_run_at_any_size(make: Callable[[int], ResNet]) -> None:
    net = make(5).eval()
    with torch.no_grad():
        assert net(torch.randn(2, 3, 33, 65)).shape == (2, 5)


def test_digits_resnet_is_as_described() -> None:
    net = zoo.digits_resnet()
    convolutions = [p.numel() for p in net.parameters() if p.ndim == 4]
    assert sum(convolutions) + net.fc.weight.numel() == 210_576
    assert net(torch.rand(2, 1, 8, 8) * 16).shape == (2, 10)


def torchvision_mobilenet_v2() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's MobileNetV2, from its published structure."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv_bn(conv: str, bn: str, *weight: int) -> None:
        shapes[f"{conv}.weight"] = weight
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{bn}.{part}"] = (weight[0],)
        shapes[f"{bn}.num_batches_tracked"] = ()

    conv_bn("features.0.0", "features.0.1", 32, 3, 3, 3)
    stages = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
    inputs, number = 32, 0
    for expansion, outputs, depth in stages:
        for _ in range(depth):
            number, part, hidden = number + 1, 0, expansion * inputs
            name = f"features.{number}.conv"
            if expansion > 1:
                conv_bn(f"{name}.0.0", f"{name}.0.1", hidden, inputs, 1, 1)
                part = 1
            conv_bn(f"{name}.{part}.0", f"{name}.{part}.1", hidden, 1, 3, 3)
            conv_bn(f"{name}.{part + 1}", f"{name}.{part + 2}", outputs, hidden, 1, 1)
            inputs = outputs
    conv_bn("features.18.0", "features.18.1", 1280, 320, 1, 1)
    shapes["classifier.1.weight"] = (1000, 1280)
    shapes["classifier.1.bias"] = (1000,)
    return shapes


def test_mobilenet_v2_has_torchvisions_state_dict() -> None:
    net = zoo.mobilenet_v2()
    found = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    expected = torchvision_mobilenet_v2()
    assert found == expected
    assert list(found) == list(expected)
    assert len(found) == 314
    assert sum(p.numel() for p in net.parameters()) == 3_504_872


def test_mobilenet_v2_steps_and_adds_where_the_paper_says() -> None:
    blocks = [m for m in zoo.mobilenet_v2().modules() if isinstance(m, InvertedResidual)]
    depthwise = [
        m for m in zoo.mobilenet_v2().modules() if isinstance(m, nn.Conv2d) and m.groups > 1
    ]
    strided = [i for i, conv in enumerate(depthwise) if conv.stride == (2, 2)]
    assert strided == [1, 3, 6, 13]
    added = [i for i, block in enumerate(blocks) if block.use_res_connect]
    assert added == [2, 4, 5, 7, 8, 9, 11, 12, 14, 15]


@pytest.mark.parametrize(
    ("width_mult", "channels"),
    [
        (0.35, [16, 8, 8, 16, 24, 32, 56, 112, 1280]),
        (1.4, [48, 24, 32, 48, 88, 136, 224, 448, 1792]),
    ],
)
def test_mobilenet_v2_rounds_its_widths_to_multiples_of_eight(
    width_mult: float, channels: list[int]
) -> None:
    net = zoo.mobilenet_v2(width_mult=width_mult).eval()
    state = net.state_dict()
    last = [f"features.{i}.conv.2.weight" for i in (2, 4, 7, 11, 14, 17)]
    names = ["features.0.0.weight", "features.1.conv.1.weight", *last, "features.18.0.weight"]
    assert [state[name].shape[0] for name in names] == channels
    with torch.no_grad():
        assert net(torch.randn(2, 3, 33, 65)).shape == (2, 1000)


@pytest.mark.parametrize("width_mult", [0.0, -1.0, 100.0, float("nan")])
def test_width_is_checked(width_mult: float) -> None:
    with pytest.raises(ModelError, match="width_mult"):
        zoo.mobilenet_v2(width_mult=width_mult)


def torchvision_vgg16_bn() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's VGG-16 with batch normalisation."""
    shapes: dict[str, tuple[int, ...]] = {}
    inputs, index = 3, 0
    for channels, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            shapes[f"features.{index}.weight"] = (channels, inputs, 3, 3)
            shapes[f"features.{index}.bias"] = (channels,)
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"features.{index + 1}.{part}"] = (channels,)
            shapes[f"features.{index + 1}.num_batches_tracked"] = ()
            inputs, index = channels, index + 3
        index += 1
    for index, outputs, features in ((0, 4096, 25_088), (3, 4096, 4096), (6, 1000, 4096)):
        shapes[f"classifier.{index}.weight"] = (outputs, features)
        shapes[f"classifier.{index}.bias"] = (outputs,)
    return shapes


def test_vgg16_bn_has_torchvisions_state_dict() -> None:
    with torch.device("meta"):  # half a gigabyte of weights that nobody looks at
        net = zoo.vgg16_bn()
    found = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    expected = torchvision_vgg16_bn()
    assert found == expected
    assert list(found) == list(expected)
    assert sum(p.numel() for p in net.parameters()) == 138_365_992


class Names:
    """Names and shapes of a state dict, in order."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def layer(self, name: str, *weight: int, bias: bool = True) -> None:
        self.shapes[f"{name}.weight"] = weight
        if bias:
            self.shapes[f"{name}.bias"] = weight[:1]

    def norm(self, name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            self.shapes[f"{name}.{part}"] = (channels,)
        self.shapes[f"{name}.num_batches_tracked"] = ()

    def conv_bn(self, name: str, *weight: int) -> None:
        self.layer(f"{name}.0", *weight, bias=False)
        self.norm(f"{name}.1", weight[0])

    def squeeze(self, name: str, channels: int, squeezed: int) -> None:
        self.layer(f"{name}.fc1", squeezed, channels, 1, 1)
        self.layer(f"{name}.fc2", channels, squeezed, 1, 1)


def torchvision_mobilenet_v3_large() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's MobileNetV3-Large, from table 1 of the paper."""
    # Kernel, expanded channels, channels, squeezed channels or 0.
    rows = (
        (3, 16, 16, 0),
        (3, 64, 24, 0),
        (3, 72, 24, 0),
        (5, 72, 40, 24),
        (5, 120, 40, 32),
        (5, 120, 40, 32),
        (3, 240, 80, 0),
        (3, 200, 80, 0),
        (3, 184, 80, 0),
        (3, 184, 80, 0),
        (3, 480, 112, 120),
        (3, 672, 112, 168),
        (5, 672, 160, 168),
        (5, 960, 160, 240),
        (5, 960, 160, 240),
    )
    names, before = Names(), 16
    names.conv_bn("features.0", 16, 3, 3, 3)
    for number, (kernel, expanded, channels, squeezed) in enumerate(rows, start=1):
        block, part = f"features.{number}.block", 0
        if expanded != before:
            names.conv_bn(f"{block}.0", expanded, before, 1, 1)
            part = 1
        names.conv_bn(f"{block}.{part}", expanded, 1, kernel, kernel)
        if squeezed:
            names.squeeze(f"{block}.{part + 1}", expanded, squeezed)
            part += 1
        names.conv_bn(f"{block}.{part + 1}", channels, expanded, 1, 1)
        before = channels
    names.conv_bn("features.16", 960, 160, 1, 1)
    names.layer("classifier.0", 1280, 960)
    names.layer("classifier.3", 1000, 1280)
    return names.shapes


def torchvision_efficientnet_b0() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's EfficientNet-B0, from table 1 of the paper."""
    stages = (
        (1, 3, 16, 1),
        (6, 3, 24, 2),
        (6, 5, 40, 2),
        (6, 3, 80, 3),
        (6, 5, 112, 3),
        (6, 5, 192, 4),
        (6, 3, 320, 1),
    )
    names, before = Names(), 32
    names.conv_bn("features.0", 32, 3, 3, 3)
    for stage, (expansion, kernel, channels, depth) in enumerate(stages, start=1):
        for number in range(depth):
            block, part, expanded = f"features.{stage}.{number}.block", 0, expansion * before
            if expansion > 1:
                names.conv_bn(f"{block}.0", expanded, before, 1, 1)
                part = 1
            names.conv_bn(f"{block}.{part}", expanded, 1, kernel, kernel)
            names.squeeze(f"{block}.{part + 1}", expanded, before // 4)
            names.conv_bn(f"{block}.{part + 2}", channels, expanded, 1, 1)
            before = channels
    names.conv_bn("features.8", 1280, 320, 1, 1)
    names.layer("classifier.1", 1000, 1280)
    return names.shapes


def torchvision_densenet121() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's DenseNet-121, from table 1 of the paper."""
    names, channels = Names(), 64
    names.layer("features.conv0", 64, 3, 7, 7, bias=False)
    names.norm("features.norm0", 64)
    for block, depth in enumerate((6, 12, 24, 16), start=1):
        for number in range(1, depth + 1):
            layer = f"features.denseblock{block}.denselayer{number}"
            names.norm(f"{layer}.norm1", channels)
            names.layer(f"{layer}.conv1", 128, channels, 1, 1, bias=False)
            names.norm(f"{layer}.norm2", 128)
            names.layer(f"{layer}.conv2", 32, 128, 3, 3, bias=False)
            channels += 32
        if block < 4:
            names.norm(f"features.transition{block}.norm", channels)
            names.layer(
                f"features.transition{block}.conv", channels // 2, channels, 1, 1, bias=False
            )
            channels //= 2
    names.norm("features.norm5", channels)
    names.layer("classifier", 1000, channels)
    return names.shapes


@pytest.mark.parametrize(
    ("make", "expected", "entries", "parameters"),
    [
        (zoo.mobilenet_v3_large, torchvision_mobilenet_v3_large(), 312, 5_483_032),
        (zoo.efficientnet_b0, torchvision_efficientnet_b0(), 360, 5_288_548),
        (zoo.densenet121, torchvision_densenet121(), 727, 7_978_856),
    ],
)
def test_networks_with_gates_and_dense_connections_have_torchvisions_state_dict(
    make: Callable[[], nn.Module],
    expected: dict[str, tuple[int, ...]],
    entries: int,
    parameters: int,
) -> None:
    net = make()
    found = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert found == expected
    assert list(found) == list(expected)
    assert len(found) == entries
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_batch_norms_are_those_that_torchvision_trains() -> None:
    for make, eps, momentum in (
        (zoo.mobilenet_v3_large, 1e-3, 0.01),
        (zoo.efficientnet_b0, 1e-5, 0.1),
        (zoo.densenet121, 1e-5, 0.1),
    ):
        norms = [m for m in make(2).modules() if isinstance(m, nn.BatchNorm2d)]
        assert {(norm.eps, norm.momentum) for norm in norms} == {(eps, momentum)}


@pytest.mark.parametrize(
    ("make", "strides"),
    [
        (zoo.mobilenet_v3_large, [2, 2, 2, 2, 2]),
        (zoo.efficientnet_b0, [2, 2, 2, 2, 2]),
        (zoo.densenet121, [2]),
    ],
)
def test_networks_run_at_any_size(make: Callable[[int], nn.Module], strides: list[int]) -> None:
    net = make(5).eval()
    steps = [m.stride[0] for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert [step for step in steps if step > 1] == strides
    with torch.no_grad():
        assert net(torch.randn(2, 3, 65, 97)).shape == (2, 5)


def test_activations_of_mobilenet_v3_are_those_of_the_paper() -> None:
    blocks = [m for m in zoo.mobilenet_v3_large(2).modules() if isinstance(m, InvertedResidualV3)]
    smooth = [any(isinstance(m, nn.Hardswish) for m in block.modules()) for block in blocks]
    assert smooth == [False] * 6 + [True] * 9
    assert [i for i, b in enumerate(blocks) if b.use_res_connect] == [
        0,
        2,
        4,
        5,
        7,
        8,
        9,
        11,
        13,
        14,
    ]


def test_stochastic_depth_drops_samples_in_training_only() -> None:
    drop = StochasticDepth(0.25)
    x = torch.ones(4000, 1, 1, 1)
    dropped = drop(x)
    assert set(dropped.flatten().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(float((dropped == 0).float().mean()) - 0.25) < 0.05
    assert drop.eval()(x) is x
    probabilities = [
        m.probability for m in zoo.efficientnet_b0().modules() if isinstance(m, StochasticDepth)
    ]
    assert probabilities == [0.2 * i / 16 for i in range(16)]


@pytest.mark.parametrize(
    "make",
    [
        zoo.resnet18,
        zoo.resnet34,
        zoo.resnet50,
        zoo.mobilenet_v2,
        zoo.mobilenet_v3_large,
        zoo.efficientnet_b0,
        zoo.densenet121,
        zoo.vgg16_bn,
        zoo.digits_resnet,
    ],
)
def test_number_of_classes_is_checked(make: type) -> None:
    with pytest.raises(ModelError, match="num_classes 0"):
        make(num_classes=0)
