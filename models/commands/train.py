# SPDX-License-Identifier: Apache-2.0
"""`aio train`: train a network at all of its pruning ratios and write the model file."""

import argparse
import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio.models.commands.progress import epoch_progress
from aio.models.commands.setting_options import add_setting_options, given_settings
from aio.models.commands.termination import exit_on_sigterm
from aio.models.errors import CheckpointError, ModelError, WorkerError
from aio.models.files import check_writable
from aio.models.recipes import RECIPES
from aio.models.settings import TrainSettings

if TYPE_CHECKING:
    from aio.models.distributed import Group
    from aio.models.trainer import EpochResult
    from aio.models.training import Outcome

HELP = "train a network at all of its pruning ratios and write the model file"
EXAMPLES = """\
examples:
  aio train --dataset digits                          make digits.aio, a few minutes on two cores
  aio train --dataset digits --ratios 0,0.5,0.9       with levels of your own
  aio train --resume digits.aio.checkpoint            continue after Ctrl-C
  aio train --dataset digits --validation --seed 1    judge settings without the held-out set
  aio train --dataset cifar10 --data ~/cifar-10-batches-py --average 0.999
  aio train --dataset folder --data photos --network mobilenet_v2 --side 128
  aio train --dataset clutter --epochs 10 --evaluate study
  torchrun --nproc-per-node 2 -m aio.runtime.cli train --dataset clutter --parts 2 --auto-resume
"""

_CHECKPOINT = "checkpoint.pt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_setting_options(parser)
    add = parser.add_argument
    add("--output", type=Path, metavar="FILE", help="model file to write (DATASET.aio)")
    add("--checkpoint-dir", type=Path, metavar="DIR", help="for checkpoints (FILE.checkpoint)")
    add("--resume", type=Path, metavar="DIR", help="continue the run whose checkpoints are here")
    add(
        "--auto-resume",
        action="store_true",
        help="continue the run whose checkpoints are in --checkpoint-dir, or start it",
    )
    add("--log", type=Path, metavar="FILE.csv", help="write the losses of each epoch")
    add("--tensorboard", type=Path, metavar="DIR", help="the same for TensorBoard")
    add(
        "--example-request",
        type=Path,
        metavar="FILE",
        help="also write a request with one held-out digit, for curl",
    )
    add(
        "--evaluate",
        type=Path,
        metavar="DIR",
        help="compare with networks trained for one ratio each; `aio evaluate DIR` goes on with it",
    )
    add("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Train, print a table of accuracies, write the model file."""
    if args.evaluate is not None:
        from aio.models.commands import evaluate  # noqa: PLC0415

        return evaluate.run_for(args.evaluate, args)
    from aio.models.distributed import process_group  # noqa: PLC0415

    with process_group() as group:
        return _run(args, group)


def _run(args: argparse.Namespace, group: "Group") -> int:
    if args.auto_resume:
        _continue_if_begun(args)
    settings = _settings(args)
    output = args.output or Path(f"{settings.dataset}.aio")
    check_writable(output)
    if args.example_request is not None:
        check_writable(args.example_request)
    checkpoint = _checkpoint_file(args, output)
    started = time.monotonic()
    with _resumable(checkpoint, output, group):
        outcome = _train(settings, checkpoint, args, group)
        if group.rank != 0:
            return 0
        size_bytes = _export(outcome, output)
        if args.example_request is not None:
            from aio.models.example_request import write_example_request  # noqa: PLC0415

            write_example_request(output, args.example_request)
        checkpoint.unlink(missing_ok=True)
    _report(outcome, output, size_bytes, time.monotonic() - started, as_json=args.json)
    return 0


def _continue_if_begun(args: argparse.Namespace) -> None:
    """Let --auto-resume be --resume where there is a checkpoint."""
    if args.resume is not None:
        raise ModelError("--resume and --auto-resume say the same: name one")
    output = args.output or Path(f"{args.dataset}.aio")
    directory = args.checkpoint_dir or output.with_name(f"{output.name}.checkpoint")
    if (directory / _CHECKPOINT).exists():
        args.resume = args.checkpoint_dir = directory


def _settings(args: argparse.Namespace) -> TrainSettings:
    """Return the settings of the command line, or of the run to resume.

    Raises:
        ModelError: a value is out of range, or differs from that of the run to resume.
    """
    given = given_settings(args)
    if args.resume is None:
        if "dataset" not in given:
            raise ModelError(f"--dataset is missing, choose from: {', '.join(sorted(RECIPES))}")
        return TrainSettings(**given)
    from aio.models.checkpoint import load_checkpoint  # noqa: PLC0415

    if args.checkpoint_dir not in (None, args.resume):
        raise ModelError("--resume goes on in its own directory; leave --checkpoint-dir out")
    saved, _ = load_checkpoint(args.resume / _CHECKPOINT)
    wanted = dataclasses.replace(saved, **given)
    differences = wanted.differences(saved)
    if differences:
        raise CheckpointError(
            f"{args.resume} is of a run with other settings: {'; '.join(differences)}; "
            "leave these options out to continue it"
        )
    return saved


def _checkpoint_file(args: argparse.Namespace, output: Path) -> Path:
    if args.resume is not None:
        return Path(args.resume) / _CHECKPOINT
    directory = args.checkpoint_dir or output.with_name(f"{output.name}.checkpoint")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"the directory for checkpoints, {directory}, can't be made: {error.strerror}; "
            "choose another with --checkpoint-dir"
        ) from error
    file = Path(directory) / _CHECKPOINT
    if file.exists() and not args.auto_resume:
        raise FileExistsError(
            f"{directory} holds an unfinished run: continue it with --resume {directory}, "
            "or delete it to start anew"
        )
    check_writable(file)
    return file


@contextlib.contextmanager
def _resumable(checkpoint: Path, output: Path, group: "Group") -> Iterator[None]:
    """Say how to go on when the user, the system, a full disk or a lost process ends a run.

    No empty directory is left for checkpoints that were not made or are not needed any more.
    """
    try:
        # torchrun ends the processes that are left so, as containers and batch systems do.
        with exit_on_sigterm():
            yield
    except (KeyboardInterrupt, SystemExit, OSError, WorkerError):
        if group.rank == 0 and checkpoint.exists():
            again = f"aio train --resume {checkpoint.parent} --output {output}"
            if group.size > 1:
                again = f"the same torchrun command and --auto-resume, from {checkpoint}"
            print(f"aio train: interrupted; continue with: {again}", file=sys.stderr, flush=True)
        raise
    finally:
        with contextlib.suppress(OSError):
            checkpoint.parent.rmdir()


def _train(
    settings: TrainSettings, checkpoint: Path, args: argparse.Namespace, group: "Group"
) -> "Outcome":
    from aio.models.training import train  # noqa: PLC0415

    resume = args.resume is not None
    if group.rank != 0:
        return train(settings, checkpoint, resume=resume, group=group)
    from aio.models.run_log import RunLog  # noqa: PLC0415

    log = RunLog(args.log, args.tensorboard)
    with epoch_progress(settings.epochs) as show:

        def on_epoch(result: "EpochResult") -> None:
            log.add(result)
            show(result)

        return train(settings, checkpoint, resume=resume, on_epoch=on_epoch, group=group)


def _export(outcome: "Outcome", output: Path) -> int:
    from aio.models.training import export_outcome  # noqa: PLC0415

    return export_outcome(outcome, output)


def _report(
    outcome: "Outcome", output: Path, size_bytes: int, seconds: float, *, as_json: bool
) -> None:
    from aio.models.allinone import AllInOne  # noqa: PLC0415

    assert isinstance(outcome.model, AllInOne)
    kept = outcome.model.kept_weights()
    rows = list(zip(outcome.model.ratios, outcome.accuracy, kept, strict=True))
    if as_json:
        result: dict[str, Any] = {
            "output": str(output),
            "size_bytes": size_bytes,
            "held_out_images": outcome.held_out,
            "seconds": round(seconds, 1),
            "settings": outcome.settings.to_dict(),
            "levels": [
                {"ratio": ratio, "accuracy": accuracy, "kept_prunable_weights": weights}
                for ratio, accuracy, weights in rows
            ],
        }
        print(json.dumps(result, indent=2))
        return
    which = "validation" if outcome.settings.validation else "held-out"
    print(f"accuracy on {outcome.held_out} {which} images")
    print(f"{'level':>5} {'ratio':>6} {'accuracy':>9} {'kept weights':>13}")
    for level, (ratio, accuracy, weights) in enumerate(rows):
        print(f"{level:>5} {ratio:>6.2f} {accuracy:>9.2%} {weights:>13,}")
    print(f"{output}: {size_bytes:,} bytes, {seconds:.0f} s")
