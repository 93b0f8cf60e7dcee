# SPDX-License-Identifier: Apache-2.0
"""Scikit-learn's handwritten digits: 1,797 images of 8x8 pixels with values 0 to 16.

The images are real: the test part of "Optical Recognition of Handwritten Digits" (UCI), and
they come with the scikit-learn package, so no network is needed. One split is fixed for every
run, stratified by class. Writers are not named in the data, so the same hand may appear on both
sides, and accuracies here say nothing about digits of other origin. Only NumPy and scikit-learn
are needed, not torch.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LABELS = tuple("0123456789")
SPLIT_SEED = 0
HELD_OUT_FRACTION = 0.2
PIXEL_MAX = 16.0


class Split(NamedTuple):
    """Images (N, 1, 8, 8) as float32 and labels (N,) as int64, for training and held out."""

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    held_out_images: NDArray[np.float32]
    held_out_labels: NDArray[np.int64]


def load_split(*, validation: bool = False) -> Split:
    """Return the fixed split.

    Args:
        validation: leave the held-out set alone and hold out a fifth of the training part
            instead; for choosing settings without a look at the test images.
    """
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # noqa: PLC0415

    images, labels = load_digits(return_X_y=True)
    pixels = np.ascontiguousarray(images.reshape(-1, 1, 8, 8), dtype=np.float32)
    split = _split(pixels, labels.astype(np.int64))
    if validation:
        split = _split(split.train_images, split.train_labels)
    return split


def _split(images: NDArray[np.float32], labels: NDArray[np.int64]) -> Split:
    """Hold out HELD_OUT_FRACTION of every class; both parts keep the order of the data."""
    generator = np.random.default_rng(SPLIT_SEED)
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = round(len(members) * HELD_OUT_FRACTION)
        held_out[generator.permutation(members)[:count]] = True
    return Split(images[~held_out], labels[~held_out], images[held_out], labels[held_out])
