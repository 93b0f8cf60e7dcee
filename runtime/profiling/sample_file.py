# SPDX-License-Identifier: Apache-2.0
"""Samples as CSV, written turn by turn, so that a killed run leaves what it had."""

import csv
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import final

from aio.runtime.profiling.samples import Sample

COLUMNS = Sample._fields


@final
class SampleFile:
    """A CSV file with a column per field of Sample; what is not known is empty.

    A write that fails (a full disk) does not end the measurement: `error` keeps what happened, and
    nothing is written any more.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: OSError | None = None
        self.kept = 0  # samples
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._attempt([COLUMNS])

    def keep(self, samples: Sequence[Sample]) -> None:
        """Write samples, so that they are there even if the process is killed."""
        self.kept += len(samples)
        self._attempt([_row(sample) for sample in samples])

    def __enter__(self) -> "SampleFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        except OSError as problem:  # what a full disk did not take is still in the buffer
            self.error = self.error or problem

    def _attempt(self, rows: Sequence[Sequence[object]]) -> None:
        if self.error is not None:
            return
        try:
            self._writer.writerows(rows)
            self._file.flush()
        except OSError as error:
            self.error = error


def _row(sample: Sample) -> list[object]:
    row: list[object] = list(sample)
    levels = COLUMNS.index("levels")
    row[levels] = None if sample.levels is None else " ".join(map(str, sample.levels))
    return row
