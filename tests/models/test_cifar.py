# SPDX-License-Identifier: Apache-2.0
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aio.models import ModelError
from aio.models.data import cifar

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (4, cifar.IMAGE_BYTES), dtype=np.uint8)
LABELS = [3, 0, 9, 1]


def write_pickles(folder: Path, protocol: int = 2) -> None:
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        content = {"data": IMAGES, "labels": LABELS, "batch_label": name}
        (folder / name).write_bytes(pickle.dumps(content, protocol))
    meta = {"label_names": [f"class {i}" for i in range(10)], "num_vis": 3072}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol))


def write_binaries(folder: Path) -> None:
    records = np.concatenate([np.array(LABELS, dtype=np.uint8)[:, None], IMAGES], axis=1)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (folder / f"{name}.bin").write_bytes(records.tobytes())


@pytest.mark.parametrize("write", [write_pickles, write_binaries])
def test_both_versions_give_the_same_images(tmp_path: Path, write: Callable[[Path], None]) -> None:
    home = tmp_path / "cifar-10-batches"
    home.mkdir()
    write(home)
    found = cifar.load(tmp_path)
    assert found.train_images.shape == (20, 3, 32, 32)
    assert np.array_equal(found.held_out_images.reshape(4, -1), IMAGES)
    assert found.held_out_labels.tolist() == LABELS
    assert len(found.labels) == 10


def test_hundred_classes_have_fine_labels(tmp_path: Path) -> None:
    for name in ("train", "test"):
        content = {"data": IMAGES, "fine_labels": [99, 0, 5, 5], "coarse_labels": LABELS}
        (tmp_path / name).write_bytes(pickle.dumps(content, 2))
    assert cifar.load(tmp_path, 100).train_labels.tolist() == [99, 0, 5, 5]


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, ("__import__('os').mkdir('hacked')",))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_runs_code_is_refused(
    tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pickles(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({"data": Hostile()}, protocol))
    with pytest.raises(ModelError, match=r"data_batch_1 is damaged .*eval, which CIFAR does not"):
        cifar.load(tmp_path)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("keep", [0, 1, 100, 3000, 10_000])
def test_truncated_files_are_named(tmp_path: Path, keep: int) -> None:
    write_pickles(tmp_path)
    path = tmp_path / "test_batch"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="test_batch"):
        cifar.load(tmp_path)
    write_binaries(tmp_path)
    path = tmp_path / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[: keep + 1])
    with pytest.raises(ModelError, match=r"data_batch_3.bin has .* truncated"):
        cifar.load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {},
        {"data": IMAGES, "labels": LABELS[:-1]},
        {"data": IMAGES.astype(np.float32), "labels": LABELS},
        {"data": IMAGES, "labels": ["a"] * 4},
        {"data": IMAGES, "labels": [10, 0, 0, 0]},
        {"data": IMAGES, "labels": [-1, 0, 0, 0]},
    ],
)
def test_files_of_something_else_are_named(tmp_path: Path, content: object) -> None:
    write_pickles(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(ModelError, match="data_batch_2"):
        cifar.load(tmp_path)


def test_a_folder_without_the_files_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no file data_batch_1 .*unpack the archive of CIFAR-10"):
        cifar.load(tmp_path)
    write_pickles(tmp_path)
    (tmp_path / "test_batch").unlink()
    with pytest.raises(ModelError, match="test_batch is missing"):
        cifar.load(tmp_path)
