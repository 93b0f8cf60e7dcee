# SPDX-License-Identifier: Apache-2.0
"""A client of server-sent events on a plain connection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse
from types import TracebackType
from typing import Any, NamedTuple, final


class Event(NamedTuple):
    name: str
    number: int
    data: Any


@final
class EventStream:
    """An open stream; `next` waits for an event, None is the end."""

    def __init__(
        self, port: int, timeout_s: float = 20, headers: Mapping[str, str] | None = None
    ) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        self._connection.request("GET", "/events", headers=dict(headers or {}))
        self.response: HTTPResponse = self._connection.getresponse()
        self.retry_ms: int | None = None

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.response.close()
        self._connection.close()

    def next(self) -> Event | None:
        fields: dict[str, str] = {}
        while line := self.response.readline().decode():
            if line == "\n":
                return Event(fields["event"], int(fields["id"]), json.loads(fields["data"]))
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "retry":
                self.retry_ms = int(value)
            fields[name] = value
        return None
