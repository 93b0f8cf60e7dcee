# SPDX-License-Identifier: Apache-2.0
"""Random changes of training images, in torch and from one generator.

An augmentation draws everything random for a whole batch at once, and is then applied to any part
of it: processes that share a batch change its images as one process would.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Change = Callable[[Tensor, slice], Tensor]
"""From the images (N, C, H, W) of a part of a batch, and which part, to the changed images."""


class Augmentation(Protocol):
    """What training does to its images."""

    def draw(self, count: int, side: tuple[int, int], generator: Generator) -> Change:
        """Return the change of a batch of `count` images of height and width `side`."""


@dataclass(frozen=True)
class Distortion:
    """Rotates, scales, shears, shifts and bends; pixels from outside are zero.

    The attributes are largest amounts; each image draws its own, uniformly.

    Attributes:
        rotation_deg: rotation to either side.
        scale: relative change of size, 0.1 for 0.9 to 1.1.
        shear: shift of the top row against the bottom row, in half image heights.
        shift_px: shift along each axis.
        bend_px: standard deviation of the smooth displacement.
        bend_points: grid points per axis of the smooth displacement.
    """

    rotation_deg: float = 12.0
    scale: float = 0.12
    shear: float = 0.15
    shift_px: float = 1.0
    bend_px: float = 0.25
    bend_points: int = 4

    def draw(self, count: int, side: tuple[int, int], generator: Generator) -> Change:
        """Return the change of a batch."""
        grid = self._grid(count, side, generator)
        return lambda images, part: F.grid_sample(
            images, grid[part], padding_mode="zeros", align_corners=False
        )

    def _grid(self, count: int, side: tuple[int, int], generator: Generator) -> Tensor:
        """Return where each pixel comes from, (N, H, W, 2)."""
        height, width = side

        def draw(limit: float) -> Tensor:
            return (torch.rand(count, generator=generator) * 2 - 1) * limit

        angle = draw(math.radians(self.rotation_deg))
        grow_x, grow_y, shear = 1 + draw(self.scale), 1 + draw(self.scale), draw(self.shear)
        # affine_grid speaks of half image sizes.
        shift_x, shift_y = draw(self.shift_px * 2 / width), draw(self.shift_px * 2 / height)
        cos, sin = angle.cos(), angle.sin()
        matrix = torch.stack(
            [
                torch.stack([cos * grow_x, -sin * grow_y + shear, shift_x], dim=1),
                torch.stack([sin * grow_x, cos * grow_y, shift_y], dim=1),
            ],
            dim=1,
        )
        grid = F.affine_grid(matrix, [count, 1, height, width], align_corners=False)
        points = (count, 2, self.bend_points, self.bend_points)
        bend = torch.randn(points, generator=generator) * (self.bend_px * 2 / width)
        bend = F.interpolate(bend, (height, width), mode="bicubic", align_corners=True)
        return grid + bend.permute(0, 2, 3, 1)


@dataclass(frozen=True)
class CropAndFlip:
    """Pads with zeros and cuts the image's size out again at random; mirrors every other one.

    Attributes:
        pad_px: zeros on each side.
        flip: mirror left and right.
    """

    pad_px: int = 4
    flip: bool = True

    def draw(self, count: int, side: tuple[int, int], generator: Generator) -> Change:
        """Return the change of a batch."""
        height, width = side
        top, left = torch.randint(2 * self.pad_px + 1, (2, count), generator=generator)
        mirrored = torch.rand(count, generator=generator) < 0.5 * self.flip
        columns = torch.arange(width).expand(count, width)
        columns = torch.where(mirrored[:, None], columns.flip(1), columns) + left[:, None]
        rows = torch.arange(height) + top[:, None]

        def change(images: Tensor, part: slice) -> Tensor:
            padded = F.pad(images, [self.pad_px] * 4)
            index = torch.arange(len(images))[:, None, None]
            cut = padded.permute(0, 2, 3, 1)[index, rows[part, :, None], columns[part, None, :]]
            return cut.permute(0, 3, 1, 2).contiguous()

        return change


def distort(images: Tensor, amount: Distortion, generator: Generator) -> Tensor:
    """Return distorted copies of images (N, C, H, W)."""
    count, _, height, width = images.shape
    return amount.draw(count, (height, width), generator)(images, slice(None))
