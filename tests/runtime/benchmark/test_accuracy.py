# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from aio.runtime.benchmark.accuracy import measure_accuracy, read_labelled
from aio.runtime.cli import main
from aio.runtime.errors import InputError
from aio.runtime.model_file import read_model_file
from aio.runtime.shipped import SHIPPED_MODEL


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    images, labels = load_digits(return_X_y=True)
    path = tmp_path / "digits.npz"
    np.savez(path, images=images[:150].reshape(-1, 1, 8, 8), labels=labels[:150])
    return path


def test_levels_and_mixed_plans_are_judged(digits: Path) -> None:
    model = read_model_file(SHIPPED_MODEL)
    found = measure_accuracy(model, *read_labelled(digits), mixed=5, seed=1)
    assert found.images == 150
    assert len(found.accuracy) == len(found.ratios) == 9
    assert min(found.accuracy) > 0.97  # some of them are training images
    assert found.recorded == tuple(level.metrics["accuracy"] for level in model.manifest.levels)
    assert len(found.mixed) == 5
    assert all(0 <= plan.level < 8 and plan.cut > 0 for plan in found.mixed)
    assert min(plan.accuracy for plan in found.mixed) > 0.9
    assert found == measure_accuracy(model, *read_labelled(digits), mixed=5, seed=1)


def test_wrong_labels_are_counted_as_wrong(digits: Path) -> None:
    images, labels = read_labelled(digits)
    model = read_model_file(SHIPPED_MODEL)
    right = measure_accuracy(model, images, labels).accuracy
    wrong = measure_accuracy(model, images, (labels + 1) % 10).accuracy
    assert max(wrong) <= 1 - min(right) + 1e-9


def test_the_command_prints_both_forms(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--accuracy", str(digits), "--mixed", "3"]) == 0
    text = capsys.readouterr().out
    assert "in the file" in text
    assert "3 plans of two adjacent levels" in text
    assert main(["bench", "--accuracy", str(digits), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 150


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"noise")
    with pytest.raises(InputError, match=r"x.npz is not an .npz file of arrays"):
        read_labelled(path)
    np.savez(path, images=np.zeros((2, 3)))
    with pytest.raises(InputError, match="labels"):
        read_labelled(path)
    np.savez(path, images=np.zeros((2, 3)), labels=np.zeros(3, dtype=int))
    with pytest.raises(InputError, match=r"images of shape \(2, 3\) and labels of shape \(3,\)"):
        read_labelled(path)
    np.savez(path, images=np.zeros((2, 3)), labels=np.zeros(2))
    with pytest.raises(InputError, match="labels of type float64"):
        read_labelled(path)
    images, labels = np.zeros((2, 3), dtype=np.float32), np.zeros(2, dtype=np.int64)
    with pytest.raises(InputError, match=r"images of shape \(3,\) for a model of 1 inputs"):
        measure_accuracy(read_model_file(SHIPPED_MODEL), images, labels)
