# SPDX-License-Identifier: Apache-2.0
"""How accurate every level of a model file is, through the executor that will run it.

Images and labels come from an .npz file, so nothing here knows data sets. Plans that change from a
level to the next sparser one at a random layer can be judged too: the runtime makes such plans.
"""

import random
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aio.runtime.errors import InputError
from aio.runtime.lowering import build_executor
from aio.runtime.model_file import ModelFile

BATCH = 64


@dataclass(frozen=True, slots=True)
class MixedAccuracy:
    """A plan of `level` before layer `cut`, and the next sparser level from there on."""

    level: int
    cut: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The fraction of images that each level classifies correctly.

    `recorded` is what the file says of each level, None where it says nothing.
    """

    model: str
    isa: str
    images: int
    ratios: tuple[float, ...]
    accuracy: tuple[float, ...]
    recorded: tuple[float | None, ...]
    mixed: tuple[MixedAccuracy, ...]


def read_labelled(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return `images` (N, ...) and `labels` (N,) of an .npz file.

    Raises:
        InputError: it has none, or they do not fit each other.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            images, labels = file["images"], file["labels"]
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} is not an .npz file of arrays 'images' and 'labels': {error}"
        ) from error
    if not len(images) or labels.shape != (len(images),):
        raise InputError(
            f"{path} has images of shape {images.shape} and labels of shape {labels.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{path} has labels of type {labels.dtype}, expected whole numbers")
    return np.ascontiguousarray(images, dtype=np.float32), labels.astype(np.int64)


def measure_accuracy(
    model: ModelFile,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    mixed: int = 0,
    seed: int = 0,
    threads: int = 1,
) -> Accuracy:
    """Judge every level, and `mixed` random plans of two adjacent levels.

    Raises:
        InputError: the images do not fit the model.
    """
    shape = tuple(model.manifest.inputs[0].shape)
    if len(model.manifest.inputs) != 1 or images.shape[1:] != shape:
        raise InputError(
            f"images of shape {images.shape[1:]} for a model of {len(model.manifest.inputs)} "
            f"inputs, the first of shape {shape}"
        )
    executor = build_executor(model, threads=threads, isa=None)
    layers = len(executor.layers())
    levels = len(model.manifest.levels)

    def judge(plan: Sequence[int]) -> float:
        executor.set_layer_levels(plan)
        right = 0
        for start in range(0, len(images), BATCH):
            scores = executor.run(images[start : start + BATCH])[0]
            right += int((scores.argmax(axis=1) == labels[start : start + BATCH]).sum())
        return right / len(images)

    generator = random.Random(seed)
    plans = [
        (generator.randrange(levels - 1), generator.randrange(1, layers))
        for _ in range(mixed if levels > 1 and layers > 1 else 0)
    ]
    return Accuracy(
        model=model.manifest.name,
        isa=executor.isa,
        images=len(images),
        ratios=tuple(level.ratio for level in model.manifest.levels),
        accuracy=tuple(judge([level] * layers) for level in range(levels)),
        recorded=tuple(level.metrics.get("accuracy") for level in model.manifest.levels),
        mixed=tuple(
            MixedAccuracy(level, cut, judge([level] * cut + [level + 1] * (layers - cut)))
            for level, cut in plans
        ),
    )
