# SPDX-License-Identifier: Apache-2.0
"""Put settings back as a journal remembers them, in an order that the kernel takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aio.governors.daemon.folder import SYSTEM_FOLDER, make_runtime_dir, runtime_dir
from aio.governors.daemon.lock import FileLock, LockedError
from aio.governors.parsing import parse_int
from aio.governors.settings.attributes import (
    SettingsError,
    Write,
    change,
    write_attribute,
)
from aio.governors.settings.domains import CPUFREQ, DEVFREQ, ordered_limits
from aio.governors.settings.journal import Entry, Journal, read_journal

JOURNAL_NAME = "clock-settings.jsonl"
LOCK_NAME = "clock-settings.lock"


class HeldError(SettingsError):
    """Another process that still runs has set the clocks."""


def default_journal_dir() -> Path:
    """Return where journals are kept, the same for all who can set clocks."""
    # Not root's session folder: `sudo` and a service must find each other's journal.
    if os.geteuid() == 0 and not os.environ.get("AIO_RUNTIME_DIR"):
        return SYSTEM_FOLDER
    return runtime_dir()


@dataclass(frozen=True, slots=True)
class Restored:
    """What was written, as `path = value`, and what could not be put back, and why."""

    written: tuple[str, ...]
    problems: tuple[str, ...]


def restore(journal: Journal, write: Write = write_attribute) -> Restored:
    """Put everything back that can be; entries that fail stay in the journal."""
    written: list[str] = []
    problems: list[str] = []
    failed: list[Entry] = []
    entries = {entry.path: entry for entry in journal.entries}
    # A speed is taken by userspace only, and within the limits only: it comes after both.
    newest_first = journal.entries[::-1]
    for entry in sorted(newest_first, key=lambda e: e.path.name == CPUFREQ.setspeed):
        if entry.path not in entries:  # already done, with the other limit
            continue
        if not entry.path.exists():
            # A policy that went away comes back as the kernel likes; there is nothing to set.
            entries.pop(entry.path)
            continue
        for item in _together(entry, entries):
            entries.pop(item.path)
            try:
                if change(write, item.path, item.previous, slack=0.01):
                    written.append(f"{item.path} = {item.previous.strip()}")
            except SettingsError as error:
                problems.append(str(error))
                failed.append(item)
    journal.keep(failed[::-1])
    return Restored(tuple(written), tuple(problems))


def _together(entry: Entry, entries: dict[Path, Entry]) -> list[Entry]:
    """Return the entries to put back now: one, or both limits of a folder in the right order."""
    folder = entry.path.parent
    for names in (CPUFREQ, DEVFREQ):
        low, high = entries.get(folder / names.low), entries.get(folder / names.high)
        if low is None or high is None or entry not in {low, high}:
            continue
        low_freq, high_freq = parse_int(low.previous), parse_int(high.previous)
        if low_freq is None or high_freq is None:
            continue
        try:
            order = ordered_limits(folder, names, low_freq, high_freq)
        except SettingsError:  # trying to write will say what is wrong
            return [low, high]
        return [entries[folder / name] for name, _ in order]
    return [entry]


def replay_journals(
    journal_dir: Path | None = None, write: Write = write_attribute
) -> tuple[str, ...]:
    """Put back what a process that ended without doing so had changed.

    Args:
        journal_dir: where journals are kept; None is the usual place.
        write: what writes an attribute.

    Returns:
        What was put back, as `path = value`.

    Raises:
        HeldError: the process that changed them still runs.
        SettingsError: a journal can't be read, or something in it can't be put back.
    """
    folder = default_journal_dir() if journal_dir is None else journal_dir
    if not (folder / JOURNAL_NAME).exists():
        return ()
    make_runtime_dir(folder)
    lock = take_lock(folder)
    try:
        return replay_locked(folder / JOURNAL_NAME, write)
    finally:
        lock.release()


def replay_locked(path: Path, write: Write) -> tuple[str, ...]:
    """Replay a journal whose lock the caller holds; see `replay_journals`."""
    journal = Journal(path)
    try:
        journal.entries = read_journal(path)
    except FileNotFoundError:
        return ()
    restored = restore(journal, write)
    if restored.problems:
        raise SettingsError("clocks are still set: " + "; ".join(restored.problems))
    return restored.written


def take_lock(folder: Path) -> FileLock:
    """Return the lock that only one process has that sets clocks.

    Raises:
        HeldError: another process has it.
        OSError: the lock file can't be opened.
    """
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(f"process {os.getpid()}")
    except LockedError as error:
        raise HeldError(
            f"{error.holder} has set the clocks and puts them back when it ends; "
            f"wait for it or stop it (lock {error.path})"
        ) from error
    return lock
