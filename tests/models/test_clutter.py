# SPDX-License-Identifier: Apache-2.0
import torch
from torch import Generator, Tensor

from aio.models.data import clutter, digits


def some(seed: int, count: int = 60) -> tuple[Tensor, Tensor]:
    split = digits.load_split()
    generator = Generator().manual_seed(seed)
    return clutter.make(split.train_images, split.train_labels, count, generator)


def test_images_are_what_the_module_says() -> None:
    images, labels = some(0)
    assert images.shape == (60, 3, 32, 32)
    assert 0.0 <= float(images.min()) < float(images.max()) <= 1.0
    assert set(labels.tolist()) == set(range(10))
    assert images.dtype == torch.float32


def test_a_seed_fixes_everything() -> None:
    first, again, other = some(1), some(1), some(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_the_digit_differs_from_what_is_behind_it() -> None:
    image = torch.full((1, 3, 32, 32), 0.5)
    opacity = torch.zeros(1, 1, 32, 32)
    opacity[..., 10:20, 10:20] = 1.0
    for seed in range(20):
        painted = clutter._paint(image, opacity, 0.35, Generator().manual_seed(seed))
        changed = (painted - image)[0, :, 15, 15].norm() / 3**0.5
        assert changed >= 0.2
        assert torch.equal(painted[..., 0, 0], image[..., 0, 0])
