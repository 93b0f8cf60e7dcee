# SPDX-License-Identifier: Apache-2.0
"""Set clocks on request, and put back what was found whatever happens.

    with ClockSettings() as clocks:
        clocks.set_governor("performance")
        clocks.set_freq_khz(1_510_400)

Only through cpufreq and devfreq, only the policies this process's inferences follow, one process
at a time. What is found is in a journal on disk before it is changed: after a kill the next start
of anything that sets clocks puts it back (restore.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import final

from aio.governors.daemon.folder import make_runtime_dir
from aio.governors.settings import signals
from aio.governors.settings.attributes import SettingsError, Write, write_attribute
from aio.governors.settings.domains import Domain, cpu_domains, gpu_domains
from aio.governors.settings.journal import Journal
from aio.governors.settings.restore import (
    JOURNAL_NAME,
    default_journal_dir,
    replay_locked,
    restore,
    take_lock,
)
from aio.governors.sysfs import Sysfs
from aio.governors.topology import allowed_cpus


@dataclass(frozen=True, slots=True)
class Applied:
    """A frequency that was set. `note` says when it is not the wanted one."""

    domain: str
    wanted: int
    freq: int
    unit: str

    @property
    def note(self) -> str | None:
        """Return why another frequency was set than the wanted one, None if it was that one."""
        if self.freq == self.wanted:
            return None
        set_to = f"{self.freq} {self.unit}"
        return f"{self.domain}: {set_to} is its operating point closest to {self.wanted}"


@final
class ClockSettings:
    """The right to set clocks, for the length of a `with` block.

    Args:
        root: what stands for "/"; AIO_SYSFS_ROOT or "/" if None.
        journal_dir: where the journal and its lock are; None is the usual place.
        cpus: the CPUs this process may use.
        write: what writes an attribute.
    """

    def __init__(
        self,
        root: Path | None = None,
        journal_dir: Path | None = None,
        *,
        cpus: Callable[[], frozenset[int]] = allowed_cpus,
        write: Write = write_attribute,
    ) -> None:
        self._sysfs = Sysfs(root)
        self._folder = default_journal_dir() if journal_dir is None else journal_dir
        self._journal = Journal(self._folder / JOURNAL_NAME)
        self._cpus = cpus
        self._write = write
        self._keep_governor = False
        self._open = False
        self._undo = ExitStack()
        self.replayed: tuple[str, ...] = ()

    def __enter__(self) -> ClockSettings:
        """Take the clocks; put back first what a killed process left behind (`replayed`).

        Raises:
            HeldError: another process holds them.
            SettingsError: an old journal can't be put back.
        """
        with ExitStack() as undo:
            make_runtime_dir(self._folder)
            lock = take_lock(self._folder)
            undo.callback(lock.release)
            self.replayed = replay_locked(self._journal.path, self._write)
            undo.enter_context(signals.ending_raises())
            self._undo = undo.pop_all()
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = False
        with self._undo:
            with signals.deferred():
                problems = restore(self._journal, self._write).problems
            if problems:
                raise SettingsError(
                    "clocks could not be put back: " + "; ".join(problems) + "; "
                    "`aio profile --restore` tries again"
                )

    def governors(self) -> tuple[str, ...]:
        """Return the governors that every CPU policy in use has."""
        first, *others = [domain.governors() for domain in self._cpu()]
        return tuple(name for name in first if all(name in other for other in others))

    def freqs_khz(self) -> tuple[int, ...]:
        """Return the operating points of the CPU, ascending; even steps where none are listed."""
        return tuple(sorted({point for domain in self._cpu() for point in domain.points_to_try()}))

    def gpu_freqs_hz(self) -> tuple[int, ...]:
        """Return the operating points of the GPU, ascending."""
        return tuple(sorted({point for domain in self._gpu() for point in domain.points_to_try()}))

    def check_governor(self, name: str) -> None:
        """Look whether every policy knows a governor; nothing is set.

        Raises:
            ValueError: a policy does not; the message lists what it knows.
        """
        for domain in self._cpu():
            known = domain.governors()
            if name not in known:
                raise ValueError(
                    f"governor {name!r}: {domain.name} knows {', '.join(known) or 'none'}"
                )

    def check_freq_khz(self, khz: int) -> None:
        """Look whether a CPU frequency is one of the hardware; nothing is set.

        Raises:
            ValueError: it is not.
        """
        _check_freq(self._cpu(), khz)

    def set_governor(self, name: str) -> None:
        """Have a cpufreq governor rule; frequencies set from now on become its limits.

        Raises:
            ValueError: a policy does not know it; the message lists what it knows.
            SettingsError: it can't be set.
        """
        self.check_governor(name)
        for domain in self._cpu():
            domain.set_governor(name)
        self._keep_governor = True

    def set_freq_khz(self, khz: int) -> tuple[Applied, ...]:
        """Have the CPU run at one frequency, or at the operating point closest to it.

        Raises:
            ValueError: no policy reaches it.
            SettingsError: it can't be set.
        """
        return _set_freq(self._cpu(), khz, keep_governor=self._keep_governor)

    def set_gpu_freq_hz(self, hz: int) -> tuple[Applied, ...]:
        """Have the GPU run at one frequency, or at the operating point closest to it.

        Raises:
            ValueError: no GPU reaches it.
            SettingsError: it can't be set.
        """
        return _set_freq(self._gpu(), hz, keep_governor=True)

    def _cpu(self) -> tuple[Domain, ...]:
        self._check_open()
        return cpu_domains(self._sysfs, self._cpus(), self._journal, self._write)

    def _gpu(self) -> tuple[Domain, ...]:
        self._check_open()
        return gpu_domains(self._sysfs, self._journal, self._write)

    def _check_open(self) -> None:
        if not self._open:
            raise SettingsError("clocks can be set only inside the with block")


def _check_freq(domains: Sequence[Domain], freq: int) -> None:
    spans = [domain.span() for domain in domains]
    low, high = min(span[0] for span in spans), max(span[1] for span in spans)
    unit = domains[0].names.unit
    if not low <= freq <= high:
        raise ValueError(f"{freq} {unit}: the hardware has {low} to {high} {unit}")


def _set_freq(domains: Sequence[Domain], freq: int, *, keep_governor: bool) -> tuple[Applied, ...]:
    _check_freq(domains, freq)
    unit = domains[0].names.unit
    applied = [Applied(domain.name, freq, domain.nearest(freq), unit) for domain in domains]
    for domain, item in zip(domains, applied, strict=True):
        domain.set_freq(item.freq, keep_governor=keep_governor)
    return tuple(applied)
