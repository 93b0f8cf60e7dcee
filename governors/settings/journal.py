# SPDX-License-Identifier: Apache-2.0
"""What was found before it was changed, on disk before each change is made.

A process that is killed leaves its journal behind, and the next one puts the settings back from
it. The file is written anew for each entry (it has a few dozen), so that it is whole at any time.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from aio.governors.daemon.folder import UNKNOWN_BOOT, boot_id
from aio.governors.settings.attributes import SettingsError, settings_error

VERSION = 1
# What a journal may put back. It is read by root: an entry of another name is not believed.
ATTRIBUTES = (
    "scaling_governor",
    "scaling_min_freq",
    "scaling_max_freq",
    "scaling_setspeed",
    "energy_performance_preference",
    "governor",
    "min_freq",
    "max_freq",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An attribute and what it was before the first change."""

    path: Path
    previous: str


class Journal:
    """The journal of one process, from its first change to the restoring."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self._known: set[Path] = set()

    def note(self, path: Path, previous: str) -> None:
        """Remember what an attribute was, on disk; only the first time for each.

        Raises:
            SettingsError: the journal can't be written, so the setting must not be changed.
        """
        if path in self._known:
            return
        try:
            self._store([*self.entries, Entry(path, previous)])
        except OSError as error:
            what = f"{path} is not changed, as the journal {self.path} can't be written"
            raise settings_error(error, what) from error
        self.entries.append(Entry(path, previous))
        self._known.add(path)

    def knows(self, path: Path) -> bool:
        """Return whether an attribute was noted."""
        return path in self._known

    def keep(self, entries: list[Entry]) -> None:
        """Have only these entries left; without any, remove the file."""
        if entries:
            self._store(entries)
        else:
            self.path.unlink(missing_ok=True)
        self.entries = list(entries)
        self._known = {entry.path for entry in entries}

    def _store(self, entries: list[Entry]) -> None:
        header = {"version": VERSION, "boot_id": boot_id().hex(), "pid": os.getpid()}
        lines = [json.dumps(header)]
        lines += [json.dumps({"path": str(e.path), "previous": e.previous}) for e in entries]
        fresh = self.path.with_name(f"{self.path.name}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(fresh, flags, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        _sync_folder(self.path.parent)


def read_journal(path: Path) -> list[Entry]:
    """Return what a journal says is to be put back, nothing if it is of another boot.

    Raises:
        SettingsError: it can't be read or is no journal.
        FileNotFoundError: there is none.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(fd, encoding="utf-8", errors="replace") as file:
        owner = os.fstat(fd).st_uid
        if owner not in {0, os.geteuid()}:
            raise SettingsError(f"{path} belongs to user {owner}: it is not believed; remove it")
        text = file.read()
    try:
        header, *lines = [json.loads(line) for line in text.splitlines()]
        if header["version"] != VERSION:
            raise ValueError(f"version {header['version']}")
        boot = bytes.fromhex(header["boot_id"])
        entries = [Entry(_checked(Path(line["path"])), str(line["previous"])) for line in lines]
    except (ValueError, LookupError, TypeError) as error:
        raise SettingsError(
            f"{path} is no journal of clock settings ({error}); look at the clocks, then remove it"
        ) from error
    here = boot_id()
    return [] if UNKNOWN_BOOT not in {boot, here} and boot != here else entries


def _checked(path: Path) -> Path:
    if path.name not in ATTRIBUTES or not path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{path} is no clock setting")
    return path


def _sync_folder(folder: Path) -> None:
    """Make a rename last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
