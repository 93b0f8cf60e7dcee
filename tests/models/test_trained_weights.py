# SPDX-License-Identifier: Apache-2.0
"""Weights of networks that were trained elsewhere, as training starts from them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from aio.models import CheckpointError, zoo
from aio.models.trained_weights import load_weights, read_state_dict


def saved(path: Path, network: str = "resnet20_strided", classes: int = 10) -> dict[str, Tensor]:
    torch.manual_seed(0)
    state: dict[str, Tensor] = zoo.network(network, classes, 3).state_dict()
    torch.save(state, path)
    return state


def test_weights_of_the_same_network_are_all_taken(tmp_path: Path) -> None:
    state = saved(tmp_path / "net.pt")
    net = zoo.network("resnet20_strided", 10, 3)
    assert load_weights(net, tmp_path / "net.pt") == []
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("network", ["resnet20_strided", "mobilenet_v2"])
def test_a_classifier_of_other_classes_stays_random(tmp_path: Path, network: str) -> None:
    state = saved(tmp_path / "net.pt", network, classes=7)
    torch.manual_seed(1)
    net = zoo.network(network, 10, 3)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    own = load_weights(net, tmp_path / "net.pt")
    assert [name.rpartition(".")[2] for name in own] == ["weight", "bias"]
    for name, value in net.state_dict().items():
        assert torch.equal(value, (before if name in own else state)[name])


def test_another_network_is_refused_by_its_names(tmp_path: Path) -> None:
    saved(tmp_path / "net.pt", "mobilenet_v2")
    with pytest.raises(CheckpointError, match=r"net.pt is not of this network: \d+ of \d+ names"):
        load_weights(zoo.network("resnet20_strided", 10, 3), tmp_path / "net.pt")


def test_another_shape_than_the_classifiers_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).state_dict(), tmp_path / "net.pt")
    net = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 2))
    with pytest.raises(CheckpointError, match=r"0.weight has shape \(4, 3\), not \(4, 5\)"):
        load_weights(net, tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "can't be read as a state dict"),
        (b"not a file of torch", "can't be read as a state dict"),
        ({"weights": 3}, "holds no state dict: names and tensors"),
        ([torch.zeros(3)], "holds no state dict"),
    ],
)
def test_files_that_hold_no_weights_are_named(
    tmp_path: Path, content: object, message: str
) -> None:
    path = tmp_path / "net.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=f"net.pt {message}"):
        read_state_dict(path)


def test_what_training_scripts_add_is_taken_off(tmp_path: Path) -> None:
    weights = {"module.fc.weight": torch.ones(2, 3)}
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "net.pt")
    assert list(read_state_dict(tmp_path / "net.pt")) == ["fc.weight"]
