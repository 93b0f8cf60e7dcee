# SPDX-License-Identifier: Apache-2.0
"""Which runs a comparison consists of.

A *run* is one process that ends with one JSON file. A run may need the weights of another one of
the same seed, which then comes before it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aio.models.errors import ModelError
from aio.models.files import replacing
from aio.models.ratios import check_ratios
from aio.models.settings import TrainSettings

PLAN_FILE = "plan.json"
METHODS = {
    "joint": "All-in-One: the dense network trained again, one set of weights for all ratios",
    "dense": "a dense network alone",
    "scratch_e": "each ratio alone from scratch, equal epochs",
    "scratch_b": "each ratio alone from scratch, the compute of the dense network",
    "finetune": "each ratio alone, a dense network pruned and trained again",
    "slimmable": "the dense network trained again, uniform widths at equal multiply-accumulates",
    "magnitude": "a dense network pruned by magnitude, batch normalisation re-calibrated",
}
_PER_RATIO = ("scratch_e", "scratch_b", "finetune")
_NEEDS_DENSE = ("joint", "finetune", "slimmable", "magnitude")


@dataclass(frozen=True)
class Run:
    """One process.

    Attributes:
        method: one of METHODS.
        seed: of all randomness.
        ratio: of a method that trains each ratio alone, None for the others.
    """

    method: str
    seed: int
    ratio: float | None = None

    @property
    def name(self) -> str:
        """Return the name of the run's files."""
        ratio = "" if self.ratio is None else f"-{self.ratio:g}"
        return f"{self.method}{ratio}-seed{self.seed}"

    @property
    def needs(self) -> str | None:
        """Return the name of the run whose weights this one starts from."""
        return Run("dense", self.seed).name if self.method in _NEEDS_DENSE else None


@dataclass(frozen=True)
class Plan:
    """A comparison.

    Attributes:
        settings: of the joint model; the others differ in what their method says.
        seeds: a run of everything for each.
        methods: what is compared.
        alone: ratios that are also trained alone, which is most of the time; none for all.
    """

    settings: TrainSettings
    seeds: tuple[int, ...] = (0, 1, 2)
    methods: tuple[str, ...] = field(default=tuple(METHODS))
    alone: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown:
            raise ModelError(f"no method {unknown[0]!r}, there are: {', '.join(METHODS)}")
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise ModelError(f"seeds {list(self.seeds)}: name at least one, each once")
        if self.settings.ratios[0] != 0.0:
            raise ModelError("a comparison needs ratio 0, beside which a dense network is set")
        strange = [ratio for ratio in self.alone if ratio not in self.settings.ratios[1:]]
        if strange:
            raise ModelError(
                f"ratio {strange[0]:g} can't be trained alone: the joint model has "
                f"{', '.join(f'{ratio:g}' for ratio in self.settings.ratios[1:])}"
            )

    def runs(self) -> list[Run]:
        """Return all runs, those that others need first; seed by seed, so that one is soon whole.

        At ratio 0 the dense network alone is what the methods of each ratio would train.
        """
        methods = set(self.methods)
        if methods & set(_NEEDS_DENSE):
            methods.add("dense")
        runs = []
        for seed in self.seeds:
            for method in (m for m in ("dense", *METHODS) if m in methods):
                alone = self.alone or self.settings.ratios[1:]
                ratios = alone if method in _PER_RATIO else [None]
                runs += [Run(method, seed, ratio) for ratio in ratios]
        return list(dict.fromkeys(runs))

    def epochs(self, run: Run) -> int:
        """Return the epochs of a run.

        Scratch-B makes up for its smaller network by more epochs, twice as many at most (Liu et
        al. 2019, arXiv 1810.05270, section 3).
        """
        epochs = self.settings.epochs
        if run.method != "scratch_b" or run.ratio is None:
            return epochs
        return round(epochs * min(2.0, 1.0 / (1.0 - run.ratio)))

    def passes(self, run: Run) -> int:
        """Return forward and backward passes over the training images, which is a run's time."""
        joint = min(len(self.settings.ratios), 2 + self.settings.random_levels)
        per_epoch = joint if run.method in {"joint", "slimmable"} else 1
        return 0 if run.method == "magnitude" else self.epochs(run) * per_epoch

    def save(self, folder: Path) -> None:
        """Write the plan into a folder."""
        document = asdict(self) | {"settings": self.settings.to_dict()}
        with replacing(folder / PLAN_FILE) as file:
            file.write(json.dumps(document, indent=1).encode() + b"\n")


def load_plan(folder: Path) -> Plan:
    """Return the plan of a folder.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    path = folder / PLAN_FILE
    try:
        document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        settings = TrainSettings.from_dict(document["settings"])
        check_ratios(settings.ratios)
        lists = [tuple(document[name]) for name in ("seeds", "methods", "alone")]
        return Plan(settings, *lists)
    except FileNotFoundError as error:
        raise ModelError(f"{folder} holds no comparison; name a --dataset to begin one") from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ModelError(f"{path} is damaged: {error}") from error
