# SPDX-License-Identifier: Apache-2.0
"""Shared memory regions: memory of this machine in which clients leave and find their tensors.

A region is part of a POSIX shared memory object, which on Linux is a file in /dev/shm. It is read
and written like a file and never mapped: a program whose mapped file is cut short by another one
is killed when it looks at what is gone. So a tensor is copied once, as it is from a socket. Belongs
to the event loop.
"""

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from aio.runtime.serve.errors import ControlError, RequestError, UnknownRegionError
from aio.runtime.serve.protocol.schema import Place
from aio.runtime.serve.transport.body import Buffers, aligned

FOLDER = Path("/dev/shm")  # where the C library's shm_open has its objects
KEY = re.compile(r"/*([A-Za-z0-9_.-]{1,255})")
MAX_NAME = 256
MAX_BYTES = 2**63 - 1


class Region(NamedTuple):
    """A registered region; `offset` and `byte_size` are of the object of that key."""

    name: str
    key: str
    offset: int
    byte_size: int


class Regions:
    """The regions by their names.

    Args:
        most: how many there may be; none at all is shared memory turned off.
        buffers: counts what requests in progress have copied from regions.
        folder: where the objects are.
    """

    def __init__(self, most: int, buffers: Buffers, folder: Path = FOLDER) -> None:
        self._most = most
        self._buffers = buffers
        self._folder = folder
        self._regions: dict[str, Region] = {}
        self._files: dict[str, int] = {}

    @property
    def enabled(self) -> bool:
        """Return whether there may be any."""
        return self._most > 0

    def check_enabled(self) -> None:
        """Raise ControlError if this server takes no regions."""
        if not self.enabled:
            raise ControlError(
                "this server takes no shared memory regions; send tensors in the request, as "
                "binary data, or start the server with --limit regions=16"
            )

    def register(self, region: Region) -> None:
        """Let requests use a region.

        Raises:
            ControlError: this server takes no regions.
            RequestError: there are too many, one of that name, no such object, or it is too small.
        """
        self.check_enabled()
        name = region.name
        if not 1 <= len(name) <= MAX_NAME:
            raise RequestError(f"a region's name has 1 to {MAX_NAME} characters, got {len(name)}")
        if name in self._regions:
            raise RequestError(f"region {name!r} is registered already; unregister it first")
        if len(self._regions) >= self._most:
            raise RequestError(
                f"{self._most} regions are registered, which is the limit; unregister one"
            )
        if not (0 <= region.offset <= MAX_BYTES and 1 <= region.byte_size <= MAX_BYTES):
            raise RequestError(
                f"region {name!r}: offset must be 0 or more and byte_size 1 or more, got "
                f"{region.offset} and {region.byte_size}"
            )
        self._files[name] = self._open(region)
        self._regions[name] = region

    def unregister(self, name: str | None = None) -> None:
        """Forget a region, or all; one that is not there is forgotten already."""
        for each in [name] if name is not None else list(self._regions):
            if self._regions.pop(each, None) is not None:
                os.close(self._files.pop(each))

    def status(self, name: str | None = None) -> list[Region]:
        """Return a region, or all in the order they were registered.

        Raises:
            UnknownRegionError: there is none of that name.
        """
        if name is None:
            return list(self._regions.values())
        if name not in self._regions:
            raise UnknownRegionError(name)
        return [self._regions[name]]

    def use(self) -> "RegionUse | None":
        """Let a request use the regions until it calls `release`; None where there may be none."""
        return RegionUse(self, self._buffers) if self.enabled else None

    def check(self, place: Place, where: str) -> tuple[int, int]:
        """Return file and offset of a place in a region; `where` says what it is for.

        Raises:
            RequestError: there is no such region, or it ends before.
        """
        region = self._regions.get(place.region)
        if region is None:
            raise RequestError(
                f"{where}: no shared memory region is named {place.region[:80]!r}; register it"
            )
        if place.offset + place.size > region.byte_size:
            raise RequestError(
                f"{where}: {place.size} bytes from {place.offset} are beyond region "
                f"{region.name!r}, which has {region.byte_size}"
            )
        return self._files[region.name], region.offset + place.offset

    def _open(self, region: Region) -> int:
        where = f"region {region.name!r}: "
        found = KEY.fullmatch(region.key)
        if found is None or found[1] in {".", ".."}:
            raise RequestError(
                f"{where}key must be the name of a shared memory object, such as '/frames', got "
                f"{region.key[:80]!r}"
            )
        try:
            file = os.open(self._folder / found[1], os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise RequestError(
                f"{where}can't open the shared memory object {region.key!r}: {error.strerror}"
            ) from None
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size < region.offset + region.byte_size:
            os.close(file)
            raise RequestError(
                f"{where}the object {region.key!r} has {status.st_size} bytes, the region needs "
                f"{region.byte_size} from {region.offset}"
            )
        return file


class RegionUse:
    """What one request does with the regions.

    Args:
        regions: all there are.
        buffers: where copied bytes count until `release`.
    """

    def __init__(self, regions: Regions, buffers: Buffers) -> None:
        self._regions = regions
        self._buffers = buffers
        self._held = 0

    def check(self, place: Place, where: str) -> None:
        """Raise RequestError unless the place is in a region."""
        self._regions.check(place, where)

    def read(self, place: Place, where: str) -> memoryview:
        """Return a copy of what is there, aligned for any tensor.

        Raises:
            RequestError: the place is in no region, or its object was made smaller.
            UnavailableError: requests in progress hold too many bytes.
        """
        file, offset = self._regions.check(place, where)
        self._buffers.take(place.size)
        self._held += place.size
        copy = aligned(place.size, 0)
        if os.preadv(file, [copy], offset) != place.size:
            raise _cut_short(place, where)
        return copy

    def write(self, place: Place, data: bytes, where: str) -> None:
        """Put bytes there.

        Raises:
            RequestError: they are too many, the place is in no region, or its object was made
                smaller, or can't grow.
        """
        if len(data) > place.size:
            raise RequestError(
                f"{where}: has {len(data)} bytes, shared_memory_byte_size is {place.size}"
            )
        file, offset = self._regions.check(place, where)
        # To write behind its end would make the object larger.
        if os.fstat(file).st_size < offset + len(data):
            raise _cut_short(place, where)
        try:
            written = os.pwrite(file, data, offset)
        except OSError as error:  # there was never memory for these pages, and there is none
            raise RequestError(
                f"{where}: can't write to region {place.region!r}: {error.strerror}"
            ) from None
        if written != len(data):
            raise _cut_short(place, where)

    def release(self) -> None:
        """Give the copied bytes back to the server's count."""
        self._buffers.give_back(self._held)
        self._held = 0


def _cut_short(place: Place, where: str) -> RequestError:
    return RequestError(
        f"{where}: the memory of region {place.region!r} is smaller than it was when it was "
        "registered; register it anew"
    )
