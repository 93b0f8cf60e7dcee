# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import pytest
import torch

from aio.models import ModelError, zoo
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


@pytest.mark.parametrize("make", [zoo.resnet18, zoo.resnet34, zoo.resnet50, zoo.digits_resnet])
def test_number_of_classes_is_checked(make: type) -> None:
    with pytest.raises(ModelError, match="num_classes 0"):
        make(num_classes=0)
