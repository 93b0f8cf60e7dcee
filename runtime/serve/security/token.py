# SPDX-License-Identifier: Apache-2.0
"""Bearer tokens from a file, compared in constant time, and taken anew when the file changes.

Only hashes are kept in memory. Who may read the file is checked as ssh does it with keys: a secret
that others can read is none.
"""

import hashlib
import hmac
import logging
import os
import stat
from pathlib import Path

from aio.runtime.errors import InputError
from aio.runtime.serve.security.token_file import MAX_CHARACTERS, MAX_FILE_BYTES, tokens_in

logger = logging.getLogger(__name__)

# Tells whether a file is still the one that was read: time, inode, size.
Version = tuple[int, int, int]


class Token:
    """The tokens of one file, each as good as the others."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests: tuple[bytes, ...]
        self._version: Version | None
        self._digests, self._version = _read(path)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Token":
        """Read the file.

        Raises:
            InputError: the file can't be read, others may read or change it, or it holds no
                token or one that is too weak; the message says what to do.
        """
        return cls(Path(path))

    @property
    def count(self) -> int:
        """How many tokens are accepted now."""
        return len(self._digests)

    def matches(self, presented: bytes) -> bool:
        """Return whether this is one of the tokens, in a time that says nothing about them."""
        if len(presented) > MAX_CHARACTERS:
            return False
        digest = _digest(presented)
        found = False
        for known in self._digests:  # all of them, also after a match
            found |= hmac.compare_digest(known, digest)
        return found

    def refresh(self) -> None:
        """Read the file again if it changed; if it is not usable now, the tokens stay."""
        try:
            if _version(self._path.stat()) == self._version:
                return
            digests, self._version = _read(self._path)
        except (InputError, OSError) as error:
            logger.error("the tokens stay as they were: %s", error)
            self._version = None  # tell it again at the next look, until it is mended
            return
        if digests != self._digests:
            self._digests = digests
            logger.warning("took %d tokens from %s", len(digests), self._path)


def _read(path: Path) -> tuple[tuple[bytes, ...], Version]:
    try:
        # Without O_NONBLOCK opening a named pipe would wait for somebody to write.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InputError(f"can't read the token file {path}: {error.strerror}") from None
    try:
        found = os.fstat(descriptor)
        _check_access(path, found)
        content = os.read(descriptor, MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    return tuple(map(_digest, tokens_in(path, content))), _version(found)


def _check_access(path: Path, found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"the token file {path} is not a regular file")
    if found.st_uid not in {0, os.geteuid()}:
        raise InputError(
            f"the token file {path} belongs to user {found.st_uid}, who could change it; "
            f"it must belong to root or to user {os.geteuid()}, who runs the server"
        )
    # Root gives a secret to a service by its group: Kubernetes with fsGroup, systemd by an ACL.
    lent_to_group = found.st_uid == 0 and os.geteuid() != 0
    if mode & (0o027 if lent_to_group else 0o077):
        raise InputError(
            f"the token file {path} has mode {mode:04o}, so that others may read or change it; "
            f"chmod {'640' if lent_to_group else '600'} {path}"
        )


def _digest(token: bytes) -> bytes:
    # Of equal length whatever was presented: compare_digest is constant in time only for those.
    return hashlib.sha256(token).digest()


def _version(found: os.stat_result) -> Version:
    return found.st_mtime_ns, found.st_ino, found.st_size
