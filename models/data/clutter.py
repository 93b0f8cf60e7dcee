# SPDX-License-Identifier: Apache-2.0
"""A generated data set: coloured, distorted digits among clutter, 3 x 32 x 32 pixels, 0 to 1.

It exists because scikit-learn's digits are too easy to tell methods apart and nothing else is at
hand without a network. An image has one whole digit near its middle, which is the class; behind it
lies a piece of another digit, on a background that is a colour gradient, under noise.
Digits come from `digits.load_split`, so held-out images are made only of held-out digits. The same
seed gives the same images on one version of torch.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

from aio.models.data import digits
from aio.models.data.augment import Distortion, distort

SIDE = 32
TRAINING_IMAGES, HELD_OUT_IMAGES = 16_000, 4_000
_CHUNK = 2_000  # images made at once
_SHAPE = Distortion(
    rotation_deg=15.0, scale=0.2, shear=0.2, shift_px=4.0, bend_px=0.8, bend_points=4
)


@dataclass(frozen=True)
class Difficulty:
    """How hard the images are.

    Attributes:
        pieces: of other digits in each image.
        piece_side: pixels of the window that a piece is seen through.
        contrast: least difference of a digit from what is behind it, before colours are clamped.
        noise: standard deviation of every pixel.
    """

    pieces: int = 1
    piece_side: int = 11
    contrast: float = 0.5
    noise: float = 0.08


@functools.lru_cache(maxsize=2)
def load(seed: int = 0, *, validation: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return training images, their labels, held-out images, their labels.

    Args:
        seed: of everything random; 0 is the data set that results are quoted for.
        validation: make both parts of the training digits only, as `digits.load_split`.
    """
    split = digits.load_split(validation=validation)
    generator = Generator().manual_seed(2 * seed + validation)
    train = make(split.train_images, split.train_labels, TRAINING_IMAGES, generator)
    held_out = make(split.held_out_images, split.held_out_labels, HELD_OUT_IMAGES, generator)
    return *train, *held_out


def make(
    images: NDArray[Any],
    labels: NDArray[Any],
    count: int,
    generator: Generator,
    difficulty: Difficulty = Difficulty(),
) -> tuple[Tensor, Tensor]:
    """Return `count` images (N, 3, 32, 32) in 0 to 1 and their classes.

    Args:
        images: digits (M, 1, 8, 8) with values 0 to 16, which are used again and again.
        labels: their classes.
        count: how many to make; classes are as frequent as among the digits.
        generator: source of everything random.
        difficulty: of the images.
    """
    sources = torch.from_numpy(images) / digits.PIXEL_MAX
    classes = torch.from_numpy(labels)
    made, chosen = [], []
    for start in range(0, count, _CHUNK):
        picks = torch.randint(len(sources), (min(_CHUNK, count - start),), generator=generator)
        made.append(_compose(sources, picks, generator, difficulty))
        chosen.append(classes[picks])
    return torch.cat(made), torch.cat(chosen)


def _compose(
    sources: Tensor, picks: Tensor, generator: Generator, difficulty: Difficulty
) -> Tensor:
    count = len(picks)
    image = _background(count, generator)
    for _ in range(difficulty.pieces):
        others = torch.randint(len(sources), (count,), generator=generator)
        piece = _strokes(sources[others], generator) * _window(
            count, difficulty.piece_side, generator
        )
        image = _paint(image, piece, difficulty.contrast, generator)
    image = _paint(image, _strokes(sources[picks], generator), difficulty.contrast, generator)
    noise = torch.randn(image.shape, generator=generator) * difficulty.noise
    return (image + noise).clamp(0.0, 1.0)


def _strokes(small: Tensor, generator: Generator) -> Tensor:
    """Return digits of half the image's side in its middle, distorted: how opaque each pixel is."""
    large = F.interpolate(small, (18, 18), mode="bicubic", align_corners=False).clamp(0.0, 1.0)
    return distort(F.pad(large, [(SIDE - 18) // 2] * 4), _SHAPE, generator)


def _window(count: int, side: int, generator: Generator) -> Tensor:
    """Return a square of ones somewhere in each image, (N, 1, 32, 32)."""
    rows = torch.arange(SIDE)
    top, left = torch.randint(SIDE - side + 1, (2, count, 1), generator=generator)
    inside_y = (rows >= top) & (rows < top + side)
    inside_x = (rows >= left) & (rows < left + side)
    inside: Tensor = inside_y[:, :, None] & inside_x[:, None, :]
    return inside[:, None].float()


def _background(count: int, generator: Generator) -> Tensor:
    """Return a smooth gradient between four random colours, (N, 3, 32, 32)."""
    corners = torch.rand((count, 3, 2, 2), generator=generator)
    smooth: Tensor = F.interpolate(corners, (SIDE, SIDE), mode="bilinear", align_corners=True)
    return smooth


def _paint(image: Tensor, opacity: Tensor, contrast: float, generator: Generator) -> Tensor:
    """Lay strokes of one colour each over images; the colour differs from what is behind."""
    colour = torch.rand((len(image), 3), generator=generator)
    weight = opacity / opacity.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)
    behind = (image * weight).sum(dim=(2, 3))
    away = colour - behind
    distance = away.norm(dim=1, keepdim=True).clamp_min(1e-6) / math.sqrt(3)
    colour = behind + away * (contrast / distance).clamp_min(1.0)
    painted: Tensor = image * (1 - opacity) + colour.clamp(0.0, 1.0)[:, :, None, None] * opacity
    return painted
