# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
from torch import Tensor, nn

from aio.models import AllInOne, ModelError, zoo
from aio.models.masked import MaskedConv2d, MaskedLayer
from aio.models.switchable import SwitchableBatchNorm

RATIOS = (0.0, 0.5, 0.9)


def small_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 16, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 6 * 6, 24),
        nn.ReLU(),
        nn.Linear(24, 5),
    )


def test_wraps_a_copy() -> None:
    net = small_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    model = AllInOne(net, RATIOS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert isinstance(net[3], nn.Conv2d)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_densest_level_answers_as_the_network() -> None:
    net = zoo.resnet18(num_classes=7).eval()
    model = AllInOne(net, RATIOS).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), net(x))


def test_several_inputs_pass() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_net()
            self.linear = nn.Linear(3, 5)

        def forward(self, image: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
            x, y = self.net(image), self.linear(vector)
            return x + y, y

    model = AllInOne(Two().eval(), RATIOS).eval()
    image, vector = torch.randn(2, 1, 8, 8), torch.randn(2, 3)
    with torch.no_grad():
        for found, expected in zip(model(image, vector), model.net(image, vector), strict=True):
            assert torch.equal(found, expected)
    assert set(model.masked_layers()) == {"net.3", "net.6", "net.9"}


def test_levels_are_nested_and_hit_their_ratio() -> None:
    model = AllInOne(small_net(), RATIOS)
    kept = model.kept_weights()
    prunable = model.prunable_weights()
    assert kept[0] == prunable == 16 * 32 * 9 + 32 * 16 * 9 + 576 * 24
    for ratio, count in zip(RATIOS, kept, strict=True):
        assert count / prunable == pytest.approx(1 - ratio, abs=0.005)
    for layer in model.masked_layers().values():
        masks = [layer.score > limit for limit in layer.threshold]
        assert bool((masks[1] & ~masks[0]).sum() == 0)
        assert bool((masks[2] & ~masks[1]).sum() == 0)


def test_every_level_differs_and_comes_back() -> None:
    model = AllInOne(small_net(), RATIOS).eval()
    x = torch.randn(2, 1, 8, 8)
    answers: list[Tensor] = []
    with torch.no_grad():
        for level in (0, 1, 2, 0):
            model.set_level(level)
            answers.append(model(x))
    assert not torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[1], answers[2])
    assert torch.equal(answers[0], answers[3])


def test_first_and_last_layers_stay_dense_and_say_so() -> None:
    model = AllInOne(small_net(), RATIOS)
    assert model.dense_layers == {"0": "first layer", "11": "last layer"}
    assert list(model.masked_layers()) == ["3", "6", "9"]
    assert model.layer_names == ("0", "3", "6", "9")  # "0" by its batch normalisation


def test_layer_levels_by_name_and_in_order() -> None:
    model = AllInOne(small_net(), RATIOS)
    model.set_layer_levels({"3": 2, "9": 1})
    assert model.layer_levels == (0, 2, 0, 1)
    bn = model.net.get_submodule("4")
    assert isinstance(bn, SwitchableBatchNorm)
    assert bn.level == 2
    model.set_layer_levels([1, 1, 2, 0])
    assert [layer.level for layer in model.masked_layers().values()] == [1, 2, 0]


def test_mixed_levels_are_the_levels_of_their_layers() -> None:
    model = AllInOne(small_net(), RATIOS).eval()
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        model.set_level(1)
        head = model.net[:6](x)  # type: ignore[index]
        model.set_level(2)
        expected = model.net[6:](head)  # type: ignore[index]
        model.set_layer_levels([1, 1, 2, 2])
        assert torch.equal(model(x), expected)


@pytest.mark.parametrize("level", [-1, 3])
def test_level_out_of_range_is_named(level: int) -> None:
    model = AllInOne(small_net(), RATIOS)
    with pytest.raises(ModelError, match=f"level {level} is out of range, levels are 0 to 2"):
        model.set_level(level)
    with pytest.raises(ModelError, match="out of range"):
        model.set_layer_levels({"3": level})
    assert model.layer_levels == (0, 0, 0, 0)


def test_wrong_layer_levels_are_named() -> None:
    model = AllInOne(small_net(), RATIOS)
    with pytest.raises(ModelError, match="no layer 'fc'"):
        model.set_layer_levels({"fc": 1})
    with pytest.raises(ModelError, match="2 levels for 4 layers"):
        model.set_layer_levels([0, 1])


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        ((), "no ratios"),
        ((0.0, 1.2), "1.2 is not in"),
        ((0.0, 1.0), "1.0 is not in"),
        ((-0.1,), "-0.1 is not in"),
        ((0.0, math.nan), "nan is not in"),
        ((0.5, 0.2), "0.2 follows 0.5"),
        ((0.5, 0.5), "0.5 follows 0.5"),
        (tuple(i / 300 for i in range(257)), "at most 256"),
    ],
)
def test_unusable_ratios_are_named(ratios: tuple[float, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        AllInOne(small_net(), ratios)


def test_unusable_block_height_is_named() -> None:
    with pytest.raises(ModelError, match="block_height 12"):
        AllInOne(small_net(), RATIOS, block_height=12)


def test_network_without_a_prunable_layer_says_why() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(ModelError, match=r"1 \(last layer\).*ratios=\(0.0,\)"):
        AllInOne(net, RATIOS)


def test_one_dense_level_needs_no_masks() -> None:
    model = AllInOne(small_net(), (0.0,))
    assert model.masked_layers() == {}
    assert model.kept_weights() == [0]


def test_a_network_that_is_one_layer() -> None:
    model = AllInOne(nn.Conv2d(3, 4, 1), (0.0,))
    assert model(torch.ones(1, 3, 2, 2)).shape == (1, 4, 2, 2)


def test_layer_under_two_names_is_replaced_under_both() -> None:
    class TwoNames(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 16, 3)
            self.second = nn.Conv2d(16, 64, 3)
            self.alias = self.second
            self.last = nn.Conv2d(64, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.last(self.alias(self.first(x)))
            return out

    model = AllInOne(TwoNames(), RATIOS)
    assert model.net.second is model.net.alias
    assert isinstance(model.net.alias, MaskedConv2d)


def test_state_dict_restores_masks() -> None:
    model = AllInOne(small_net(), RATIOS).eval()
    other = AllInOne(small_net(), RATIOS).eval()
    with torch.no_grad():
        for layer in model.masked_layers().values():
            layer.score.copy_(torch.rand_like(layer.score))
    model.update_thresholds()
    other.load_state_dict(model.state_dict())
    x = torch.randn(1, 1, 8, 8)
    model.set_level(2)
    other.set_level(2)
    assert torch.equal(model(x), other(x))


def test_training_moves_scores_and_keeps_counts() -> None:
    model = AllInOne(small_net(), RATIOS)
    before = model.kept_weights()
    masks = {n: layer.score > layer.threshold[1] for n, layer in model.masked_layers().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(5):
        optimizer.zero_grad()
        for level in range(3):
            model.set_level(level)
            answer = model(torch.randn(8, 1, 8, 8))
            loss = torch.nn.functional.cross_entropy(answer, torch.arange(8) % 5)
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        model.update_thresholds()
    assert model.kept_weights() == before
    layers: dict[str, MaskedLayer] = model.masked_layers()
    assert any(
        not torch.equal(masks[name], layer.score > layer.threshold[1])
        for name, layer in layers.items()
    )
