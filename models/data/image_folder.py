# SPDX-License-Identifier: Apache-2.0
"""Images in a folder per class, decoded by Pillow when they are needed.

`DIR/train/CLASS/*.jpg` and `DIR/val/CLASS/*.jpg` (or `test`), as torchvision's ImageFolder and most
image archives have it. Without such parts `DIR/CLASS/*` is split: every fifth image of a class,
in the order of names, is held out.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aio.models.errors import ModelError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
HELD_OUT_EVERY = 5
_HELD_OUT_FOLDERS = ("val", "test", "held_out")
_THREADS = 4  # Pillow decodes without the interpreter's lock


class Folder(NamedTuple):
    """Files and their classes, for training and held out; the names of the classes."""

    train: list[tuple[Path, int]]
    held_out: list[tuple[Path, int]]
    labels: tuple[str, ...]


def find(folder: Path, *, validation: bool = False) -> Folder:
    """Return the images of a folder.

    Args:
        folder: as the module says.
        validation: leave held-out images alone and hold out a fifth of the others.

    Raises:
        ModelError: there is no such folder, it has no images, or a class lacks some.
    """
    if not folder.is_dir():
        raise ModelError(
            f"{folder} is not a folder; --data names one that holds a folder per class"
        )
    train_root = folder / "train" if (folder / "train").is_dir() else folder
    labels = _class_names(train_root, without=_HELD_OUT_FOLDERS if train_root is folder else ())
    train = _members(train_root, labels)
    held_root = next((folder / n for n in _HELD_OUT_FOLDERS if (folder / n).is_dir()), None)
    held_out = _members(held_root, labels) if held_root is not None else []
    if held_root is not None and not held_out:
        raise ModelError(f"{held_root} has no images in folders named like those of {train_root}")
    if not held_out:
        train, held_out = _split(train)
    if validation:
        train, held_out = _split(train)
    if not train or not held_out:
        raise ModelError(
            f"{folder} has too few images: a class needs {HELD_OUT_EVERY} to hold out one"
        )
    return Folder(train, held_out, labels)


class FolderImages:
    """Images of files: scaled so that the shorter side fits, and cut out at the middle."""

    def __init__(self, paths: Sequence[Path], side: int) -> None:
        self._paths = paths
        self._side = side

    def __len__(self) -> int:
        return len(self._paths)

    def at(self, indices: Tensor) -> Tensor:
        """Return some of them as float32 (N, 3, side, side), 0 to 1.

        Raises:
            ModelError: a file is no image; the message names it.
        """
        paths = [self._paths[i] for i in indices.tolist()]
        pixels = np.stack(list(_in_order(lambda path: decode(path, self._side), paths)))
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0


def decode(path: Path, side: int) -> NDArray[np.uint8]:
    """Return the middle of an image as bytes (side, side, 3).

    Raises:
        ModelError: the file is no image, damaged or of absurd size.
    """
    from PIL import Image  # noqa: PLC0415 - only this kind of data needs it

    try:
        with Image.open(path) as image:
            scale = side / min(image.size)
            size = (max(side, round(image.width * scale)), max(side, round(image.height * scale)))
            small = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ModelError(f"{path} can't be decoded as an image: {error}") from error
    left, top = (small.width - side) // 2, (small.height - side) // 2
    return np.asarray(small.crop((left, top, left + side, top + side)))


def _in_order(
    function: Callable[[Path], NDArray[np.uint8]], paths: Iterable[Path]
) -> Iterable[NDArray[np.uint8]]:
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(function, paths)


def _class_names(root: Path, without: Sequence[str]) -> tuple[str, ...]:
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    names = [name for name in names if name not in without]
    if len(names) < 2:
        raise ModelError(
            f"{root} holds {len(names)} folders, expected one per class with its images inside"
        )
    return tuple(names)


def _members(root: Path, labels: Sequence[str]) -> list[tuple[Path, int]]:
    members = []
    for index, name in enumerate(labels):
        paths = sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in SUFFIXES)
        if not paths:
            raise ModelError(
                f"{root / name} holds no images; known are {', '.join(sorted(SUFFIXES))}"
            )
        members += [(path, index) for path in paths]
    return members


def _split(
    members: list[tuple[Path, int]],
) -> tuple[list[tuple[Path, int]], list[tuple[Path, int]]]:
    """Hold out every HELD_OUT_EVERY-th image of each class."""
    train: list[tuple[Path, int]] = []
    held_out: list[tuple[Path, int]] = []
    seen: dict[int, int] = {}
    for path, label in members:
        seen[label] = seen.get(label, 0) + 1
        (train if seen[label] % HELD_OUT_EVERY else held_out).append((path, label))
    return train, held_out
