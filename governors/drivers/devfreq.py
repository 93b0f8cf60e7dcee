# SPDX-License-Identifier: Apache-2.0
"""GPU clock through devfreq (Jetson, Mali, Adreno), and through kgsl where that is all there is.

devfreq gives Hz. Its class also holds memory buses, video engines and NPUs, so a GPU is told by
its name: Tegra's are called after the chip (`17000000.gv11b`) or `gpu`, Mali's end in `.gpu` or
`.mali`, Adreno's contain `kgsl`. A GPU that is powered down reads 0, which is no clock: None.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aio.governors.base import GPU_CLOCK, Capability, GpuSample, SensorError, SensorUnsupported
from aio.governors.drivers.probing import probe_by_reading
from aio.governors.parsing import (
    parse_busy,
    parse_hz,
    parse_hz_list,
    parse_load,
    parse_percent,
    parse_word,
)

if TYPE_CHECKING:
    from aio.governors.sysfs import HotFile, Sysfs

SCAN_PERIOD_NS = 5_000_000_000  # GPUs seldom come and go; a failed reading scans at once

KGSL = "class/kgsl/kgsl-3d0"  # Adreno's own folder; Android names its only GPU so
_TEGRA_NAMES = ("gp10b", "gv11b", "ga10b", "gb10b")
_GPU_WORDS = ("gpu", "mali", "kgsl")
# Adreno's and Tegra's other nodes: memory bandwidth votes, bus monitors, the video engine.
_OTHER_WORDS = ("bw", "bus", "nvd", "mem")


class GpuNode:
    """One GPU: its folder, the file of its clock and where its load stands."""

    def __init__(self, sysfs: Sysfs, folder: Path, clock: str = "cur_freq") -> None:
        self.folder = folder
        self._sysfs = sysfs
        self._clock = sysfs.hot(folder / clock)
        self._load, self._parse_load = self._find_load()
        self.max_khz = self._find_max_khz()

    def read(self, driver: str) -> GpuSample:
        """Return a sample; the clock is None while the GPU is powered down.

        Raises:
            SensorError: the clock can't be read or is none.
        """
        text = self._clock.read_required()
        khz = parse_hz(text)
        if khz is None and text.strip() != "0":
            raise SensorError(f"{self._clock.path}: {text.strip()[:24]!r} is no frequency in Hz")
        load = None if self._load is None else self._parse_load(self._load.read_optional())
        return GpuSample(self.folder.name, driver, khz, self.max_khz, load)

    def close(self) -> None:
        """Free the descriptors."""
        self._clock.close()
        if self._load is not None:
            self._load.close()

    def _find_load(self) -> tuple[HotFile | None, Callable[[str | None], float | None]]:
        candidates = (
            (self.folder / "load", parse_load),  # Mali: percent@Hz
            (self.folder / "device/load", parse_load),  # Tegra: tenths of a percent
            (
                self._sysfs.sys / KGSL / "gpubusy",
                parse_busy if "kgsl" in self.folder.name else None,
            ),
            (self.folder / "device/utilisation", parse_percent),  # Mali's vendor driver
        )
        for path, parse in candidates:
            if parse is not None and self._sysfs.read_optional(path) is not None:
                return self._sysfs.hot(path), parse
        return None, parse_load

    def _find_max_khz(self) -> int | None:
        listed = self._text("available_frequencies") or self._text("gpu_available_frequencies")
        if khz := parse_hz_list(listed):
            return khz[-1]
        # Not the range of the hardware but the limit in force; there is nothing better.
        return parse_hz(self._text("max_freq") or self._text("max_gpuclk"))

    def _text(self, name: str) -> str | None:
        return self._sysfs.read_optional(self.folder / name)


class DevfreqDriver:
    """Every GPU that devfreq or kgsl shows."""

    name = "devfreq"

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._nodes: list[GpuNode] = []
        self._next_scan_ns = 0
        self._closed = False

    def probe(self) -> Capability:
        """Say which GPUs there are."""
        return probe_by_reading(self.name, GPU_CLOCK, self.read, _describe)

    def read(self) -> tuple[GpuSample, ...]:
        """Return a sample per GPU, leaving out one that fails while others answer.

        Raises:
            SensorError: there is no GPU, or none answers.
        """
        if self._closed:
            raise SensorError("the driver is closed")
        now_ns = time.monotonic_ns()
        if now_ns >= self._next_scan_ns:
            self._scan(now_ns)
        samples, errors = self._read_all()
        if errors:
            self._scan(now_ns)
            samples, errors = self._read_all()
        if not samples:
            raise errors[0] if errors else SensorUnsupported(self._absence())
        return tuple(samples)

    def close(self) -> None:
        """Free all descriptors."""
        self._closed = True
        self._forget()

    def _read_all(self) -> tuple[list[GpuSample], list[SensorError]]:
        samples: list[GpuSample] = []
        errors: list[SensorError] = []
        for node in self._nodes:
            try:
                samples.append(node.read(self.name))
            except SensorError as error:  # noqa: PERF203
                errors.append(error)
        return samples, errors

    def _scan(self, now_ns: int) -> None:
        self._forget()
        self._nodes = list(_find_gpus(self._sysfs))
        self._next_scan_ns = now_ns + SCAN_PERIOD_NS

    def _forget(self) -> None:
        for node in self._nodes:
            node.close()
        self._nodes = []

    def _absence(self) -> str:
        names = self._sysfs.list_optional(self._sysfs.sys / "class/devfreq")
        if names:
            return f"no GPU among the devfreq devices {', '.join(names[:8])}"
        return f"{self._sysfs.sys / 'class/devfreq'} has no device"


def _find_gpus(sysfs: Sysfs) -> Iterator[GpuNode]:
    """Yield the GPUs of the first place that has any; they show up in several."""
    places = (
        sysfs.sys / "class/devfreq",
        sysfs.sys / "class/misc/mali0/device/devfreq",
        sysfs.sys / "devices/gpu.0/devfreq",
    )
    for place in places:
        gpus = [n for n in sysfs.list_optional(place) if _is_gpu(sysfs, place / n)]
        if gpus:
            yield from (GpuNode(sysfs, place / name) for name in gpus)
            return
    # Android's rules often hide the class but not this folder.
    if sysfs.read_optional(sysfs.sys / KGSL / "gpuclk") is not None:
        yield GpuNode(sysfs, sysfs.sys / KGSL, "gpuclk")


def _is_gpu(sysfs: Sysfs, folder: Path) -> bool:
    tree_name = parse_word((sysfs.read_optional(folder / "device/of_node/name") or "").rstrip("\0"))
    names = [folder.name.lower(), (tree_name or "").lower()]
    if any(word in name for name in names for word in _OTHER_WORDS):
        return False
    return any(word in name for name in names for word in (*_GPU_WORDS, *_TEGRA_NAMES))


def _describe(samples: tuple[GpuSample, ...]) -> str:
    return "; ".join(
        f"{gpu.device}: "
        + ("powered down" if gpu.cur_freq_khz is None else f"{gpu.cur_freq_khz / 1000:.0f} MHz")
        + ("" if gpu.max_freq_khz is None else f" of {gpu.max_freq_khz / 1000:.0f} MHz")
        for gpu in samples
    )
