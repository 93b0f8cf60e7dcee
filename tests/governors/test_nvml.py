# SPDX-License-Identifier: Apache-2.0
"""NVML: metrics that are supported or not, Jetsons that support none, forks, GPUs that are lost.

The library is an object with pynvml's functions; its error class is the real one.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from aio.governors.base import GpuSample, SensorError, SensorUnsupported, Status
from aio.governors.drivers import nvml as module
from aio.governors.drivers.nvml import METRICS, NvmlDriver, decode_reasons

pynvml = importlib.import_module("pynvml")  # it has no type information
NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
QUERIES = {function for metric in METRICS for function in metric.functions}


class FakeNvml:
    """pynvml with GPUs that answer from `values`; an int there is an error code to raise."""

    NVMLError: type[Exception] = pynvml.NVMLError

    def __init__(self, gpus: int = 1) -> None:
        self.gpus = gpus
        self.started_in: int | None = None
        self.starts = 0
        self.stops = 0
        self.calls: list[str] = []
        self.errors: dict[str, int] = {}
        self.absent: set[str] = set()
        self.values: dict[str, object] = {
            "nvmlDeviceGetClockInfo": 1410,
            "nvmlDeviceGetMaxClockInfo": 1980,
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=37, memory=5),
            "nvmlDeviceGetPowerUsage": 68_500,
            "nvmlDeviceGetTemperatureV": 64,
            "nvmlDeviceGetTemperature": 63,
            "nvmlDeviceGetCurrentClocksEventReasons": 0x4 | 0x40,
            "nvmlDeviceGetCurrentClocksThrottleReasons": 0x1,
        }

    def nvmlInit(self) -> None:
        self._raise("nvmlInit")
        self.started_in = os.getpid()
        self.starts += 1

    def nvmlShutdown(self) -> None:
        self.stops += 1
        self._raise("nvmlShutdown")

    def nvmlDeviceGetCount(self) -> int:
        self._raise("nvmlDeviceGetCount")
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:
        return b"NVIDIA A10" if handle else "NVIDIA A10"

    def __getattr__(self, name: str) -> Callable[..., object]:
        if name not in QUERIES or name in self.absent:
            raise AttributeError(name)

        def query(handle: int, *arguments: int) -> object:
            self.calls.append(name)
            # State that a fork carried over is worth nothing, as with the real library.
            if self.started_in != os.getpid():
                raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
            self._raise(name)
            return self.values[name]

        return query

    def _raise(self, name: str) -> None:
        if name in self.errors:
            raise pynvml.NVMLError(self.errors[name])


@pytest.fixture
def nvml() -> FakeNvml:
    return FakeNvml()


@pytest.fixture
def driver(nvml: FakeNvml) -> NvmlDriver:
    return NvmlDriver(lambda: nvml)


def test_all_metrics(driver: NvmlDriver) -> None:
    assert driver.probe().reason == "0: NVIDIA A10"
    assert driver.read() == (
        GpuSample(
            device="0: NVIDIA A10",
            driver="nvml",
            cur_freq_khz=1_410_000,
            max_freq_khz=1_980_000,
            load=0.37,
            power_mw=68_500,
            temperature_mc=64_000,
            throttle_reasons=("software power cap", "hardware thermal slowdown"),
        ),
    )


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_that_is_not_supported(nvml: FakeNvml, driver: NvmlDriver, metric: object) -> None:
    assert isinstance(metric, module.Metric)
    fields = {
        "clock": "cur_freq_khz",
        "top clock": "max_freq_khz",
        "utilisation": "load",
        "power": "power_mw",
        "temperature": "temperature_mc",
        "throttle reasons": "throttle_reasons",
    }
    nvml.errors = dict.fromkeys(metric.functions, NOT_SUPPORTED)
    capability = driver.probe()
    assert capability.status is Status.VALUE
    assert capability.reason == f"0: NVIDIA A10, without {metric.name} (not supported)"
    (gpu,) = driver.read()
    missing = [name for name in fields.values() if getattr(gpu, name) is None]
    assert missing == [fields[metric.name]]
    asked = len([name for name in nvml.calls if name in metric.functions])
    driver.read()
    assert len([name for name in nvml.calls if name in metric.functions]) == asked


def test_a_jetson_starts_and_supports_nothing(nvml: FakeNvml, driver: NvmlDriver) -> None:
    nvml.errors = dict.fromkeys(QUERIES, NOT_SUPPORTED)
    capability = driver.probe()
    assert capability.status is Status.UNSUPPORTED
    assert capability.reason.startswith("NVML runs, but 0: NVIDIA A10 supports no query: clock (")
    assert nvml.stops == nvml.starts


def test_a_top_clock_alone_is_nothing_to_watch(nvml: FakeNvml, driver: NvmlDriver) -> None:
    nvml.errors = dict.fromkeys(QUERIES - {"nvmlDeviceGetMaxClockInfo"}, NOT_SUPPORTED)
    assert driver.probe().status is Status.UNSUPPORTED


def test_older_names(nvml: FakeNvml, driver: NvmlDriver) -> None:
    nvml.absent = {"nvmlDeviceGetTemperatureV"}
    nvml.errors = {"nvmlDeviceGetCurrentClocksEventReasons": pynvml.NVML_ERROR_FUNCTION_NOT_FOUND}
    (gpu,) = driver.read()
    assert (gpu.temperature_mc, gpu.throttle_reasons) == (63_000, ())
    assert driver.probe().reason == "0: NVIDIA A10"


def test_no_name_at_all(nvml: FakeNvml, driver: NvmlDriver) -> None:
    nvml.absent = {"nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature"}
    assert driver.probe().reason.endswith(
        "without temperature (this nvidia-ml-py has no nvmlDeviceGetTemperature)"
    )


def test_several_gpus(nvml: FakeNvml, driver: NvmlDriver) -> None:
    nvml.gpus = 2
    assert [gpu.device for gpu in driver.read()] == ["0: NVIDIA A10", "1: NVIDIA A10"]


def test_no_gpu(nvml: FakeNvml, driver: NvmlDriver) -> None:
    nvml.gpus = 0
    capability = driver.probe()
    assert (capability.status, capability.reason) == (
        Status.UNSUPPORTED,
        "NVML runs and finds no GPU",
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "driver not loaded"),
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "nvml shared library not found"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "rm has detected an nvml/rm version mismatch."),
    ],
)
def test_it_does_not_start(nvml: FakeNvml, driver: NvmlDriver, code: int, words: str) -> None:
    nvml.errors = {"nvmlInit": code}
    capability = driver.probe()
    assert (capability.status, capability.reason) == (
        Status.UNSUPPORTED,
        f"NVML does not start: {words}",
    )


def test_the_count_fails(nvml: FakeNvml, driver: NvmlDriver) -> None:
    nvml.errors = {"nvmlDeviceGetCount": pynvml.NVML_ERROR_UNKNOWN}
    capability = driver.probe()
    assert (capability.status, capability.reason) == (Status.ERROR, "NVML: unknown error")


def test_a_metric_that_fails_now_and_then(nvml: FakeNvml, driver: NvmlDriver) -> None:
    driver.read()
    nvml.errors = {"nvmlDeviceGetPowerUsage": pynvml.NVML_ERROR_TIMEOUT}
    assert driver.read()[0].power_mw is None
    nvml.errors = {}
    assert driver.read()[0].power_mw == 68_500


def test_a_metric_that_fails_at_first_is_asked_again(nvml: FakeNvml, driver: NvmlDriver) -> None:
    nvml.errors = {"nvmlDeviceGetPowerUsage": pynvml.NVML_ERROR_TIMEOUT}
    assert driver.probe().reason == "0: NVIDIA A10"
    assert driver.read()[0].power_mw is None
    nvml.errors = {}
    assert driver.read()[0].power_mw == 68_500


def test_forbidden_metric(nvml: FakeNvml, driver: NvmlDriver) -> None:
    nvml.errors = {"nvmlDeviceGetPowerUsage": pynvml.NVML_ERROR_NO_PERMISSION}
    assert driver.probe().reason.endswith("without power (insufficient permissions)")


def test_error_codes_are_those_of_pynvml() -> None:
    names = [name for name in vars(module) if name.startswith("ERROR_")]
    assert len(names) == 5
    assert {getattr(pynvml, f"NVML_{name}") for name in names} == {
        getattr(module, name) for name in names
    }
    assert pynvml.NVML_CLOCK_GRAPHICS == module.CLOCK_GRAPHICS
    assert pynvml.NVML_TEMPERATURE_GPU == module.TEMPERATURE_GPU


def test_a_lost_gpu_is_looked_for_again(nvml: FakeNvml, driver: NvmlDriver) -> None:
    driver.read()
    nvml.errors = {
        "nvmlDeviceGetClockInfo": pynvml.NVML_ERROR_GPU_IS_LOST,
        "nvmlShutdown": pynvml.NVML_ERROR_UNINITIALIZED,
    }
    with pytest.raises(SensorError, match="NVML: gpu is lost"):
        driver.read()
    nvml.errors = {}
    assert driver.read()[0].cur_freq_khz == 1_410_000
    assert nvml.starts == 2


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_after_a_fork_the_child_starts_its_own(nvml: FakeNvml, driver: NvmlDriver) -> None:
    driver.read()
    child = os.fork()
    if child == 0:
        good = False
        try:
            good = driver.read()[0].cur_freq_khz == 1_410_000 and nvml.starts == 2
            good = good and nvml.started_in == os.getpid() and nvml.stops == 0
        finally:
            os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert nvml.starts == 1
    assert driver.read()[0].cur_freq_khz == 1_410_000


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_does_not_stop_what_its_parent_started(nvml: FakeNvml, driver: NvmlDriver) -> None:
    driver.read()
    child = os.fork()
    if child == 0:
        driver.close()
        os._exit(0 if nvml.stops == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_closed(nvml: FakeNvml, driver: NvmlDriver) -> None:
    driver.read()
    driver.close()
    driver.close()
    assert (nvml.starts, nvml.stops) == (1, 1)
    with pytest.raises(SensorError, match="closed"):
        driver.read()


def test_every_reason_has_a_word() -> None:
    assert decode_reasons(0) == decode_reasons(1) == ()
    known = pynvml.nvmlClocksEventReasonAll
    words = decode_reasons(known)
    assert len(words) == bin(known).count("1") - 1
    assert not [word for word in words if "unknown" in word]
    assert decode_reasons(0x20 | 0x800) == ("software thermal slowdown", "unknown reason 0x800")


def test_without_a_driver_pynvml_is_not_even_imported() -> None:
    code = (
        "import sys; from aio.governors.drivers import nvml; nvml.LIBRARY = 'libnone.so.1'; "
        "c = nvml.NvmlDriver().probe(); print(c.status.value, c.reason, 'pynvml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ("unsupported libnone.so.1 is not installed, so no NVIDIA driver False\n")


def test_the_real_module_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIBRARY", "libc.so.6")
    assert module.load_pynvml().NVMLError is pynvml.NVMLError
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(SensorUnsupported, match="install nvidia-ml-py"):
        module.load_pynvml()
