# SPDX-License-Identifier: Apache-2.0
"""Where training takes its batches from.

`Source` is what the trainer needs of any data set. Its images are behind `Images`: in memory, or
decoded when they are asked for.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from aio.models.data.augment import Augmentation, Change

EVALUATION_BATCH = 512
CALIBRATION_IMAGES = 2048
"""Of the training part, for the statistics of batch normalisation; more do not change them."""


class Images(Protocol):
    """Images of one size, by index."""

    def __len__(self) -> int:
        """Return how many there are."""

    def at(self, indices: Tensor) -> Tensor:
        """Return some of them as float32 (N, C, H, W)."""


class ArrayImages:
    """Images in memory: float32 as they are, or bytes that become 0 to 1."""

    def __init__(self, pixels: Tensor) -> None:
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self._pixels)

    def at(self, indices: Tensor) -> Tensor:
        """Return some of them as float32."""
        chosen = self._pixels[indices]
        return chosen.float() / 255.0 if chosen.dtype == torch.uint8 else chosen


class Batch:
    """The images of a training step, which processes may share; only what is asked for is made."""

    def __init__(self, images: Images, labels: Tensor, indices: Tensor, change: Change) -> None:
        self._images, self._labels = images, labels
        self._indices, self._change = indices, change

    def part(self, index: int, parts: int) -> tuple[Tensor, Tensor]:
        """Return one of `parts` equal parts: changed images and their labels."""
        size = len(self._indices) // parts
        where = slice(index * size, (index + 1) * size)
        chosen = self._indices[where]
        return self._change(self._images.at(chosen), where), self._labels[chosen]


class Source:
    """Images with labels, in a training part and a held-out part.

    Attributes:
        labels: names of the classes.
        shape: channels, height and width of an image.
    """

    def __init__(
        self,
        train: tuple[Images, Tensor],
        held_out: tuple[Images, Tensor],
        labels: tuple[str, ...],
        augmentation: Augmentation,
    ) -> None:
        self.labels = labels
        self._train, self._held_out = train, held_out
        self._augmentation = augmentation
        first = train[0].at(torch.tensor([0]))
        self.shape = (first.shape[1], first.shape[2], first.shape[3])

    def steps(self, batch_size: int) -> int:
        """Return the batches of one epoch; images short of a whole batch sit the epoch out."""
        return max(1, len(self._train[0]) // batch_size)

    def train_batches(self, batch_size: int, generator: Generator) -> Iterator[Batch]:
        """Yield one epoch of batches; all randomness is the generator's."""
        images, labels = self._train
        order = torch.randperm(len(images), generator=generator)
        for step in range(self.steps(batch_size)):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            change = self._augmentation.draw(len(chosen), self.shape[1:], generator)
            yield Batch(images, labels, chosen, change)

    def calibration_batches(self) -> Iterator[Tensor]:
        """Yield training images as they are, always the same ones, in batches of equal size."""
        images, _ = self._train
        count = len(images)
        if count > CALIBRATION_IMAGES:  # spread over the data, which may be sorted by class
            chosen = torch.arange(CALIBRATION_IMAGES) * count // CALIBRATION_IMAGES
        else:
            chosen = torch.arange(count)
        for indices in chosen.chunk(-(-len(chosen) // EVALUATION_BATCH)):
            yield images.at(indices)

    def held_out_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the held-out images as they are, and their labels."""
        images, labels = self._held_out
        for indices in torch.split(torch.arange(len(images)), EVALUATION_BATCH):
            yield images.at(indices), labels[indices]


def array_source(
    train: tuple[NDArray[Any], NDArray[Any]],
    held_out: tuple[NDArray[Any], NDArray[Any]],
    labels: tuple[str, ...],
    augmentation: Augmentation,
) -> Source:
    """Return a source of arrays: images (N, C, H, W) as float32 or bytes, classes (N,)."""
    parts = [
        (ArrayImages(torch.from_numpy(images)), torch.from_numpy(classes))
        for images, classes in (train, held_out)
    ]
    return Source(parts[0], parts[1], labels, augmentation)
