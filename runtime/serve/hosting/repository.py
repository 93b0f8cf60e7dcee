# SPDX-License-Identifier: Apache-2.0
"""A directory of models: `NAME/VERSION/model.aio`, or `NAME.aio` as the one version of a model.

The directory is listed, and names are looked up in the list: text from a request never becomes
part of a path. Files are followed to where they really are, and one outside of the directory is
not a model.
"""

import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aio.runtime.errors import InputError
from aio.runtime.serve.errors import RepositoryError

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")
VERSION = re.compile(r"[1-9][0-9]{0,17}")
FILE = "model.aio"
SUFFIX = ".aio"
ONLY_VERSION = "1"
STATISTICS = "stats"  # no model's name: what /v2/models/NAME says of others, it says of all models


class Fingerprint(NamedTuple):
    """What changes when a file is replaced or written."""

    device: int
    inode: int
    size: int
    changed_ns: int


@dataclass(frozen=True)
class ModelVersion:
    """A version found in the directory.

    `path` is the file's real place; None where there is no file to load, and `problem` says why.
    `shown` is the file's place below the directory.
    """

    version: str
    shown: str
    path: Path | None
    problem: str = ""

    def fingerprint(self) -> Fingerprint | None:
        """Return what the file is now, None if there is none."""
        if self.path is None:
            return None
        try:
            found = self.path.stat()
        except OSError:
            return None
        return Fingerprint(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True)
class Entry:
    """A model of the directory: its versions, newest first, or why it has none."""

    versions: tuple[ModelVersion, ...]
    problem: str = ""


class Repository:
    """The models below one directory.

    The directory may be a link that leads elsewhere later, to the models of another release. So it
    is followed whenever it is looked at, once for the whole look.

    Raises:
        InputError: there is no such directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            _list(_real(folder))
        except OSError as error:
            raise InputError(
                f"model repository {folder}: {error.strerror}; it must be a directory that holds "
                f"NAME/VERSION/{FILE} or NAME{SUFFIX}"
            ) from None

    def scan(self) -> dict[str, Entry]:
        """Return what the directory holds now, by name.

        Raises:
            RepositoryError: it can't be read.
        """
        found: dict[str, Entry] = {}
        root, items = self._look()
        for item in items:
            name = item.name
            if not item.is_dir():
                if not name.endswith(SUFFIX):
                    continue
                name = name.removesuffix(SUFFIX)
            if NAME.fullmatch(name) is None:
                continue
            found[name] = _clash(name) if name in found else _entry(root, item)
        if STATISTICS in found:
            found[STATISTICS] = Entry((), f"{reserved(STATISTICS)}; rename it")
        return found

    def ignored(self) -> list[str]:
        """Return what lies in the directory and is no model by its name; hidden files aside.

        Raises:
            RepositoryError: it can't be read.
        """
        return sorted(
            item.name
            for item in self._look()[1]
            if not item.name.startswith(".")
            and not (item.is_dir() and NAME.fullmatch(item.name))
            and not (item.name.endswith(SUFFIX) and NAME.fullmatch(item.name.removesuffix(SUFFIX)))
        )

    def _look(self) -> tuple[Path, list[Path]]:
        """Return where the directory is now, and what is in it."""
        try:
            root = _real(self.folder)
            return root, _list(root)
        except OSError as error:
            raise RepositoryError(f"the model repository can't be read: {error.strerror}") from None


def _entry(root: Path, item: Path) -> Entry:
    if not item.is_dir():
        return Entry((_version(root, item, ONLY_VERSION),))
    try:
        numbers = [sub.name for sub in _list(item) if VERSION.fullmatch(sub.name)]
    except OSError as error:
        return Entry((), f"{item.name}: {error.strerror}")
    versions = tuple(
        _version(root, item / number / FILE, number)
        for number in sorted(numbers, key=int, reverse=True)
    )
    return Entry(versions, "" if versions else f"{item.name} has no directory 1, 2, ...")


def _version(root: Path, file: Path, version: str) -> ModelVersion:
    shown = str(file.relative_to(root))
    try:
        path = _real(file)
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        return ModelVersion(version, shown, None, f"{shown}: {error.strerror}")
    if not path.is_relative_to(root):
        return ModelVersion(version, shown, None, f"{shown} leads out of the model repository")
    if not regular:
        return ModelVersion(version, shown, None, f"{shown} is not a regular file")
    return ModelVersion(version, shown, path)


def _list(folder: Path) -> list[Path]:
    """Return what is in a folder; raise OSError if it, or what is in it, can't be looked at."""
    (folder / "..").stat()  # fails where names can be listed and nothing more
    return sorted(folder.iterdir())


def _real(path: Path) -> Path:
    """Return where a path leads; raise OSError if that is nowhere."""
    try:
        return path.resolve(strict=True)
    except RuntimeError:  # links in a circle, before Python 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None


def reserved(name: str) -> str | None:
    """Return why no model may have this name, None if one may."""
    if name != STATISTICS:
        return None
    return f"no model can be named {name}, as /v2/models/{name} is the statistics of all models"


def _clash(name: str) -> Entry:
    return Entry((), f"there are both {name}{SUFFIX} and a directory {name}; remove one of them")


Catalogue = Mapping[str, Entry]
