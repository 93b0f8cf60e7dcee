# SPDX-License-Identifier: Apache-2.0
"""The settings of a run as options of the command line.

They have no defaults here, so that what was given can be told from what was not.
"""

import argparse
from pathlib import Path
from typing import Any

from aio.models.errors import ModelError
from aio.models.recipes import RECIPES
from aio.models.settings import ALLOCATIONS, BLOCK_HEIGHTS, PRECISIONS, TrainSettings

_HELP = {
    "epochs": "passes over the training images",
    "seed": "of all randomness",
    "threads": "torch threads; they change the last bits",
    "batch_size": "images of a step",
    "learning_rate": "highest rate of the weights",
    "score_learning_rate": "highest rate of the block scores",
    "warmup": "fraction of the steps of each phase in which rates rise",
    "weight_decay": "of weights",
    "label_smoothing": "for the densest level",
    "distillation": "weight of the densest level's answers against the labels",
    "random_levels": "levels drawn in a step, beside the two ends",
    "sparse_preference": "how much more often sparse levels are drawn, 0 for all alike",
    "mixed_fraction": "share of these that mix two levels across layers",
    "adjacent_fraction": "share of the mixed ones that mix neighbouring levels",
    "growth": "fraction of the joint steps in which ratios grow from zero",
    "score_end": "fraction of the joint steps after which masks stay",
    "dense_fraction": "fraction of the epochs that train the densest level only, at first",
    "parts": "equal parts of a batch whose gradients are added up; one per process at least",
    "average": "decay of the moving average of weights that is exported, 0 for none",
    "side": "pixels per side of the images of a folder, 0 for 224",
}


def add_setting_options(parser: argparse.ArgumentParser) -> None:
    """Declare an option for every setting."""
    default = TrainSettings()
    ratios = ",".join(f"{ratio:g}" for ratio in default.ratios)
    add = parser.add_argument
    add("--dataset", choices=sorted(RECIPES), help="what to train on")
    add("--data", metavar="DIR", help="folder of the data set, where it is read from files")
    add(
        "--network",
        metavar="NAME",
        help="network of the zoo, or package.module:function (the data set's own)",
    )
    add("--ratios", type=ratio_list, metavar="R,R,...", help=f"pruning ratio per level ({ratios})")
    for name, text in _HELP.items():
        value = getattr(default, name)
        option = f"--{name.replace('_', '-')}"
        add(option, type=type(value), metavar="N", help=f"{text} ({value:g})")
    add(
        "--validation",
        action="store_true",
        default=None,
        help="hold out a part of the training images and leave the held-out set alone",
    )
    heights = " or ".join(str(height) for height in BLOCK_HEIGHTS)
    add(
        "--block-height",
        dest="block_heights",
        type=_block_heights,
        metavar="H",
        help=f"output channels of a block, {heights}; or by layer, as layer3.*=8,*=16 (16)",
    )
    add("--allocation", choices=ALLOCATIONS, help="how layers share a ratio (uniform)")
    add(
        "--costs",
        type=_costs,
        metavar="FILE",
        help="of `aio bench MODEL --layers --json`, for --allocation cost",
    )
    add(
        "--permute",
        action="store_true",
        default=None,
        help="group channels of similar importance before the joint epochs",
    )
    add(
        "--from",
        dest="initial_weights",
        metavar="NET.pt",
        help="state dict of a trained network to start from, instead of the dense epochs",
    )
    add("--precision", choices=PRECISIONS, help="of forward and backward passes (float32)")
    add("--device", help="torch device (cpu)")


def given_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given, by name."""
    names = TrainSettings.__dataclass_fields__
    return {name: value for name in names if (value := getattr(args, name, None)) is not None}


def ratio_list(text: str) -> tuple[float, ...]:
    """Return numbers with commas between them."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of numbers like 0,0.5,0.9"
        ) from None


def _block_heights(text: str) -> tuple[tuple[str, int], ...]:
    pairs = []
    for part in text.split(","):
        pattern, _, height = part.rpartition("=")
        if height not in {str(known) for known in BLOCK_HEIGHTS}:
            raise argparse.ArgumentTypeError(
                f"{part!r}: the executor has blocks of {BLOCK_HEIGHTS}; write 8, or layer3.*=8,*=16"
            )
        pairs.append((pattern or "*", int(height)))
    return tuple(pairs)


def _costs(text: str) -> tuple[tuple[str, float], ...]:
    from aio.models.allocation import read_costs  # noqa: PLC0415

    try:
        return tuple(read_costs(Path(text)).items())
    except (ModelError, OSError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
