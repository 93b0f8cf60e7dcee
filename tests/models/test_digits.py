# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import numpy as np

from aio.models.data.digits import LABELS, load_split


def test_split_is_fixed_stratified_and_complete() -> None:
    split = load_split()
    assert split.train_images.shape == (1438, 1, 8, 8)
    assert split.held_out_images.shape == (359, 1, 8, 8)
    assert split.train_images.dtype == np.float32
    assert split.train_images.min() == 0
    assert split.train_images.max() == 16
    share = np.bincount(split.held_out_labels) / (
        np.bincount(split.held_out_labels) + np.bincount(split.train_labels)
    )
    assert len(share) == len(LABELS) == 10
    assert np.abs(share - 0.2).max() < 0.005
    again = load_split()
    assert np.array_equal(split.held_out_images, again.held_out_images)


def test_no_image_is_on_both_sides() -> None:
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # noqa: PLC0415

    split = load_split()
    both = np.concatenate([split.train_images, split.held_out_images]).reshape(-1, 64)
    original, _ = load_digits(return_X_y=True)
    assert np.array_equal(np.sort(both, axis=0), np.sort(original, axis=0))
    train = {image.tobytes() for image in split.train_images}
    assert not any(image.tobytes() in train for image in split.held_out_images)


def test_validation_leaves_the_held_out_images_alone() -> None:
    split, validation = load_split(), load_split(validation=True)
    train = {image.tobytes() for image in split.train_images}
    used = [*validation.train_images, *validation.held_out_images]
    assert len(used) == len(split.train_images)
    assert all(image.tobytes() in train for image in used)


def test_digits_load_without_torch() -> None:
    code = (
        "import sys\n"
        "from aio.models.data.digits import load_split\n"
        "print(len(load_split().held_out_labels), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "359 False", done.stderr
