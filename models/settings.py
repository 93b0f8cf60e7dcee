# SPDX-License-Identifier: Apache-2.0
"""Settings of a training run. Two runs with equal settings on one machine give equal files."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from aio.models.errors import ModelError
from aio.models.ratios import check_ratios

DEFAULT_RATIOS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
BLOCK_HEIGHTS = (16, 8)
"""Output channels of a block that the executor has kernels for."""
ALLOCATIONS = ("uniform", "global", "erk", "cost")
PRECISIONS = ("float32", "bfloat16")
OPTIONS = {"block_heights": "block_height", "initial_weights": "from"}
"""Settings whose option on the command line has another name."""
_SEED_LIMIT = 2**63
_MOST_PREFERENCE = 4.0  # the sparsest level would be all that is drawn long before
_PAIRS = ("block_heights", "costs")
_NAMED_APART = ("dataset", "data", "costs", "initial_weights")
_FRACTIONS = (
    "warmup",
    "label_smoothing",
    "distillation",
    "mixed_fraction",
    "adjacent_fraction",
    "dense_fraction",
    "growth",
    "score_end",
    "average",
)


@dataclass(frozen=True)
class TrainSettings:
    """What decides the result of a training run.

    Attributes:
        dataset: name of the data set.
        ratios: pruning ratio of each level, increasing.
        epochs: passes over the training images.
        seed: of the initial weights, the order of images, distortions and sampled levels.
        validation: judge on a part of the training images, not on the held-out set.
        batch_size: images of a step.
        learning_rate: highest rate of the weights; in each phase, dense and joint, a cosine falls
            from it to zero.
        score_learning_rate: highest rate of the block scores.
        warmup: fraction of the steps of each phase in which the rates rise.
        weight_decay: of weights with two axes or more.
        label_smoothing: for the densest level.
        distillation: weight of the densest level's answers against the labels, 0 to 1.
        random_levels: levels drawn in a step, beside the densest and the sparsest.
        sparse_preference: how much more often a sparse level is drawn, in proportion to its density
            to the power of minus this; 0 for all alike.
        mixed_fraction: share of these that use two levels, changing at a random layer.
        threads: torch threads; sums, and so results, depend on their number.
        network: of the zoo, or `package.module:function`; empty for the data set's own.
        data: folder of the data set; empty for one that comes with a package.
        side: pixels per side that images of a folder are scaled to; 0 for 224.
        block_heights: output channels of a block, by pattern of layer names; the first that fits.
        allocation: how a ratio is shared among layers, one of `allocation.ALLOCATIONS`.
        costs: measured time of each layer at full density, for the cost-aware allocation.
        adjacent_fraction: share of the mixed subnets that go from a level to the next sparser one.
        growth: fraction of the joint steps in which the ratios grow from zero.
        score_end: fraction of the joint steps after which scores, and so masks, stay as they are.
        dense_fraction: fraction of the epochs, at the beginning, that train the densest level only.
        initial_weights: file of a trained network to start from, which replaces the dense epochs;
            empty for random weights.
        permute: group output channels of similar importance before the joint epochs.
        parts: equal parts a batch is cut into, each with batch statistics of its own; gradients are
            added up. Processes share the parts of a batch.
        precision: of the arithmetic in forward and backward passes, "float32" or "bfloat16".
        average: decay of the moving average of weights that is judged and exported; 0 for none.
        device: torch device.
    """

    dataset: str = "digits"
    ratios: tuple[float, ...] = DEFAULT_RATIOS
    epochs: int = 80
    seed: int = 0
    validation: bool = False
    batch_size: int = 64
    learning_rate: float = 0.1
    score_learning_rate: float = 0.1
    warmup: float = 0.1
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    distillation: float = 0.5
    random_levels: int = 3
    sparse_preference: float = 0.5
    mixed_fraction: float = 0.25
    threads: int = 2
    network: str = ""
    data: str = ""
    side: int = 0
    block_heights: tuple[tuple[str, int], ...] = (("*", 16),)
    allocation: str = "uniform"
    costs: tuple[tuple[str, float], ...] = ()
    adjacent_fraction: float = 0.75
    growth: float = 0.0
    score_end: float = 1.0
    dense_fraction: float = 0.5
    initial_weights: str = ""
    permute: bool = False
    parts: int = 1
    precision: str = "float32"
    average: float = 0.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_ratios(self.ratios)
        self._check_numbers()
        for name, known in (("allocation", ALLOCATIONS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise ModelError(f"{name} {getattr(self, name)!r} is not one of {known}")
        if self.batch_size % self.parts or self.batch_size // self.parts < 2:
            raise ModelError(
                f"batch_size {self.batch_size} can't be cut into {self.parts} equal parts of 2 or "
                "more images"
            )
        if self.average == 1.0:
            raise ModelError("average 1.0 would never leave the initial weights; 0.999 is usual")
        if self.permute and not self.has_trained_start:
            raise ModelError(
                f"permute needs a dense epoch, dense_fraction {self.dense_fraction:g} of "
                f"{self.epochs} is none: random weights have no importance"
            )
        if self.dense_fraction == 1.0:
            raise ModelError("dense_fraction 1 leaves no epoch to sparse levels; 0.5 is usual")
        if self.allocation == "cost" and not self.costs:
            raise ModelError(
                "allocation 'cost' needs measured costs: write them by "
                "`aio bench MODEL --layers --json > costs.json` and pass --costs costs.json"
            )

    def _check_numbers(self) -> None:
        for name, lowest in (
            ("epochs", 1),
            ("batch_size", 2),
            ("threads", 1),
            ("random_levels", 0),
            ("side", 0),
            ("parts", 1),
        ):
            value = getattr(self, name)
            if value < lowest:
                raise ModelError(f"{name} {value} is too small, the least is {lowest}")
        if not 0 <= self.seed < _SEED_LIMIT:
            raise ModelError(f"seed {self.seed} is not in 0 to 2**63 - 1")
        for name in _FRACTIONS:
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ModelError(f"{name} {value} is not in 0 to 1")
        if not 0.0 <= self.sparse_preference <= _MOST_PREFERENCE:
            raise ModelError(
                f"sparse_preference {self.sparse_preference} is not in 0 to {_MOST_PREFERENCE:g}"
            )
        for name in ("learning_rate", "score_learning_rate", "weight_decay"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ModelError(f"{name} {value} is not a number of 0 or more")

    @property
    def dense_epochs(self) -> int:
        """Epochs at the beginning that train the densest level only."""
        return 0 if self.initial_weights else int(self.dense_fraction * self.epochs)

    @property
    def has_trained_start(self) -> bool:
        """Whether the joint epochs start from trained weights."""
        return bool(self.initial_weights) or self.dense_epochs > 0

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain numbers, strings, lists and dictionaries."""
        plain = dataclasses.asdict(self)
        plain["ratios"] = list(self.ratios)
        return plain | {name: dict(getattr(self, name)) for name in _PAIRS}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "TrainSettings":
        """Return the settings that `to_dict` gave; those it lacks have their defaults."""
        tuples = {"ratios": tuple(plain["ratios"])}
        tuples |= {name: tuple(plain[name].items()) for name in _PAIRS if name in plain}
        return cls(**{**plain, **tuples})

    def differences(self, other: "TrainSettings") -> list[str]:
        """Describe every setting in which another run differs from this one."""
        mine, others = self.to_dict(), other.to_dict()
        return [
            f"{name} {others[name]} instead of {mine[name]}"
            for name in mine
            if mine[name] != others[name]
        ]

    def command(self) -> str:
        """Return the command line that trains with these settings."""
        default = TrainSettings()
        words = ["aio train --dataset", self.dataset]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in _NAMED_APART or value == getattr(default, field.name):
                continue
            option = OPTIONS.get(field.name, field.name).replace("_", "-")
            if field.name == "block_heights":
                value = tuple(f"{pattern}={height}" for pattern, height in value)
            words.append(f"--{option}" if value is True else f"--{option} {_word(value)}")
        files = (
            ("--data DIR", self.data),
            ("--costs FILE", self.costs),
            ("--from FILE", self.initial_weights),
        )
        words += [option for option, given in files if given]
        return " ".join(words)


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(_word(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
