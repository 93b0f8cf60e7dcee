# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from aio.models import AllInOne, zoo
from aio.models.permutation import find_spaces, permute_channels
from aio.models.trace import trace


def shaken(net: nn.Module) -> nn.Module:
    """Give batch normalisation numbers of its own in every channel, as training does."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, 0.0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


@pytest.mark.parametrize(
    ("make", "side"),
    [
        (zoo.resnet20, 32),
        (lambda: zoo.mobilenet_v2(num_classes=7, width_mult=0.25), 32),
    ],
)
def test_answers_stay(
    make: Callable[[], nn.Module], side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aio.models.permutation._MOST_SWAPS", 40)
    model = AllInOne(shaken(make()), (0.0, 0.9)).eval()
    weights = {name: layer.weight.clone() for name, layer in model.masked_layers().items()}
    x = torch.randn(2, 3, side, side)
    with torch.no_grad():
        before = model(x)
        permute_channels(model)
        after = model(x)
    assert torch.allclose(before, after, atol=1e-4 * float(before.abs().max()))
    layers = model.masked_layers().items()
    assert any(not torch.equal(weights[name], layer.weight) for name, layer in layers)


def test_channels_that_need_the_same_inputs_come_together() -> None:
    conv = nn.Conv2d(64, 32, 1)
    with torch.no_grad():
        conv.weight.mul_(0.01)
        conv.weight[::2, :32] += 1.0  # even channels read one half, odd ones the other
        conv.weight[1::2, 32:] += 1.0
    net = nn.Sequential(nn.Conv2d(1, 64, 1), conv, nn.ReLU(), nn.Conv2d(32, 4, 1))
    model = AllInOne(net, (0.0, 0.5)).eval()
    x = torch.randn(2, 1, 5, 5)
    with torch.no_grad():
        before = model(x)
        gained = permute_channels(model)
        assert torch.allclose(before, model(x), atol=1e-4)
        model.set_level(1)
        sparse = model(x)
    assert gained > 0.8  # mixed blocks hold half of the weights at 0.5, separated ones nearly all
    assert torch.allclose(before, sparse, atol=0.2 * float(before.abs().max()))


def test_every_level_keeps_its_batch_normalisation() -> None:
    model = AllInOne(shaken(zoo.resnet20()), (0.0, 0.5))
    norm = next(m for m in model.modules() if type(m).__name__ == "SwitchableBatchNorm")
    with torch.no_grad():
        norm.get_parameter("by_level.1.weight").mul_(3.0)
    permute_channels(model)
    dense, sparse = (norm.get_parameter(f"by_level.{level}.weight") for level in (0, 1))
    assert torch.allclose(3.0 * dense, sparse)


def spaces_of(net: nn.Module) -> list[tuple[int, bool]]:
    return [(len(s.writers), s.fixed) for s in find_spaces(trace(net)) if s.writers]


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(1)


def test_what_is_not_understood_stays() -> None:
    first, last = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 8, 3)
    assert spaces_of(nn.Sequential(first, nn.ReLU(), last)) == [(1, False), (1, True)]
    assert spaces_of(nn.Sequential(first, Unknown(), last)) == [(1, True), (1, True)]
    grouped = nn.Conv2d(32, 32, 3, groups=2)
    assert spaces_of(nn.Sequential(first, grouped, last)) == [(1, True), (1, True), (1, True)]
    pixels = nn.Sequential(first, nn.Flatten(), nn.Linear(32 * 36, 4))
    assert spaces_of(pixels) == [(1, True), (1, True)]
    pooled = nn.Sequential(first, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4))
    assert spaces_of(pooled) == [(1, False), (1, True)]


def test_a_residual_connection_joins_its_writers() -> None:
    # Stem and three second convolutions of the first stage; then with the shortcut's each.
    assert [count for count, fixed in spaces_of(zoo.resnet20()) if not fixed and count > 1] == [
        4,
        4,
        4,
    ]
