# SPDX-License-Identifier: Apache-2.0
"""`aio export`, from weights to what the executor says of the file."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from aio.models import CheckpointError, ModelError, zoo
from aio.models.commands import export
from aio.models.reading import read_model

GENERATOR = np.random.default_rng(0)


def small_net(num_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, num_classes),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _small_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zoo.NETWORKS, "small", small_net)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    net = small_net(2)
    path = tmp_path / "net.pt"
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for part in ("train", "val"):
        for name, colour in (("dark", 60), ("light", 190)):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for index in range(6):
                noise = GENERATOR.integers(-50, 50, (20, 20, 3)) + colour
                picture = Image.fromarray(noise.astype(np.uint8))
                picture.save(tmp_path / "data" / part / name / f"{index}.png")
    return tmp_path / "data"


def call(*words: object) -> int:
    parser = argparse.ArgumentParser()
    export.add_arguments(parser)
    return export.run(parser.parse_args([str(word) for word in words]))


def result(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert call(*words, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_weights_become_levels_that_the_executor_judges(
    weights: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = weights.with_name("out.aio")
    words = ["--from", weights, "--network", "small", "--calibrate", images, "--side", 16]
    found = result(capsys, *words, "--ratios", "0,0.5,0.9", "--output", output, "--permute")
    assert found["ratios"] == [0.0, 0.5, 0.9]
    assert found["test_images"] == 12
    assert all(0.0 <= value <= 1.0 for value in found["accuracy"])
    content = read_model(output)
    assert content.metrics["accuracy"] == found["accuracy"]
    assert list(content.outputs[0].labels) == ["dark", "light"]
    assert sorted(p.name for p in output.parent.iterdir()) == ["data", "net.pt", "out.aio"]

    more = weights.with_name("more.aio")
    words = ["--from", output, "--add-ratio", "0.7", "--calibrate", images, "--side", 16]
    found = result(capsys, *words, "--output", more)
    assert found["ratios"] == [0.0, 0.5, 0.7, 0.9]
    assert read_model(more).ratios == (0.0, 0.5, 0.7, 0.9)


def test_without_labels_accuracy_is_not_claimed(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = tmp_path / "images.npz"
    np.savez(pixels, images=GENERATOR.normal(size=(20, 3, 16, 16)).astype(np.float32))
    words = ["--from", weights, "--network", "small", "--calibrate", pixels]
    assert call(*words) == 0
    assert "accuracy is not known" in capsys.readouterr().out
    assert read_model(weights.with_suffix(".aio")).metrics == {}


MINE = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(),
                         nn.Conv2d(32, 32, 3), nn.BatchNorm2d(32), nn.ReLU(),
                         nn.Conv2d(32, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def picky(size): ...
def number(): return 3
"""


def test_a_network_of_the_users_own_is_named_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_nets_of_a_test.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    net = zoo.network("my_nets_of_a_test:make", 0)
    torch.save(net.state_dict(), "mine.pt")  # without a linear layer, unlike those of the zoo
    np.savez(
        "images.npz",
        images=GENERATOR.normal(size=(20, 3, 16, 16)).astype(np.float32),
        labels=np.arange(20) % 4,
    )
    rest = ["--from", "mine.pt", "--calibrate", "images.npz", "--network"]
    found = result(capsys, *rest, "my_nets_of_a_test:make", "--test", "images.npz")
    assert len(found["accuracy"]) == 7
    expect_error("'nowhere' can't be imported", *rest, "nowhere:make")
    expect_error("has no function 'other'", *rest, "my_nets_of_a_test:other")
    expect_error("has to work without arguments", *rest, "my_nets_of_a_test:picky")
    expect_error("returns int, not a torch.nn.Module", *rest, "my_nets_of_a_test:number")


def test_a_network_without_normalisation_is_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def plain(num_classes: int) -> nn.Module:
        kept = [m for m in small_net(num_classes).children() if not isinstance(m, nn.BatchNorm2d)]
        return nn.Sequential(*kept)

    monkeypatch.setitem(zoo.NETWORKS, "plain", plain)
    torch.save(plain(3).state_dict(), tmp_path / "plain.pt")
    pixels = tmp_path / "images.npz"
    np.savez(pixels, images=GENERATOR.normal(size=(20, 3, 16, 16)).astype(np.float32))
    assert call("--from", tmp_path / "plain.pt", "--network", "plain", "--calibrate", pixels) == 0
    assert "note: the network has no batch normalisation" in capsys.readouterr().out


def expect_error(message: str, *words: object, kind: type[Exception] = ModelError) -> None:
    with pytest.raises(kind, match=message):
        call(*words)


def test_checkpoints_of_something_else_are_named(
    weights: Path, images: Path, tmp_path: Path
) -> None:
    rest = ["--network", "resnet20", "--calibrate", images, "--side", 16]
    expect_error(
        r"net.pt is not of resnet20: \d+ of \d+ names missing, \d+ not known \('conv1.weight' is",
        "--from", weights, *rest, kind=CheckpointError,
    )  # fmt: skip
    torch.save(small_net(2), tmp_path / "whole.pt")
    expect_error("a whole pickled network is refused", "--from", tmp_path / "whole.pt", *rest)
    (tmp_path / "noise.pt").write_bytes(b"noise")
    expect_error("can't be read as a state dict", "--from", tmp_path / "noise.pt", *rest)
    torch.save([1, 2], tmp_path / "list.pt")
    expect_error("holds no state dict", "--from", tmp_path / "list.pt", *rest)
    torch.save({"a": torch.ones(2)}, tmp_path / "flat.pt")
    expect_error("has no linear layer", "--from", tmp_path / "flat.pt", *rest)


def test_a_shape_that_differs_is_named(images: Path, tmp_path: Path) -> None:
    state: dict[str, Tensor] = small_net(2).state_dict()
    state["3.weight"] = torch.zeros(32, 32, 1, 1)
    torch.save(state, tmp_path / "net.pt")
    expect_error(
        r"net.pt is not of small: 3.weight has shape \(32, 32, 1, 1\), not \(32, 32, 3, 3\)",
        "--from", tmp_path / "net.pt", "--network", "small", "--calibrate", images,
    )  # fmt: skip


def test_options_that_lack_something_say_so(weights: Path, images: Path, tmp_path: Path) -> None:
    expect_error("--network is missing", "--from", weights, "--calibrate", images, "--side", 16)
    (tmp_path / "empty").mkdir()
    words = ["--from", weights, "--network", "small", "--calibrate"]
    expect_error("holds 0 folders, expected one per class", *words, tmp_path / "empty")
    expect_error("--images 1 is too few", *words, images, "--images", 1)
    expect_error(
        "the model file would replace", "--from", tmp_path / "a.aio", "--calibrate", images
    )
