# SPDX-License-Identifier: Apache-2.0
import torch
from torch import Generator

from aio.models.data.augment import Distortion, distort

NOTHING = Distortion(0.0, 0.0, 0.0, 0.0, 0.0)


def test_no_distortion_changes_nothing() -> None:
    images = torch.rand(3, 1, 8, 8) * 16
    torch.testing.assert_close(distort(images, NOTHING, Generator()), images, atol=1e-4, rtol=0)


def test_same_seed_same_images_and_every_image_its_own() -> None:
    images = torch.zeros(4, 1, 8, 8)
    images[:, :, 2:6, 2:6] = 16.0
    first = distort(images, Distortion(), Generator().manual_seed(1))
    assert torch.equal(first, distort(images, Distortion(), Generator().manual_seed(1)))
    assert not torch.equal(first, distort(images, Distortion(), Generator().manual_seed(2)))
    assert not torch.equal(first[0], first[1])
    assert first.shape == images.shape
    assert first.min() >= 0.0
    assert first.max() <= 16.001


def test_global_random_state_is_not_touched() -> None:
    before = torch.get_rng_state()
    distort(torch.rand(2, 1, 8, 8, generator=Generator()), Distortion(), Generator())
    assert torch.equal(before, torch.get_rng_state())


def test_shift_is_bounded_in_pixels() -> None:
    image = torch.zeros(200, 1, 9, 9)
    image[:, :, 4, 4] = 1.0
    shifted = distort(image, Distortion(0.0, 0.0, 0.0, 1.0, 0.0), Generator().manual_seed(0))
    mass = shifted.sum(dim=(0, 1))
    assert mass[3:6, 3:6].sum() > 190
    outside = mass.clone()
    outside[2:7, 2:7] = 0
    assert outside.sum() == 0
