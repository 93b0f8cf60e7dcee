# SPDX-License-Identifier: Apache-2.0
"""`aio train`: train a network at all of its pruning ratios and write the model file."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio.models.errors import CheckpointError, ModelError
from aio.models.files import check_writable
from aio.models.recipes import RECIPES, recipe
from aio.models.settings import DEFAULT_RATIOS, TrainSettings

if TYPE_CHECKING:
    from aio.models.trainer import EpochResult
    from aio.models.training import Outcome

HELP = "train a network at all of its pruning ratios and write the model file"
EXAMPLES = """\
examples:
  aio train --dataset digits                          make digits.aio, a few minutes on two cores
  aio train --dataset digits --ratios 0,0.5,0.9       with levels of your own
  aio train --resume digits.aio.checkpoint            continue after Ctrl-C
  aio train --dataset digits --validation --seed 1    judge settings without the held-out set
"""

_CHECKPOINT = "checkpoint.pt"
_SETTINGS = ("dataset", "epochs", "seed", "ratios", "validation", "threads")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    default = TrainSettings()
    ratios = ",".join(f"{ratio:g}" for ratio in DEFAULT_RATIOS)
    # Options that are settings have no default here, so that --resume can tell what was given.
    add = parser.add_argument
    add("--dataset", choices=sorted(RECIPES), help="what to train on")
    add("--output", type=Path, metavar="FILE", help="model file to write (DATASET.aio)")
    add("--epochs", type=int, help=f"passes over the training images ({default.epochs})")
    add("--seed", type=int, help=f"of all randomness ({default.seed})")
    add("--ratios", type=_ratios, metavar="R,R,...", help=f"pruning ratio per level ({ratios})")
    add("--threads", type=int, help=f"torch threads; they change the last bits ({default.threads})")
    add(
        "--validation",
        action="store_true",
        default=None,
        help="hold out a part of the training images and leave the held-out set alone",
    )
    add("--checkpoint-dir", type=Path, metavar="DIR", help="for checkpoints (FILE.checkpoint)")
    add("--resume", type=Path, metavar="DIR", help="continue the run whose checkpoints are here")
    add(
        "--example-request",
        type=Path,
        metavar="FILE",
        help="also write a request with one held-out digit, for curl",
    )
    add("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Train, print a table of accuracies, write the model file."""
    settings = _settings(args)
    output = args.output or Path(f"{settings.dataset}.aio")
    check_writable(output)
    if args.example_request is not None:
        check_writable(args.example_request)
    checkpoint = _checkpoint_file(args, output)
    started = time.monotonic()
    outcome = _train(settings, checkpoint, output, resume=args.resume is not None)
    size_bytes = _export(outcome, output)
    if args.example_request is not None:
        from aio.models.example_request import write_example_request  # noqa: PLC0415

        write_example_request(output, args.example_request)
    _remove(checkpoint)
    _report(outcome, output, size_bytes, time.monotonic() - started, as_json=args.json)
    return 0


def _ratios(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of numbers like 0,0.5,0.9"
        ) from None


def _settings(args: argparse.Namespace) -> TrainSettings:
    """Return the settings of the command line, or of the run to resume.

    Raises:
        ModelError: a value is out of range, or differs from that of the run to resume.
    """
    given = {name: getattr(args, name) for name in _SETTINGS if getattr(args, name) is not None}
    if args.resume is None:
        if "dataset" not in given:
            raise ModelError(f"--dataset is missing, choose from: {', '.join(sorted(RECIPES))}")
        return TrainSettings(**given)
    from aio.models.checkpoint import load_checkpoint  # noqa: PLC0415

    if args.checkpoint_dir not in (None, args.resume):
        raise ModelError("--resume goes on in its own directory; leave --checkpoint-dir out")
    saved, _ = load_checkpoint(args.resume / _CHECKPOINT)
    wanted = TrainSettings(**{**saved.to_dict(), "ratios": saved.ratios, **given})
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
    if file.exists():
        raise FileExistsError(
            f"{directory} holds an unfinished run: continue it with --resume {directory}, "
            "or delete it to start anew"
        )
    check_writable(file)
    return file


def _train(settings: TrainSettings, checkpoint: Path, output: Path, *, resume: bool) -> "Outcome":
    from aio.models.training import train  # noqa: PLC0415

    try:
        with _progress(settings) as on_epoch:
            return train(settings, checkpoint, resume=resume, on_epoch=on_epoch)
    except KeyboardInterrupt:
        if checkpoint.exists():
            print(
                "aio train: interrupted; continue with: "
                f"aio train --resume {checkpoint.parent} --output {output}",
                file=sys.stderr,
            )
        raise


@contextlib.contextmanager
def _progress(settings: TrainSettings) -> Iterator[Callable[["EpochResult"], None]]:
    """Show progress on stderr: a bar on a terminal, ten lines elsewhere."""
    from rich import progress  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (
        progress.TextColumn("epoch {task.completed}/{task.total}"),
        progress.BarColumn(),
        progress.TextColumn("loss {task.fields[loss]}"),
        progress.TimeRemainingColumn(),
    )
    every = max(1, settings.epochs // 10)
    with progress.Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=settings.epochs, loss="-")

        def on_epoch(result: "EpochResult") -> None:
            loss = f"{result.dense_loss:.3f} dense, {result.sparse_loss:.3f} sparsest"
            bar.update(task, completed=result.epoch, loss=loss)
            if not console.is_terminal and result.epoch % every == 0:
                line = f"epoch {result.epoch}/{settings.epochs}, loss {loss}"
                print(line, file=sys.stderr, flush=True)

        yield on_epoch


def _export(outcome: "Outcome", output: Path) -> int:
    import torch  # noqa: PLC0415

    from aio.models.export import export_model  # noqa: PLC0415
    from aio.models.training import provenance  # noqa: PLC0415

    settings = outcome.settings
    chosen = recipe(settings.dataset)
    source = chosen.make_source(settings.validation)
    images, _ = next(iter(source.held_out_batches()))
    return export_model(
        outcome.model,
        output,
        torch.as_tensor(images[:1]),
        name=settings.dataset,
        metrics={"accuracy": outcome.accuracy},
        input_names=(chosen.input_name,),
        output_names=(chosen.output_name,),
        labels=source.labels,
        provenance=provenance(settings),
    )


def _remove(checkpoint: Path) -> None:
    """Remove the checkpoint of a finished run, and its directory when nothing else is in it."""
    checkpoint.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        checkpoint.parent.rmdir()


def _report(
    outcome: "Outcome", output: Path, size_bytes: int, seconds: float, *, as_json: bool
) -> None:
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
