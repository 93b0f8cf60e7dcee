# SPDX-License-Identifier: Apache-2.0
"""A device emulated in real time: thieves for the speed, a sysfs tree for those who look.

The same simulated device as in virtual time decides the clock; here its time is the real one,
and its load that of a program. Everything is emulated but the time.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from typing_extensions import Self

from aio.governors.devices import Device, DeviceTree, load_device, write_tree
from aio.governors.devices.tree import CpuState
from aio.governors.emulation.realtime.load import ProgramLoad
from aio.governors.emulation.realtime.roots import temporary_root
from aio.governors.emulation.realtime.selfcheck import CheckedPoint, calibrate, check_speeds
from aio.governors.emulation.realtime.thieves import PERIOD_US, ClockThieves
from aio.governors.emulation.trace import Change, Trace, load_trace
from aio.governors.emulation.virtual import VirtualDevice

if TYPE_CHECKING:
    from aio.governors.base import DeviceSample

log = logging.getLogger(__name__)

STEP_S = 0.004  # the tick of the kernel that is emulated
LONGEST_WAIT_S = 0.1
MAX_CHECKED = 8
MARKER = "emulated"


class RealtimeEmulation:
    """An emulated device, as long as the context is entered. Enter it in the main thread.

    Args:
        device: the board, or its name.
        governor: name of the cpufreq governor; by default userspace where the trace sets speeds,
            else that of the board.
        trace: what happens and when, or the name or path of a trace.
        cpus: the CPUs of this machine that are slowed down; by default all this process may use.
        period_us: how often time is taken away.
        check: measure the speeds in use first, see `checked`.
        folder: where the tree is written; by default $TMPDIR, else in memory.

    Attributes:
        root: the tree, for AIO_SYSFS_ROOT.
        checked: the speeds that were measured before the start.
        cost_ns: what an interruption costs programs, as measured at the start.
        failed: why the emulation stopped, None while it works.

    Raises:
        ValueError: an argument is out of range, or needs what only virtual time can do.
    """

    def __init__(
        self,
        device: Device | str,
        *,
        governor: str | None = None,
        trace: Trace | str | Path | None = None,
        cpus: Iterable[int] | None = None,
        period_us: int = PERIOD_US,
        check: bool = False,
        folder: Path | None = None,
    ) -> None:
        self.device = load_device(device) if isinstance(device, str) else device
        self.trace = load_trace(trace) if isinstance(trace, str | Path) else trace
        if self.trace is not None and self.trace.sets_quota:
            raise ValueError(
                f"trace {self.trace.name} limits the CPU bandwidth, which thieves can't do in real "
                "time: use a control group, such as docker run --cpus"
            )
        self._virtual = VirtualDevice(self.device, governor=governor, trace=self.trace)
        chosen = os.sched_getaffinity(os.getpid()) if cpus is None else cpus
        self._thieves = ClockThieves(chosen, period_us)
        self._check, self._folder = check, folder
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._driver = threading.Thread(target=self._drive, name="aio-emulation", daemon=True)
        self._tree: DeviceTree | None = None
        self._load: ProgramLoad | None = None
        self._stepped_ns = self._stolen_ns = 0
        self._clamped = False
        self._state: tuple[object, ...] = ()
        self.checked: tuple[CheckedPoint, ...] = ()
        self.cost_ns = 0
        self.failed: str | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            root = stack.enter_context(temporary_root(self._folder))
            (root / MARKER).write_text(f"{self.label}\n", encoding="utf-8")
            self._tree = write_tree(root, self.device, self.cpus)
            stack.enter_context(self._thieves)
            self.cost_ns = calibrate(self._thieves)
            if self._check:
                self.checked = check_speeds(self._thieves, self.speeds())
            self._stepped_ns = time.monotonic_ns()
            self._stolen_ns = self._thieves.stolen_ns()
            self._apply()
            self._start_driver(stack)
            self.watch(os.getpid())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        self._tree = None

    @property
    def root(self) -> Path:
        """Return the tree that shows the emulated clocks."""
        return self._entered().root

    @property
    def cpus(self) -> tuple[int, ...]:
        """Return the CPUs of this machine that are slowed down."""
        return self._thieves.cpus

    @property
    def label(self) -> str:
        """Return what is emulated, in words that say so."""
        parts = [f"emulated {self.device.name}", f"governor {self._virtual.governor}"]
        if self.trace is not None:
            parts.append(f"trace {self.trace.name}")
        cpus = ",".join(map(str, self.cpus))
        return ", ".join([*parts, f"CPUs {cpus}", f"period {self._thieves.period_us} us"])

    @property
    def speed(self) -> float:
        """Return the real speed of now, as a fraction of the highest clock."""
        return max(self._fraction(), self._thieves.min_speed)

    def set_fraction(self, fraction: float, *, visible: bool = True) -> None:
        """Set the clock, under the governor userspace.

        Args:
            fraction: of the highest clock; visible, it becomes the operating point below.
            visible: whether the tree shows it; if not, it is a cap that no file shows, which the
                next visible change lifts.

        Raises:
            ValueError: it is not from 0 to 1, or the governor is another one.
        """
        if not 0.0 < fraction <= 1.0:
            raise ValueError(f"a fraction of {fraction}: expected more than 0, at most 1")
        with self._lock:
            self._pass_time()
            if visible:
                self._virtual.set_speed(fraction)
            self._virtual.apply(Change(hidden_cap=math.inf if visible else fraction))
            self._apply()

    def set_governor(self, name: str) -> None:
        """Have another cpufreq governor rule, as writing scaling_governor does.

        Raises:
            ValueError: the kernel of the board does not have it.
        """
        if name not in self.device.governors:
            known = ", ".join(self.device.governors)
            raise ValueError(f"governor {name!r}: {self.device.name} has {known}")
        with self._lock:
            self._pass_time()
            self._virtual.apply(Change(governor=name))
            self._apply()
        (self.root / MARKER).write_text(f"{self.label}\n", encoding="utf-8")

    def watch(self, pid: int) -> None:
        """Let the governor see the load of a process and its descendants; before, of this one."""
        ours = (*self._thieves.pids, self._driver.native_id or 0)
        self._load = ProgramLoad(pid, ours)

    def speeds(self) -> tuple[float, ...]:
        """Return the speeds that governor and trace may use, or some of many, fastest first."""
        clocks = sorted(self._clocks_khz(), reverse=True)
        if len(clocks) > MAX_CHECKED:
            step = (len(clocks) - 1) / (MAX_CHECKED - 1)
            clocks = [clocks[round(k * step)] for k in range(MAX_CHECKED)]
        speeds = {khz / self._virtual.hardware.max_khz for khz in clocks}
        speeds.update(self.trace.hidden_caps() if self.trace else ())
        possible = {max(speed, self._thieves.min_speed) for speed in speeds}
        return tuple(sorted(possible, reverse=True))

    def _clocks_khz(self) -> set[int]:
        """Return the operating points in use, all of them where the load decides or the caller."""
        hardware, governor = self._virtual.hardware, self._virtual.governor
        asked = {hardware.at_fraction(speed) for speed in self.trace.speeds()} if self.trace else ()
        if governor == "performance":
            return {hardware.max_khz, *asked}
        if governor == "powersave" and not self._virtual.samples_load:
            return {hardware.min_khz}
        return set(asked if asked and governor == "userspace" else hardware.freqs_khz)

    def _start_driver(self, stack: contextlib.ExitStack) -> None:
        # Signals are for the main thread; a new thread begins with the mask of its maker.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._driver.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        stack.callback(self._driver.join)
        stack.callback(self._stop.set)

    def _drive(self) -> None:
        while not self._stop.wait(self._wait_s()):
            with self._lock:
                try:
                    self._pass_time()
                    self._apply()
                except OSError as error:
                    self.failed = f"the tree can't be written: {error}"
                if not self._thieves.alive():
                    self.failed = "a clock thief was killed"
            if self.failed is not None:
                log.error("no longer emulated: %s", self.failed)
                return

    def _wait_s(self) -> float:
        """Return how long nothing needs to be done."""
        if self._virtual.samples_load:
            return STEP_S
        event_ns = self._virtual.next_event_ns
        if event_ns is None:
            return LONGEST_WAIT_S
        since_ns = time.monotonic_ns() - self._stepped_ns
        return min(max((event_ns - self._virtual.now_ns - since_ns) / 1e9, 0.0), LONGEST_WAIT_S)

    def _pass_time(self) -> None:
        """Let as much time pass for the simulated device as really did, as busy as it was."""
        now_ns, stolen_ns = time.monotonic_ns(), self._thieves.stolen_ns()
        elapsed_ns, taken_ns = now_ns - self._stepped_ns, stolen_ns - self._stolen_ns
        self._stepped_ns, self._stolen_ns = now_ns, stolen_ns
        load = 0.0
        if self._virtual.samples_load and self._load is not None:
            load = self._load.since_last(elapsed_ns, taken_ns)
        busy_ns = round(load * elapsed_ns)
        self._virtual.occupy(busy_ns)
        self._virtual.sleep(elapsed_ns - busy_ns)

    def _apply(self) -> None:
        """Make CPUs and tree say what the simulated device does."""
        fraction = self._fraction()
        if fraction < self._thieves.min_speed and not self._clamped:
            self._clamped = True
            log.warning(
                "an emulated speed of %.3f is below what can be done here: %.2f is used instead",
                fraction,
                self._thieves.min_speed,
            )
        self._thieves.set_speed(self.speed)
        state = self._virtual.visible_state
        if state != self._state:
            _show(self._entered(), self._virtual.sample(), self._virtual.offline_cpus)
            self._state = state

    def _fraction(self) -> float:
        return self._virtual.actual_khz / self._virtual.hardware.max_khz

    def _entered(self) -> DeviceTree:
        if self._tree is None:
            raise RuntimeError("the emulation is not running: use it as a context manager")
        return self._tree


def _show(tree: DeviceTree, sample: DeviceSample, offline: tuple[int, ...]) -> None:
    """Write what sensors show now; what did not change is not written again."""
    policy = sample.clock.policies[0]
    number = int(policy.name.removeprefix("policy"))
    members = tree.members[number]
    state = CpuState(
        cur_khz=sample.clock.cpu_khz or 0,
        max_khz=policy.scaling_max_freq_khz or 0,
        governor=policy.governor or "",
        online=tuple(cpu for cpu in members if cpu not in offline) or members[:1],
    )
    tree.set_cpu(number, state)
    if sample.thermal is not None:
        tree.set_cooling(sample.thermal.cooling[0].cur_state or 0)
    if sample.power is not None and sample.power.source is not None:
        tree.set_power(sample.power.source)
