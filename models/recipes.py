# SPDX-License-Identifier: Apache-2.0
"""What `aio train` can train: a data set, the network for it, and the names in the file.

Importing this module is cheap; torch and the data load when a recipe is used.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aio.models.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from aio.models.data.source import Source


@dataclass(frozen=True)
class Recipe:
    """A data set and the network trained on it.

    Attributes:
        input_name: what a request to the served model calls the image.
        output_name: what its answer calls the class scores.
        make_net: returns the network with random weights.
        make_source: returns the data; True holds out a part of the training images only.
        describe: returns the data's origin and split, for the provenance in the file.
    """

    input_name: str
    output_name: str
    make_net: Callable[[], nn.Module]
    make_source: Callable[[bool], Source]
    describe: Callable[[bool], dict[str, Any]]


def recipe(dataset: str) -> Recipe:
    """Return the recipe for a data set.

    Raises:
        ModelError: there is none of this name.
    """
    if dataset not in RECIPES:
        raise ModelError(f"no data set {dataset!r}, there are: {', '.join(RECIPES)}")
    return RECIPES[dataset]


def _digits_net() -> nn.Module:
    from aio.models import zoo  # noqa: PLC0415

    return zoo.digits_resnet()


def _digits_source(validation: bool) -> Source:
    from aio.models.data import digits  # noqa: PLC0415
    from aio.models.data.augment import Distortion  # noqa: PLC0415
    from aio.models.data.source import ArraySource  # noqa: PLC0415

    split = digits.load_split(validation=validation)
    return ArraySource(
        (split.train_images, split.train_labels),
        (split.held_out_images, split.held_out_labels),
        digits.LABELS,
        Distortion(),
    )


def _describe_digits(validation: bool) -> dict[str, Any]:
    from aio.models.data import digits  # noqa: PLC0415

    split = digits.load_split(validation=validation)
    return {
        "data_set": "scikit-learn digits (UCI optdigits test part), 8x8, values 0 to 16",
        "split": f"stratified by class, seed {digits.SPLIT_SEED}, "
        f"{digits.HELD_OUT_FRACTION:g} held out" + (" of the training part" * validation),
        "training_images": len(split.train_labels),
        "held_out_images": len(split.held_out_labels),
        "versions": {
            name: importlib.metadata.version(name) for name in ("torch", "scikit-learn", "numpy")
        },
    }


RECIPES = {
    "digits": Recipe("image", "logits", _digits_net, _digits_source, _describe_digits),
}
