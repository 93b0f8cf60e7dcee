# SPDX-License-Identifier: Apache-2.0
"""A whole training run: data, network, epochs with checkpoints, calibration, judgement.

The same settings give the same weights to the last bit, whether or not the run was interrupted,
on one kind of processor and one version of torch. Another processor may sum in another order.
"""

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aio.models.allinone import AllInOne
from aio.models.allocation import allocation
from aio.models.checkpoint import load_checkpoint, save_checkpoint
from aio.models.data.source import Source
from aio.models.distributed import Group
from aio.models.errors import CheckpointError, ModelError
from aio.models.evaluate import accuracy_per_level, recalibrate
from aio.models.export import export_model
from aio.models.recipes import make_net, make_source, recipe
from aio.models.settings import TrainSettings
from aio.models.supernet import Supernet
from aio.models.trained_weights import load_weights
from aio.models.trainer import EpochResult, Trainer

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """A trained network and how good it is.

    Attributes:
        model: the network, in inference mode at level 0.
        settings: of the run.
        accuracy: fraction of the held-out images each level gets right, in torch.
        held_out: number of these images.
    """

    model: Supernet
    settings: TrainSettings
    accuracy: list[float]
    held_out: int


MakeModel = Callable[[TrainSettings, Source], Supernet]


def all_in_one(settings: TrainSettings, source: Source) -> AllInOne:
    """Return the network of a run, with random weights or those it is to start from."""
    return wrapped(started_net(settings, source), settings)


def started_net(settings: TrainSettings, source: Source) -> nn.Module:
    """Return the dense network of a run, with random weights or those it is to start from.

    Raises:
        CheckpointError: the file it is to start from is of another network.
    """
    net = make_net(settings, source)
    if settings.initial_weights:
        random = load_weights(net, Path(settings.initial_weights))
        if random:
            _LOG.warning(
                "%s tells other classes apart than the data: %s start from random weights",
                settings.initial_weights,
                " and ".join(random),
            )
    return net


def wrapped(net: nn.Module, settings: TrainSettings) -> AllInOne:
    """Return a network at the levels that settings ask for."""
    return AllInOne(
        net,
        settings.ratios,
        block_height=dict(settings.block_heights),
        allocation=allocation(settings.allocation, dict(settings.costs)),
    )


def train(
    settings: TrainSettings,
    checkpoint: Path | None = None,
    *,
    resume: bool = False,
    on_epoch: Callable[[EpochResult], None] = lambda _: None,
    make_model: MakeModel = all_in_one,
    group: Group | None = None,
) -> Outcome:
    """Train a network and judge every level.

    Args:
        settings: of the run.
        checkpoint: file that holds the run's state after every epoch; None for no checkpoints.
        resume: continue from this file, whose settings must be the same.
        on_epoch: called after each epoch, when its checkpoint is on disk.
        make_model: returns the network, with random weights or others.
        group: processes that train together; the first one writes the checkpoints.

    Raises:
        CheckpointError: the file to resume from is missing, damaged, or of another run.
        ModelError: the data or the network can't be used, or settings do not fit each other.
        WorkerError: a process of the group has ended.
    """
    group = group or Group()
    if settings.parts % group.size:
        raise ModelError(
            f"parts {settings.parts} can't be shared by {group.size} processes; "
            f"use --parts {group.size}"
        )
    with _reproducible(settings):
        source = make_source(settings)
        trainer = Trainer(make_model(settings, source), source, settings, group)
        if resume:
            _restore(trainer, settings, checkpoint)
        while True:
            if checkpoint is not None and group.rank == 0:
                save_checkpoint(checkpoint, settings, trainer.state_dict())
            if trainer.last_result is not None:
                on_epoch(trainer.last_result)
            if trainer.epoch >= settings.epochs:
                break
            trainer.run_epoch()
        trainer.finish()
        model = trainer.model
        recalibrate(model, source.calibration_batches)
        accuracy = accuracy_per_level(model, source.held_out_batches)
        held_out = sum(len(labels) for _, labels in source.held_out_batches())
    return Outcome(model, settings, accuracy, held_out)


def export_outcome(outcome: Outcome, output: Path) -> int:
    """Write the model file of a run and return its size in bytes."""
    settings = outcome.settings
    chosen = recipe(settings.dataset)
    source = make_source(settings)
    images, _ = next(iter(source.held_out_batches()))
    assert isinstance(outcome.model, AllInOne)
    return export_model(
        outcome.model,
        output,
        images[:1],
        name=settings.dataset,
        metrics={"accuracy": outcome.accuracy},
        input_names=(chosen.input_name,),
        output_names=(chosen.output_name,),
        labels=source.labels,
        provenance=provenance(settings),
    )


def provenance(settings: TrainSettings) -> dict[str, Any]:
    """Return what a model file says about its origin; no dates and paths, so bytes repeat."""
    plain = settings.to_dict()
    del plain["data"]  # a path of this machine
    start = plain.pop("initial_weights")
    if start:
        plain["initial_weights_sha256"] = hashlib.sha256(Path(start).read_bytes()).hexdigest()
    return {
        "command": settings.command(),
        "settings": plain,
        **recipe(settings.dataset).describe(settings),
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
