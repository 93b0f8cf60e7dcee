# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import pytest
import torch
from torch import nn

from aio.models import ModelError, zoo
from aio.models.mobilenet import InvertedResidual
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


@pytest.mark.parametrize(
    "make",
    [zoo.resnet18, zoo.resnet34, zoo.resnet50, zoo.mobilenet_v2, zoo.vgg16_bn, zoo.digits_resnet],
)
def test_number_of_classes_is_checked(make: type) -> None:
    with pytest.raises(ModelError, match="num_classes 0"):
        make(num_classes=0)
