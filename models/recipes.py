# SPDX-License-Identifier: Apache-2.0
"""What `aio train` can train: a data set, the network for it, and the names in the file.

Importing this module is cheap; torch and the data load when a recipe is used.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio.models.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from aio.models.data.source import Source
    from aio.models.settings import TrainSettings


@dataclass(frozen=True)
class Recipe:
    """A data set, and how a network is trained on it.

    Attributes:
        input_name: what a request to the served model calls the image.
        output_name: what its answer calls the class scores.
        network: name of the network of the zoo that is trained when none is named.
        make_source: returns the data that settings ask for.
        describe: returns the data's origin and split, for the provenance in the file.
        needs_folder: whether the data are files of the user's.
    """

    input_name: str
    output_name: str
    network: str
    make_source: Callable[[TrainSettings], Source]
    describe: Callable[[TrainSettings], dict[str, Any]]
    needs_folder: bool = False


def recipe(dataset: str) -> Recipe:
    """Return the recipe for a data set.

    Raises:
        ModelError: there is none of this name.
    """
    if dataset not in RECIPES:
        raise ModelError(f"no data set {dataset!r}, there are: {', '.join(RECIPES)}")
    return RECIPES[dataset]


def make_source(settings: TrainSettings) -> Source:
    """Return the data of a run.

    Raises:
        ModelError: the folder of the data is not named, or what is in it can't be used.
    """
    chosen = recipe(settings.dataset)
    if chosen.needs_folder and not settings.data:
        raise ModelError(f"--data is missing: data set {settings.dataset!r} is read from a folder")
    if settings.data and not chosen.needs_folder:
        raise ModelError(f"--data {settings.data}: data set {settings.dataset!r} reads no folder")
    return chosen.make_source(settings)


def make_net(settings: TrainSettings, source: Source) -> nn.Module:
    """Return the network of a run with random weights, for the classes and channels of its data.

    Raises:
        ModelError: the zoo has no such network, or it takes images of other channels.
    """
    import torch  # noqa: PLC0415

    from aio.models import zoo  # noqa: PLC0415

    name = settings.network or recipe(settings.dataset).network
    net = zoo.network(name, len(source.labels), source.shape[0])
    net.eval()
    try:
        with torch.no_grad():
            logits = net(torch.zeros(2, *source.shape))
    except RuntimeError as error:
        shape = "x".join(str(side) for side in source.shape)
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"network {name!r} does not take the {shape} images of {settings.dataset!r}: {reason}"
        ) from error
    wanted = (2, len(source.labels))
    if not isinstance(logits, torch.Tensor) or logits.shape != wanted:
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ModelError(
            f"network {name!r} answers two images with {found}, not {wanted}: {settings.dataset!r} "
            f"has {len(source.labels)} classes"
        )
    return net.train()


def _digits_source(settings: TrainSettings) -> Source:
    from aio.models.data import digits  # noqa: PLC0415
    from aio.models.data.augment import Distortion  # noqa: PLC0415
    from aio.models.data.source import array_source  # noqa: PLC0415

    split = digits.load_split(validation=settings.validation)
    return array_source(
        (split.train_images, split.train_labels),
        (split.held_out_images, split.held_out_labels),
        digits.LABELS,
        Distortion(),
    )


def _clutter_source(settings: TrainSettings) -> Source:
    from aio.models.data import clutter, digits  # noqa: PLC0415
    from aio.models.data.augment import CropAndFlip  # noqa: PLC0415
    from aio.models.data.source import ArrayImages, Source  # noqa: PLC0415

    images, labels, held_out_images, held_out_labels = clutter.load(validation=settings.validation)
    return Source(
        (ArrayImages(images), labels),
        (ArrayImages(held_out_images), held_out_labels),
        digits.LABELS,
        CropAndFlip(pad_px=2, flip=False),
    )


def _cifar_source(classes: int) -> Callable[[TrainSettings], Source]:
    def make(settings: TrainSettings) -> Source:
        from aio.models.data import cifar  # noqa: PLC0415
        from aio.models.data.augment import CropAndFlip  # noqa: PLC0415
        from aio.models.data.source import array_source  # noqa: PLC0415

        found = cifar.load(Path(settings.data), classes)
        train = (found.train_images, found.train_labels)
        held_out = (found.held_out_images, found.held_out_labels)
        if settings.validation:
            count = max(1, len(found.train_labels) // 10)
            train, held_out = (
                (train[0][:-count], train[1][:-count]),
                (train[0][-count:], train[1][-count:]),
            )
        return array_source(train, held_out, found.labels, CropAndFlip())

    return make


FOLDER_SIDE = 224


def _folder_source(settings: TrainSettings) -> Source:
    import torch  # noqa: PLC0415

    from aio.models.data import image_folder  # noqa: PLC0415
    from aio.models.data.augment import CropAndFlip  # noqa: PLC0415
    from aio.models.data.source import Source  # noqa: PLC0415

    found = image_folder.find(Path(settings.data), validation=settings.validation)
    parts = [
        (
            image_folder.FolderImages([path for path, _ in members], settings.side or FOLDER_SIDE),
            torch.tensor([label for _, label in members]),
        )
        for members in (found.train, found.held_out)
    ]
    pad_px = (settings.side or FOLDER_SIDE) // 8
    return Source(parts[0], parts[1], found.labels, CropAndFlip(pad_px))


def _describe_digits(settings: TrainSettings) -> dict[str, Any]:
    from aio.models.data import digits  # noqa: PLC0415

    split = digits.load_split(validation=settings.validation)
    return {
        "data_set": "scikit-learn digits (UCI optdigits test part), 8x8, values 0 to 16",
        "split": f"stratified by class, seed {digits.SPLIT_SEED}, "
        f"{digits.HELD_OUT_FRACTION:g} held out" + (" of the training part" * settings.validation),
        "training_images": len(split.train_labels),
        "held_out_images": len(split.held_out_labels),
        "versions": _versions("torch", "scikit-learn", "numpy"),
    }


def _describe_clutter(settings: TrainSettings) -> dict[str, Any]:
    from aio.models.data import clutter  # noqa: PLC0415

    return {
        "data_set": "generated from scikit-learn digits among clutter, 3x32x32, values 0 to 1",
        "split": "held-out images show held-out digits only"
        + (", of the training part" * settings.validation),
        "training_images": clutter.TRAINING_IMAGES,
        "held_out_images": clutter.HELD_OUT_IMAGES,
        "versions": _versions("torch", "scikit-learn", "numpy"),
    }


def _describe_files(what: str) -> Callable[[TrainSettings], dict[str, Any]]:
    def describe(settings: TrainSettings) -> dict[str, Any]:
        held_out = "a part of the training images" if settings.validation else "the held-out part"
        return {
            "data_set": f"{what}, values 0 to 1",
            "split": f"judged by {held_out}",
            "versions": _versions("torch", "numpy"),
        }

    return describe


def _versions(*names: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in names}


RECIPES = {
    "digits": Recipe("image", "logits", "digits_resnet", _digits_source, _describe_digits),
    "clutter": Recipe("image", "logits", "resnet20", _clutter_source, _describe_clutter),
    "cifar10": Recipe(
        "image",
        "logits",
        "resnet20",
        _cifar_source(10),
        _describe_files("CIFAR-10, 3x32x32"),
        needs_folder=True,
    ),
    "cifar100": Recipe(
        "image",
        "logits",
        "resnet20",
        _cifar_source(100),
        _describe_files("CIFAR-100, 3x32x32"),
        needs_folder=True,
    ),
    "folder": Recipe(
        "image",
        "logits",
        "resnet18",
        _folder_source,
        _describe_files("a folder of images per class, RGB"),
        needs_folder=True,
    ),
}
