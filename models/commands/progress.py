# SPDX-License-Identifier: Apache-2.0
"""Progress of training on standard error."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio.models.trainer import EpochResult


@contextlib.contextmanager
def epoch_progress(epochs: int) -> Iterator[Callable[["EpochResult"], None]]:
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
    every = max(1, epochs // 10)
    with progress.Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=epochs, loss="-")

        def on_epoch(result: "EpochResult") -> None:
            loss = f"{result.dense_loss:.3f} dense, {result.sparse_loss:.3f} sparsest"
            bar.update(task, completed=result.epoch, loss=loss)
            if not console.is_terminal and result.epoch % every == 0:
                line = f"epoch {result.epoch}/{epochs}, loss {loss}"
                print(line, file=sys.stderr, flush=True)

        yield on_epoch
