# SPDX-License-Identifier: Apache-2.0
"""Calibrate a model at every clock of a sweep, and keep that where Runtime.load finds it.

A calibration at load knows one clock and takes all time for cycles. Over a sweep the part that
does not follow the clock shows, so predictions at other clocks get better.
"""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import final

from aio.governors import default_threads, open_sensors
from aio.runtime import _native, calibration, calibration_cache
from aio.runtime.errors import AioError
from aio.runtime.latency_model import Observation, fit
from aio.runtime.loading import cache_key, timed_calls
from aio.runtime.lowering import build_executor
from aio.runtime.model_file import read_model_file


@final
class DeviceProfile:
    """Observations of a model over several clocks; a context manager that frees the sensors.

    Args:
        path: the model file.
        threads: how many compute; it is part of what the calibration is kept under.
        folder: where calibrations are kept.
    """

    def __init__(self, path: Path, threads: int | None, folder: Path) -> None:
        self._folder, self._stack = folder, ExitStack()
        self._model = read_model_file(path)
        count = default_threads().threads if threads is None else threads
        self._executor = build_executor(self._model, threads=count, isa=None)
        self._run_level, self._layer_times = timed_calls(self._model, self._executor)
        self._sensors = open_sensors(_native.measure_cpu_khz, threads=count)
        self._stack.callback(self._sensors.close)
        self._observations: list[Observation] = []

    def observe(self) -> None:
        """Measure every level at the clock of now."""
        self._observations += calibration.observe(
            self._run_level, self._executor.levels, lambda: self._sensors.read().clock
        )

    def store(self) -> Path:
        """Keep the calibration and return its file.

        Raises:
            AioError: nothing was observed, or it can't be written.
        """
        if not self._observations:
            raise AioError("no point was measured to its end: there is nothing to calibrate with")
        shares = calibration.layer_shares(self._layer_times, self._executor.levels)
        key = cache_key(self._model, self._executor, self._sensors.read().clock)
        if not calibration_cache.store(self._folder, key, fit(self._observations, shares)):
            raise AioError(
                f"the calibration can't be kept in {self._folder}: name another folder after "
                "--calibrate"
            )
        return self._folder / key.file_name

    def __enter__(self) -> "DeviceProfile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
