# SPDX-License-Identifier: Apache-2.0
"""Shared memory that is there until it is said to be gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio.runtime.serve.errors import RequestError

if TYPE_CHECKING:
    from aio.runtime.serve.protocol.schema import Place


class GoneMemory:
    """Has places for outputs; set `gone` to have none any more."""

    gone = False

    def check(self, place: Place, where: str) -> None:
        if self.gone:
            raise RequestError(f"{where}: no region is named {place.region!r}; register it")

    def read(self, place: Place, where: str) -> memoryview:
        raise AssertionError

    def write(self, place: Place, data: bytes, where: str) -> None:
        self.check(place, where)
