# SPDX-License-Identifier: Apache-2.0
"""Small random distortions of images, in torch and from one generator.

Every image of a batch is rotated, scaled, sheared and shifted by amounts of its own and bent by
a smooth random field. Pixels from outside are zero.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


@dataclass(frozen=True)
class Distortion:
    """Largest amounts; each image draws its own, uniformly.

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


def distort(images: Tensor, amount: Distortion, generator: Generator) -> Tensor:
    """Return distorted copies of images (N, C, H, W)."""
    count, _, height, width = images.shape

    def draw(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    angle = draw(math.radians(amount.rotation_deg))
    grow_x, grow_y, shear = 1 + draw(amount.scale), 1 + draw(amount.scale), draw(amount.shear)
    # affine_grid speaks of half image sizes.
    shift_x, shift_y = draw(amount.shift_px * 2 / width), draw(amount.shift_px * 2 / height)
    cos, sin = angle.cos(), angle.sin()
    matrix = torch.stack(
        [
            torch.stack([cos * grow_x, -sin * grow_y + shear, shift_x], dim=1),
            torch.stack([sin * grow_x, cos * grow_y, shift_y], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    points = (count, 2, amount.bend_points, amount.bend_points)
    bend = torch.randn(points, generator=generator) * (amount.bend_px * 2 / width)
    bend = F.interpolate(bend, (height, width), mode="bicubic", align_corners=True)
    grid = grid + bend.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
