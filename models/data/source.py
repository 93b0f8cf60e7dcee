# SPDX-License-Identifier: Apache-2.0
"""Where training takes its batches from.

`Source` is what the trainer needs of any data set; `ArraySource` serves one that fits in memory.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from aio.models.data.augment import Distortion, distort

EVALUATION_BATCH = 512


class Source(Protocol):
    """Images with labels, in a training part and a held-out part."""

    labels: tuple[str, ...]

    def steps(self, batch_size: int) -> int:
        """Return the batches of one epoch."""

    def train_batches(
        self, batch_size: int, generator: Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield one epoch of distorted images and labels; all randomness is the generator's."""

    def calibration_batches(self) -> Iterator[Tensor]:
        """Yield training images as they are, always in the same order."""

    def held_out_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the held-out images as they are, and their labels."""


class ArraySource:
    """A data set held in memory."""

    def __init__(
        self,
        train: tuple[NDArray[np.float32], NDArray[np.int64]],
        held_out: tuple[NDArray[np.float32], NDArray[np.int64]],
        labels: tuple[str, ...],
        distortion: Distortion,
    ) -> None:
        self.labels = labels
        self._train = tuple(torch.from_numpy(part) for part in train)
        self._held_out = tuple(torch.from_numpy(part) for part in held_out)
        self._distortion = distortion

    def steps(self, batch_size: int) -> int:
        """Return the batches of one epoch; images short of a whole batch sit the epoch out."""
        return max(1, len(self._train[0]) // batch_size)

    def train_batches(
        self, batch_size: int, generator: Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield one epoch of distorted images and labels."""
        images, labels = self._train
        order = torch.randperm(len(images), generator=generator)
        for step in range(self.steps(batch_size)):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            yield distort(images[chosen], self._distortion, generator), labels[chosen]

    def calibration_batches(self) -> Iterator[Tensor]:
        """Yield training images as they are, in batches as equal as can be."""
        images, _ = self._train
        yield from images.chunk(-(-len(images) // EVALUATION_BATCH))

    def held_out_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the held-out images as they are, and their labels."""
        images, labels = self._held_out
        yield from zip(
            torch.split(images, EVALUATION_BATCH),
            torch.split(labels, EVALUATION_BATCH),
            strict=True,
        )
