# SPDX-License-Identifier: Apache-2.0
"""One run of a comparison: train as its method says, export, judge through the executor.

Accuracy and latency are those that `aio bench` measures on the exported file, in a process of its
own: training knows nothing of the runtime but its command line.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from aio.models.allinone import AllInOne
from aio.models.bench_process import accuracy, bench
from aio.models.data.source import Source
from aio.models.errors import ModelError
from aio.models.evaluate import accuracy_per_level, recalibrate
from aio.models.experiments.plan import Plan, Run
from aio.models.experiments.slimmable import Slimmable, count_macs, widths_for
from aio.models.files import replacing
from aio.models.recipes import make_source
from aio.models.settings import TrainSettings
from aio.models.supernet import Supernet
from aio.models.trainer import EpochResult
from aio.models.training import (
    Outcome,
    all_in_one,
    export_outcome,
    started_net,
    train,
    wrapped,
)

MIXED_PLANS = 50
LATENCY_SECONDS = 1.0


def perform(
    plan: Plan, run: Run, folder: Path, on_epoch: Callable[[EpochResult], None] = lambda _: None
) -> dict[str, Any]:
    """Do a run, or what is left of it, and write its result as JSON.

    Raises:
        ModelError: weights that it needs are not there.
        OSError: a file can't be written.
    """
    started = time.monotonic()
    settings = settings_of(plan, run, folder)
    checkpoint = folder / f"{run.name}.checkpoint"
    outcome = _outcome(run, settings, checkpoint, on_epoch)
    if run.method == "dense":
        _save_dense(outcome.model, folder / f"{run.name}.pt")
    levels, mixed = _judge(outcome, folder / run.name)
    result = {
        "run": dataclasses.asdict(run),
        "settings": settings.to_dict(),
        "held_out_images": outcome.held_out,
        "levels": levels,
        "mixed": mixed,
        "bytes": sum(path.stat().st_size for path in _model_files(folder / run.name, levels)),
        "seconds": round(time.monotonic() - started, 1),
    }
    with replacing(folder / f"{run.name}.json") as file:
        file.write(json.dumps(result, indent=1).encode() + b"\n")
    checkpoint.unlink(missing_ok=True)
    return result


def settings_of(plan: Plan, run: Run, folder: Path) -> TrainSettings:
    """Return the settings of a run: those of the plan, but for what its method says.

    Raises:
        ModelError: the weights that it starts from are not in the folder.
    """
    changes: dict[str, Any] = {
        "seed": run.seed,
        "epochs": plan.epochs(run),
        "dense_fraction": 0.0,
        "initial_weights": _start_of(plan, run, folder),
    }
    if run.method != "joint":  # these are parts of the joint method
        changes |= {"permute": False, "mixed_fraction": 0.0}
    if run.method == "dense":
        changes["ratios"] = (0.0,)
    elif run.ratio is not None:
        changes["ratios"] = (run.ratio,)
    return dataclasses.replace(plan.settings, **changes)


def _start_of(plan: Plan, run: Run, folder: Path) -> str:
    """Return the file of the weights that a run starts from, empty for random ones."""
    if run.needs is None:
        return plan.settings.initial_weights if run.method == "dense" else ""
    start = folder / f"{run.needs}.pt"
    if not start.exists():
        raise ModelError(f"{start} is missing: the run {run.needs} has to be done first")
    return str(start)


def _outcome(
    run: Run,
    settings: TrainSettings,
    checkpoint: Path,
    on_epoch: Callable[[EpochResult], None],
) -> Outcome:
    if run.method == "magnitude":
        return _magnitude(settings)
    return train(
        settings,
        checkpoint,
        resume=checkpoint.exists(),
        on_epoch=on_epoch,
        make_model=_slimmable if run.method == "slimmable" else all_in_one,
    )


def _magnitude(settings: TrainSettings) -> Outcome:
    """Prune a dense network by magnitude and measure its statistics again; nothing is trained."""
    source = make_source(settings)
    model = all_in_one(settings, source).eval()
    recalibrate(model, source.calibration_batches)
    found = accuracy_per_level(model, source.held_out_batches)
    held_out = sum(len(labels) for _, labels in source.held_out_batches())
    return Outcome(model, settings, found, held_out)


def _slimmable(settings: TrainSettings, source: Source) -> Supernet:
    net = started_net(settings, source)
    reference = wrapped(net, settings)
    macs = []
    for level in range(len(settings.ratios)):
        reference.set_level(level)
        macs.append(count_macs(reference, source.shape))
    return Slimmable(net, settings.ratios, widths_for(net, source.shape, macs))


def _save_dense(model: Supernet, path: Path) -> None:
    """Write the weights of a dense network under the names that it has without levels."""
    names = {
        name.removeprefix("net.").replace(".by_level.0.", "."): value
        for name, value in model.state_dict().items()
    }
    with replacing(path) as file:
        torch.save(names, file)


def _judge(outcome: Outcome, stem: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Export and return what the executor says of every level, and of mixed plans."""
    batches = list(make_source(outcome.settings).held_out_batches())
    images = torch.cat([part for part, _ in batches])
    labels = torch.cat([part for _, part in batches])
    scratch = stem.with_name(f"{stem.name}.npz")
    levels, mixed = [], []
    for part, path in _exported(outcome, stem):
        found = accuracy(path, images, labels, scratch, MIXED_PLANS)
        speed = bench(path, "--threads", "1", "--seconds", str(LATENCY_SECONDS))
        mixed += found["mixed"]
        for index, level in enumerate(part):
            timed = speed["results"][0]["levels"][index]
            levels.append(
                {
                    "ratio": outcome.model.ratios[level],
                    "accuracy": found["accuracy"][index],
                    "accuracy_torch": outcome.accuracy[level],
                    "macs": timed["macs"],
                    "latency_ms": timed["latency_ms"]["median"],
                }
            )
    return levels, mixed


def _exported(outcome: Outcome, stem: Path) -> list[tuple[list[int], Path]]:
    """Write model files and return which levels each holds: one of all, or one for each width."""
    model = outcome.model
    if not isinstance(model, Slimmable):
        path = stem.with_name(f"{stem.name}.aio")
        export_outcome(outcome, path)
        return [(list(range(len(model.ratios))), path)]
    files = []
    for level in range(len(model.ratios)):
        path = stem.with_name(f"{stem.name}-level{level}.aio")
        settings = dataclasses.replace(outcome.settings, ratios=(0.0,))
        narrow = AllInOne(model.at(level), (0.0,)).eval()
        export_outcome(Outcome(narrow, settings, [outcome.accuracy[level]], 0), path)
        files.append(([level], path))
    return files


def _model_files(stem: Path, levels: list[dict[str, Any]]) -> list[Path]:
    candidates = [f"{stem.name}.aio", *(f"{stem.name}-level{i}.aio" for i in range(len(levels)))]
    return [path for name in candidates if (path := stem.with_name(name)).exists()]
