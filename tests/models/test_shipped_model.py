# SPDX-License-Identifier: Apache-2.0
"""The model that ships in the package says the truth about itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aio.models.data.digits import load_split
from aio.models.example_request import example_request
from aio.models.interpret import interpret
from aio.models.settings import TrainSettings

ASSETS = Path(__file__).parents[2] / "runtime" / "assets"
Contents = tuple[dict[str, Any], dict[str, Tensor]]


@pytest.fixture
def shipped(read_model: Callable[[Path], Contents]) -> Contents:
    return read_model(ASSETS / "digits.aio")


def test_it_is_small_and_made_by_the_documented_command(shipped: Contents) -> None:
    manifest, _ = shipped
    assert (ASSETS / "digits.aio").stat().st_size < 1_000_000
    assert manifest["provenance"]["command"] == "aio train --dataset digits"
    assert TrainSettings.from_dict(manifest["provenance"]["settings"]) == TrainSettings()
    ratios = [level["ratio"] for level in manifest["levels"]]
    assert len(ratios) >= 8
    assert ratios[0] == 0.0
    assert ratios[-1] == 0.95


def test_recorded_accuracy_is_the_measured_one(shipped: Contents) -> None:
    manifest, tensors = shipped
    split = load_split()
    images = torch.from_numpy(split.held_out_images)
    labels = torch.from_numpy(split.held_out_labels)
    assert manifest["provenance"]["held_out_images"] == len(labels)
    for level, entry in enumerate(manifest["levels"]):
        with torch.no_grad():
            right = (interpret(manifest, tensors, images, level).argmax(dim=1) == labels).double()
        assert entry["metrics"]["accuracy"] == pytest.approx(float(right.mean()), abs=1e-9)


def test_it_is_good_enough_to_ship(shipped: Contents) -> None:
    accuracy = {level["ratio"]: level["metrics"]["accuracy"] for level in shipped[0]["levels"]}
    assert accuracy[0.0] >= 0.985
    assert accuracy[0.9] >= 0.96
    assert accuracy[0.95] >= 0.94


def test_example_request_is_the_one_for_this_model(shipped: Contents) -> None:
    manifest, tensors = shipped
    request = json.loads((ASSETS / "example_digit.json").read_text())
    assert request == example_request(ASSETS / "digits.aio")
    (image,) = request["inputs"]
    assert image["datatype"] == "FP32"
    assert all(isinstance(pixel, int) and 0 <= pixel <= 16 for pixel in image["data"])
    x = torch.tensor(image["data"], dtype=torch.float32).reshape(image["shape"])
    assert any(torch.equal(x[0], torch.from_numpy(i)) for i in load_split().held_out_images)
    answers = set()
    for level in range(len(manifest["levels"])):
        probabilities = interpret(manifest, tensors, x, level).softmax(dim=1)
        assert float(probabilities.max()) > 0.9
        answers.add(int(probabilities.argmax()))
    assert len(answers) == 1
