# SPDX-License-Identifier: Apache-2.0
"""NVIDIA GPUs through NVML; the only file that imports pynvml (the package nvidia-ml-py).

NVML answers per metric, not per library: on a Jetson it starts, counts one GPU and then supports
no query at all. So every metric is tried once per GPU, those that are not supported are left out
with a reason, and a GPU without any counts as absent. NVML's state does not survive a fork, so it
is started in the process that reads, and again in a child.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import os
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

from aio.governors.base import GPU_CLOCK, Capability, GpuSample, SensorError, SensorUnsupported
from aio.governors.drivers.probing import probe_by_reading

LIBRARY = "libnvidia-ml.so.1"

# Bits of nvmlDeviceGetCurrentClocksEventReasons. Bit 0, idle, is no throttling: nothing runs.
REASONS = (
    (0x2, "application clocks"),
    (0x4, "software power cap"),
    (0x8, "hardware slowdown"),
    (0x10, "sync boost"),
    (0x20, "software thermal slowdown"),
    (0x40, "hardware thermal slowdown"),
    (0x80, "power brake"),
    (0x100, "display clocks"),
)

# nvml.h: numbers that no release changes.
CLOCK_GRAPHICS = 0
TEMPERATURE_GPU = 0
ERROR_UNINITIALIZED = 1
ERROR_NOT_SUPPORTED = 3
ERROR_NO_PERMISSION = 4
ERROR_FUNCTION_NOT_FOUND = 13
ERROR_GPU_IS_LOST = 15
# What no later try will change.
_NEVER = {ERROR_NOT_SUPPORTED, ERROR_NO_PERMISSION, ERROR_FUNCTION_NOT_FOUND}


class Nvml(Protocol):
    """The part of pynvml that every release has; METRICS names the rest."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> object:
        """Start the library."""

    def nvmlShutdown(self) -> object:
        """Stop it."""

    def nvmlDeviceGetCount(self) -> int:
        """Return the number of GPUs."""

    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> Any:
        """Return what stands for a GPU."""

    def nvmlDeviceGetName(self, handle: Any, /) -> str | bytes:
        """Return its name."""


class Metric(NamedTuple):
    """A quantity and the functions that give it, new name first; releases differ."""

    name: str
    functions: tuple[str, ...]
    arguments: tuple[int, ...] = ()


METRICS = (
    Metric("clock", ("nvmlDeviceGetClockInfo",), (CLOCK_GRAPHICS,)),
    Metric("top clock", ("nvmlDeviceGetMaxClockInfo",), (CLOCK_GRAPHICS,)),
    Metric("utilisation", ("nvmlDeviceGetUtilizationRates",)),
    Metric("power", ("nvmlDeviceGetPowerUsage",)),
    Metric(
        "temperature", ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature"), (TEMPERATURE_GPU,)
    ),
    Metric(
        "throttle reasons",
        ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"),
    ),
)


def load_pynvml() -> Nvml:
    """Return pynvml.

    Raises:
        SensorUnsupported: there is no NVIDIA driver, or no nvidia-ml-py.
    """
    try:
        # Asked first because importing pynvml takes 40 ms, in vain on most machines.
        ctypes.CDLL(LIBRARY)
    except OSError:
        raise SensorUnsupported(f"{LIBRARY} is not installed, so no NVIDIA driver") from None
    try:
        return cast("Nvml", importlib.import_module("pynvml"))
    except ImportError as error:
        raise SensorUnsupported(f"{error}: install nvidia-ml-py") from error


class NvmlGpu:
    """One GPU: its handle and the metrics that it supports."""

    def __init__(self, nvml: Nvml, index: int) -> None:
        self._nvml = nvml
        self._handle = nvml.nvmlDeviceGetHandleByIndex(index)
        name = nvml.nvmlDeviceGetName(self._handle)
        self.name = f"{index}: {name.decode() if isinstance(name, bytes) else name}"
        self.missing: dict[str, str] = {}
        self._calls: dict[str, Callable[[], Any]] = {}
        for metric in METRICS:
            self._try(metric)

    @property
    def answers(self) -> bool:
        """Return whether anything about the GPU's state can be read."""
        return bool(self._calls.keys() - {"top clock"})

    def read(self, driver: str) -> GpuSample:
        """Return a sample; what is not supported or fails now is None."""
        clock_mhz = self._value("clock")
        top_mhz = self._value("top clock")
        load = self._value("utilisation")
        celsius = self._value("temperature")
        bits = self._value("throttle reasons")
        return GpuSample(
            device=self.name,
            driver=driver,
            cur_freq_khz=clock_mhz * 1000 if clock_mhz else None,
            max_freq_khz=top_mhz * 1000 if top_mhz else None,
            load=None if load is None else load.gpu / 100,
            power_mw=self._value("power"),
            temperature_mc=None if celsius is None else celsius * 1000,
            throttle_reasons=None if bits is None else decode_reasons(bits),
        )

    def _try(self, metric: Metric) -> None:
        """Find the function that gives a metric, or why there is none."""
        for name in metric.functions:
            function = getattr(self._nvml, name, None)
            if function is None:
                self.missing[metric.name] = f"this nvidia-ml-py has no {name}"
                continue
            try:
                function(self._handle, *metric.arguments)
            except self._nvml.NVMLError as error:
                if _code(error) in _NEVER:
                    self.missing[metric.name] = str(error).lower()
                    continue
                # Supported, but not at this moment.
            self.missing.pop(metric.name, None)
            self._calls[metric.name] = functools.partial(function, self._handle, *metric.arguments)
            return

    def _value(self, name: str) -> Any:
        call = self._calls.get(name)
        if call is None:
            return None
        try:
            return call()
        except self._nvml.NVMLError as error:
            if _code(error) in {ERROR_UNINITIALIZED, ERROR_GPU_IS_LOST}:
                raise
            return None


class NvmlDriver:
    """Every NVIDIA GPU that answers.

    Args:
        load: returns pynvml, or raises SensorUnsupported.
    """

    name = "nvml"

    def __init__(self, load: Callable[[], Nvml] = load_pynvml) -> None:
        self._load = load
        self._nvml: Nvml | None = None
        self._gpus: list[NvmlGpu] = []
        self._pid = 0
        self._closed = False

    def probe(self) -> Capability:
        """Start NVML and say which GPUs answer, and which metrics they lack."""
        return probe_by_reading(self.name, GPU_CLOCK, self.read, lambda _: self._describe())

    def read(self) -> tuple[GpuSample, ...]:
        """Return a sample per GPU.

        Raises:
            SensorError: NVML doesn't start, or no GPU answers.
        """
        if self._closed:
            raise SensorError("the driver is closed")
        nvml = self._running()
        try:
            return tuple(gpu.read(self.name) for gpu in self._gpus)
        except nvml.NVMLError as error:
            self._stop()  # the next reading starts it anew
            raise SensorError(f"NVML: {str(error).lower()}") from error

    def close(self) -> None:
        """Stop NVML."""
        self._closed = True
        self._stop()

    def _running(self) -> Nvml:
        """Return NVML, started if it isn't in this process."""
        if self._nvml is not None and self._pid == os.getpid():
            return self._nvml
        # A child must not stop what its parent started; it begins anew.
        self._nvml, self._gpus = None, []
        nvml = self._load()
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            raise SensorUnsupported(f"NVML does not start: {str(error).lower()}") from error
        self._nvml, self._pid = nvml, os.getpid()
        try:
            found = [NvmlGpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError as error:
            self._stop()
            raise SensorError(f"NVML: {str(error).lower()}") from error
        self._gpus = [gpu for gpu in found if gpu.answers]
        if not self._gpus:
            self._stop()
            raise SensorUnsupported(_no_gpu(found))
        return nvml

    def _stop(self) -> None:
        nvml, self._nvml, self._gpus = self._nvml, None, []
        if nvml is not None and self._pid == os.getpid():
            with contextlib.suppress(nvml.NVMLError):  # it may not run any more
                nvml.nvmlShutdown()

    def _describe(self) -> str:
        return "; ".join(
            gpu.name + (f", without {_listed(gpu.missing)}" if gpu.missing else "")
            for gpu in self._gpus
        )


def decode_reasons(bits: int) -> tuple[str, ...]:
    """Return why the clock is held down, in words; a bit without a name by its number."""
    known = [word for bit, word in REASONS if bits & bit]
    rest = bits & ~(sum(bit for bit, _ in REASONS) | 1)
    return (*known, *([f"unknown reason {rest:#x}"] if rest else []))


def _no_gpu(found: list[NvmlGpu]) -> str:
    if not found:
        return "NVML runs and finds no GPU"
    return f"NVML runs, but {found[0].name} supports no query: {_listed(found[0].missing)}"


def _listed(missing: dict[str, str]) -> str:
    return ", ".join(f"{name} ({reason})" for name, reason in missing.items())


def _code(error: Exception) -> int | None:
    return getattr(error, "value", None)
