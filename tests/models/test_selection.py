# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from aio.models import AllInOne, ModelError, zoo
from aio.models.selection import find_layers
from aio.models.switchable import SwitchableBatchNorm
from aio.models.trace import trace


def sixteen(layer: str) -> int:
    del layer
    return 16


class Ends(nn.Module):
    """A dense first and last layer around the ones under test."""

    def __init__(self, *middle: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 32, 3, padding=1)
        self.middle = nn.Sequential(*middle)
        self.last = nn.Conv2d(32, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.middle(self.first(x)))
        return out


def reasons(net: nn.Module) -> dict[str, str | None]:
    return {layer.name: layer.dense_reason for layer in find_layers(trace(net), sixteen)}


def test_layers_come_in_execution_order_with_their_batch_norms() -> None:
    layers = find_layers(trace(zoo.digits_resnet()), sixteen)
    assert [layer.name for layer in layers][:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert {layer.name: layer.batch_norms for layer in layers}["layer2.0.downsample.0"] == [
        "layer2.0.downsample.1"
    ]
    assert layers[-1].batch_norms == []


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv2d(32, 32, 3, padding=1, groups=32), "depthwise"),
        (
            nn.Conv2d(32, 32, 3, padding=1, groups=4),
            "groups of 8 output channels, not whole blocks of 16",
        ),
        (
            nn.Conv2d(32, 64, 3, padding=1, groups=32),
            "groups of 2 output channels, not whole blocks of 16",
        ),
        (nn.Conv2d(32, 32, 3, padding=1, groups=2), None),
        (nn.Conv2d(32, 32, 3, padding=1, padding_mode="reflect"), "padding mode reflect"),
        (nn.Conv2d(32, 32, 1), None),
        (nn.Conv2d(32, 31, 1), "992 weights, fewer than 1024"),
    ],
)
def test_what_is_not_pruned_says_why(layer: nn.Conv2d, reason: str | None) -> None:
    assert reasons(Ends(layer))["middle.0"] == reason


def test_subclasses_and_parametrised_layers_are_left_alone() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:
            out: Tensor = self._conv_forward(input, self.weight - self.weight.mean(), self.bias)
            return out

    found = reasons(Ends(Standardised(32, 32, 3), weight_norm(nn.Conv2d(32, 32, 3))))
    assert set(found) == {"first", "last"}


def test_batch_norm_behind_a_no_op_belongs_to_its_convolution() -> None:
    net = Ends(nn.Conv2d(32, 32, 3), nn.Dropout(), nn.Identity(), nn.BatchNorm2d(32))
    layers = {layer.name: layer for layer in find_layers(trace(net), sixteen)}
    assert layers["middle.0"].batch_norms == ["middle.3"]


def test_batch_norm_behind_a_depthwise_layer_changes_level() -> None:
    depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False)
    model = AllInOne(Ends(nn.Conv2d(32, 32, 1), depthwise, nn.BatchNorm2d(32)), (0.0, 0.5))
    assert model.dense_layers["middle.1"] == "depthwise"
    assert model.layer_names == ("middle.0", "middle.1")
    norm = model.net.get_submodule("middle.2")
    assert isinstance(norm, SwitchableBatchNorm)
    model.set_level(1)
    assert norm.level == 1


def test_mobilenet_prunes_its_pointwise_layers() -> None:
    found = reasons(zoo.mobilenet_v2())
    kept = [name for name, reason in found.items() if reason is None]
    # Of 34 pointwise layers all but the small first projection; and the classifier.
    assert len(kept) == 34
    assert "features.1.conv.1" not in kept
    assert "classifier.1" in kept  # more than a third of all weights
    assert {reason for reason in found.values() if reason} == {
        "first layer",
        "depthwise",
        "512 weights, fewer than 1024",
    }


def test_gates_are_pruned_by_the_rules_of_size() -> None:
    found = reasons(zoo.mobilenet_v3_large())
    gates = {name: reason for name, reason in found.items() if ".fc" in name}
    assert len(gates) == 16
    assert set(gates.values()) == {None}
    gates = {name: r for name, r in reasons(zoo.efficientnet_b0()).items() if ".fc" in name}
    assert gates["features.2.0.block.2.fc2"] == "384 weights, fewer than 1024"
    assert next(name for name, why in gates.items() if why is None) == "features.2.0.block.2.fc1"


def test_densenets_norms_change_level_on_their_own_where_they_follow_no_layer() -> None:
    layers = {layer.name: layer for layer in find_layers(trace(zoo.densenet121()), sixteen)}
    block = "features.denseblock1.denselayer1"
    assert layers[f"{block}.norm1"].dense_reason == "no weights"
    assert layers[f"{block}.conv1"].batch_norms == [f"{block}.norm2"]
    assert layers["features.norm5"].batch_norms == ["features.norm5"]


def test_a_last_layer_that_is_small_stays_dense() -> None:
    assert reasons(zoo.resnet18())["fc"] == "last layer"
    assert reasons(zoo.mobilenet_v2(num_classes=10))["classifier.1"] == "last layer"


def test_batch_norm_without_a_layer_changes_level_on_its_own() -> None:
    model = AllInOne(Ends(nn.Conv2d(32, 32, 3), nn.ReLU(), nn.BatchNorm2d(32)), (0.0, 0.5))
    assert model.layer_names == ("middle.0", "middle.2")


def test_layer_called_twice_is_refused() -> None:
    class Twice(Ends):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.last(self.middle(self.middle(self.first(x))))
            return out

    with pytest.raises(ModelError, match=r"middle\.0 is called twice"):
        find_layers(trace(Twice(nn.Conv2d(32, 32, 3))), sixteen)


def test_hooks_are_refused() -> None:
    layer = nn.Conv2d(32, 32, 3)
    layer.register_forward_pre_hook(lambda module, inputs: None)
    with pytest.raises(ModelError, match=r"middle\.0 has forward hooks"):
        find_layers(trace(Ends(layer)), sixteen)


def test_lazy_layer_is_refused() -> None:
    net = Ends(nn.LazyConv2d(32, 3))
    with pytest.raises(ModelError, match=r"middle\.0 is lazy"):
        find_layers(trace(net), sixteen)
    net(torch.zeros(1, 1, 8, 8))
    assert reasons(net)["middle.0"] is None
