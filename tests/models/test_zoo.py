# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from aio.models import ModelError, zoo


def torchvision_resnet18(num_classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's resnet18, from its published structure."""
    shapes: dict[str, tuple[int, ...]] = {}

    def bn(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    shapes["conv1.weight"] = (64, 3, 7, 7)
    bn("bn1", 64)
    before = 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (channels, before, 3, 3)
            bn(f"{name}.bn1", channels)
            shapes[f"{name}.conv2.weight"] = (channels, channels, 3, 3)
            bn(f"{name}.bn2", channels)
            if before != channels:
                shapes[f"{name}.downsample.0.weight"] = (channels, before, 1, 1)
                bn(f"{name}.downsample.1", channels)
            before = channels
    shapes["fc.weight"] = (num_classes, 512)
    shapes["fc.bias"] = (num_classes,)
    return shapes


def test_resnet18_has_torchvisions_state_dict() -> None:
    state = zoo.resnet18().state_dict()
    expected = torchvision_resnet18(1000)
    assert len(expected) == 122
    assert {name: tuple(value.shape) for name, value in state.items()} == expected
    assert list(state) == list(expected)
    assert expected["layer2.0.downsample.0.weight"] == (128, 64, 1, 1)


def test_resnet18_runs_at_any_size() -> None:
    net = zoo.resnet18(num_classes=5).eval()
    with torch.no_grad():
        assert net(torch.randn(2, 3, 33, 65)).shape == (2, 5)


def test_digits_resnet_is_as_described() -> None:
    net = zoo.digits_resnet()
    convolutions = [p.numel() for p in net.parameters() if p.ndim == 4]
    assert sum(convolutions) + net.fc.weight.numel() == 210_576
    assert net(torch.rand(2, 1, 8, 8) * 16).shape == (2, 10)


@pytest.mark.parametrize("make", [zoo.resnet18, zoo.digits_resnet])
def test_number_of_classes_is_checked(make: type) -> None:
    with pytest.raises(ModelError, match="num_classes 0"):
        make(num_classes=0)
