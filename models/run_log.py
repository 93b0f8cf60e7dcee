# SPDX-License-Identifier: Apache-2.0
"""The course of a run, a row per epoch: as CSV, and for TensorBoard where that is installed."""

import csv
import io
import time
from pathlib import Path

from aio.models.errors import ModelError
from aio.models.trainer import EpochResult

COLUMNS = ("epoch", "dense_loss", "sparse_loss", "seconds")


class RunLog:
    """Writes what every epoch gave.

    A run that goes on from a checkpoint replaces the rows of epochs that it runs again.

    Args:
        path: CSV file; None for none.
        tensorboard: folder of TensorBoard's event files; None for none.

    Raises:
        ModelError: TensorBoard is asked for and not installed.
    """

    def __init__(self, path: Path | None, tensorboard: Path | None = None) -> None:
        self._path = path
        self._started = time.monotonic()
        self._writer = None
        if tensorboard is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415
            except ImportError as error:
                raise ModelError(
                    "--tensorboard needs the package of that name: pip install tensorboard"
                ) from error
            self._writer = SummaryWriter(tensorboard)

    def add(self, result: EpochResult) -> None:
        """Write the row of an epoch."""
        seconds = time.monotonic() - self._started
        self._started = time.monotonic()
        if self._path is not None:
            rows = [row for row in _rows(self._path) if int(row[0]) < result.epoch]
            losses = [f"{result.dense_loss:.6g}", f"{result.sparse_loss:.6g}"]
            text = io.StringIO()
            table = [COLUMNS, *rows, (str(result.epoch), *losses, f"{seconds:.1f}")]
            csv.writer(text, lineterminator="\n").writerows(table)
            self._path.write_text(text.getvalue(), encoding="utf-8")
        if self._writer is not None:
            self._writer.add_scalar("loss/dense", result.dense_loss, result.epoch)
            self._writer.add_scalar("loss/sparsest", result.sparse_loss, result.epoch)
            self._writer.flush()


def _rows(path: Path) -> list[list[str]]:
    """Return the rows of epochs that a log holds already."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.reader(file) if len(row) == len(COLUMNS) and row[0].isdigit()]
