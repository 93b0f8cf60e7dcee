# SPDX-License-Identifier: Apache-2.0
"""A whole training run: data, network, epochs with checkpoints, calibration, judgement.

The same settings give the same weights to the last bit, whether or not the run was interrupted,
on one kind of processor and one version of torch. Another processor may sum in another order.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aio.models.allinone import AllInOne
from aio.models.checkpoint import load_checkpoint, save_checkpoint
from aio.models.errors import CheckpointError
from aio.models.evaluate import accuracy_per_level, recalibrate
from aio.models.recipes import Recipe, recipe
from aio.models.settings import TrainSettings
from aio.models.trainer import EpochResult, Trainer


@dataclass(frozen=True)
class Outcome:
    """A trained network and how good it is.

    Attributes:
        model: the network, in inference mode at level 0.
        settings: of the run.
        accuracy: fraction of the held-out images each level gets right, in torch.
        held_out: number of these images.
    """

    model: AllInOne
    settings: TrainSettings
    accuracy: list[float]
    held_out: int


def train(
    settings: TrainSettings,
    checkpoint: Path | None = None,
    *,
    resume: bool = False,
    on_epoch: Callable[[EpochResult], None] = lambda _: None,
) -> Outcome:
    """Train a network and judge every level.

    Args:
        settings: of the run.
        checkpoint: file that holds the run's state after every epoch; None for no checkpoints.
        resume: continue from this file, whose settings must be the same.
        on_epoch: called after each epoch, when its checkpoint is on disk.

    Raises:
        CheckpointError: the file to resume from is missing, damaged, or of another run.
    """
    chosen = recipe(settings.dataset)
    with _reproducible(settings):
        source = chosen.make_source(settings.validation)
        trainer = Trainer(AllInOne(chosen.make_net(), settings.ratios), source, settings)
        if resume:
            _restore(trainer, settings, checkpoint)
        while True:
            if checkpoint is not None:
                save_checkpoint(checkpoint, settings, trainer.state_dict())
            if trainer.last_result is not None:
                on_epoch(trainer.last_result)
            if trainer.epoch >= settings.epochs:
                break
            trainer.run_epoch()
        model = trainer.model.eval()
        recalibrate(model, source.calibration_batches)
        accuracy = accuracy_per_level(model, source.held_out_batches)
        held_out = sum(len(labels) for _, labels in source.held_out_batches())
    return Outcome(model, settings, accuracy, held_out)


def provenance(settings: TrainSettings) -> dict[str, Any]:
    """Return what a model file says about its origin; no dates and paths, so bytes repeat."""
    chosen: Recipe = recipe(settings.dataset)
    return {
        "command": settings.command(),
        "settings": settings.to_dict(),
        **chosen.describe(settings.validation),
    }


def _restore(trainer: Trainer, settings: TrainSettings, checkpoint: Path | None) -> None:
    if checkpoint is None:
        raise CheckpointError("there is no file to resume from")
    saved, state = load_checkpoint(checkpoint)
    differences = settings.differences(saved)
    if differences:
        raise CheckpointError(
            f"{checkpoint} is of a run with other settings: {'; '.join(differences)}"
        )
    try:
        trainer.load_state_dict(state)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{checkpoint} does not fit this network: {error}") from error


@contextlib.contextmanager
def _reproducible(settings: TrainSettings) -> Iterator[None]:
    """Fix seeds, threads and algorithms; put torch back as it was at the end."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        torch.set_num_threads(settings.threads)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
            torch.set_num_threads(threads)
