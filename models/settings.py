# SPDX-License-Identifier: Apache-2.0
"""Settings of a training run. Two runs with equal settings on one machine give equal files."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from aio.models.errors import ModelError
from aio.models.ratios import check_ratios

DEFAULT_RATIOS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
_SEED_LIMIT = 2**63


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
        learning_rate: highest rate of the weights; a cosine falls from it to zero.
        score_learning_rate: highest rate of the block scores.
        warmup: fraction of the steps in which the rates rise.
        weight_decay: of weights with two axes or more.
        label_smoothing: for the densest level.
        distillation: weight of the densest level's answers against the labels, 0 to 1.
        random_levels: levels drawn in a step, beside the densest and the sparsest.
        mixed_fraction: share of these that use two levels, changing at a random layer.
        threads: torch threads; sums, and so results, depend on their number.
    """

    dataset: str = "digits"
    ratios: tuple[float, ...] = DEFAULT_RATIOS
    epochs: int = 60
    seed: int = 0
    validation: bool = False
    batch_size: int = 64
    learning_rate: float = 0.1
    score_learning_rate: float = 0.1
    warmup: float = 0.1
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    distillation: float = 1.0
    random_levels: int = 2
    mixed_fraction: float = 0.25
    threads: int = 2

    def __post_init__(self) -> None:
        check_ratios(self.ratios)
        for name, lowest in (
            ("epochs", 1),
            ("batch_size", 2),
            ("threads", 1),
            ("random_levels", 0),
        ):
            value = getattr(self, name)
            if value < lowest:
                raise ModelError(f"{name} {value} is too small, the least is {lowest}")
        if not 0 <= self.seed < _SEED_LIMIT:
            raise ModelError(f"seed {self.seed} is not in 0 to 2**63 - 1")
        for name in ("warmup", "label_smoothing", "distillation", "mixed_fraction"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ModelError(f"{name} {value} is not in 0 to 1")
        for name in ("learning_rate", "score_learning_rate", "weight_decay"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ModelError(f"{name} {value} is not a number of 0 or more")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain numbers, strings and lists."""
        plain = dataclasses.asdict(self)
        plain["ratios"] = list(self.ratios)
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "TrainSettings":
        """Return the settings that `to_dict` gave."""
        return cls(**{**plain, "ratios": tuple(plain["ratios"])})

    def differences(self, other: "TrainSettings") -> list[str]:
        """Describe every setting in which another run differs from this one."""
        mine, others = self.to_dict(), other.to_dict()
        return [
            f"{name} {others[name]} instead of {mine[name]}"
            for name in mine
            if mine[name] != others[name]
        ]

    def command(self) -> str:
        """Return the command line that trains with these settings, as far as it has options."""
        default = TrainSettings()
        changed = [
            f"--{name} {getattr(self, name)}"
            for name in ("epochs", "seed", "threads")
            if getattr(self, name) != getattr(default, name)
        ]
        words = ["aio train --dataset", self.dataset, *changed]
        if self.ratios != default.ratios:
            words.append("--ratios " + ",".join(f"{ratio:g}" for ratio in self.ratios))
        if self.validation:
            words.append("--validation")
        return " ".join(words)
