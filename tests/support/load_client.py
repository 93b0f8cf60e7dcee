# SPDX-License-Identifier: Apache-2.0
"""Requests of a mixed load, and connections that send them and check the answers."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

PATIENCE_S = 30.0  # an answer that takes longer is lost
HEADER = "Inference-Header-Content-Length"
ID = "00000000"  # stands for the id of a request in bodies that were made before
BATCH = 256  # large enough that the executor is what is busy, not who asks


class Kind(NamedTuple):
    """One kind of request; `share` is how often it comes, as a part of all.

    A client that `goes` closes its connection soon after it asked.
    """

    name: str
    share: float
    samples: int
    binary: bool
    timeout_ms: float | None = None
    priority: int = 0
    goes: bool = False


MIX = (
    Kind("json", 0.15, 1, binary=False),
    Kind("binary", 0.15, 1, binary=True),
    Kind("json batch", 0.10, 16, binary=False),
    Kind("batch", 0.25, BATCH, binary=True),
    Kind("batch, 300 ms", 0.15, BATCH, binary=True, timeout_ms=300.0),
    Kind("urgent, 100 ms", 0.15, 1, binary=True, timeout_ms=100.0, priority=1),
    Kind("client goes", 0.05, BATCH, binary=True, goes=True),
)


class Outcome(NamedTuple):
    """What came of a request; a status of None is none at all, and `error` says why."""

    kind: Kind
    status: int | None
    latency_ms: float
    level: int | None = None
    error: str | None = None
    gone: bool = False

    @property
    def in_time(self) -> bool:
        """Return whether it was answered within its timeout."""
        timeout_ms = self.kind.timeout_ms
        return self.status == 200 and (timeout_ms is None or self.latency_ms <= timeout_ms)


@dataclass(frozen=True)
class Target:
    """The server and the model that are asked."""

    host: str
    port: int
    model: str
    input_name: str
    shape: tuple[int, ...]

    def message(self, kind: Kind) -> bytes:
        """Return an HTTP request with random pixels, and ID in place of its id."""
        x = np.random.default_rng(kind.samples).uniform(0, 16, (kind.samples, *self.shape))
        x = x.astype("<f4")
        tensor: dict[str, Any] = {"name": self.input_name, "shape": x.shape, "datatype": "FP32"}
        parameters: dict[str, Any] = {}
        if kind.timeout_ms is not None:
            parameters["timeout"] = round(kind.timeout_ms * 1e3)
        if kind.priority:
            parameters["priority"] = kind.priority
        raw, headers = b"", ""
        if kind.binary:
            raw = x.tobytes()
            parameters["binary_data_output"] = True
            tensor["parameters"] = {"binary_data_size": len(raw)}
        else:
            tensor["data"] = [round(value, 1) for value in x.ravel().tolist()]
        text = json.dumps({"id": ID, "inputs": [tensor], "parameters": parameters}).encode()
        if kind.binary:
            headers = f"{HEADER}: {len(text)}\r\n"
        head = (
            f"POST /v2/models/{self.model}/infer HTTP/1.1\r\nHost: {self.host}\r\n{headers}"
            f"Content-Length: {len(text) + len(raw)}\r\n\r\n"
        )
        return head.encode() + text + raw


class Connection:
    """One connection that is opened again when it was closed; one request at a time."""

    def __init__(self, target: Target, number: int, seed: int) -> None:
        self._target = target
        self._messages: dict[Kind, bytes] = {}
        self._number = number
        self._random = random.Random(seed * 1000 + number)
        self._sent = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, kind: Kind) -> Outcome:
        """Send one request and return what came of it."""
        self._sent += 1
        request_id = f"{self._number:02}{self._sent % 1_000_000:06}"
        if kind not in self._messages:
            self._messages[kind] = self._target.message(kind)
        message = self._messages[kind].replace(ID.encode(), request_id.encode(), 1)
        began_s = time.monotonic()
        try:
            reader, writer = await self._open()
            writer.write(message)
            if kind.goes:
                await asyncio.sleep(self._random.uniform(0.0, 0.02))
                self.close()
                return Outcome(kind, None, 0.0, gone=True)
            status, length, body = await asyncio.wait_for(_response(reader), PATIENCE_S)
        except (OSError, EOFError, asyncio.TimeoutError, ValueError, KeyError) as error:
            self.close()
            return Outcome(kind, None, _ms(began_s), error=f"{type(error).__name__}: {error}")
        latency_ms = _ms(began_s)
        try:
            level = _check(status, body[:length], request_id, kind)
        except (ValueError, KeyError) as error:
            return Outcome(kind, status, latency_ms, error=f"{error!r} in {body[:300]!r}")
        return Outcome(kind, status, latency_ms, level)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # it was idle for too long
        if self._streams is None:
            target = self._target
            self._streams = await asyncio.open_connection(target.host, target.port)
        return self._streams

    def close(self) -> None:
        """Close the connection at once, with whatever was under way."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def _response(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """Return the status, the length of the JSON, and the body."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:-2])
    size = int(headers["content-length"])
    length = int(headers.get(HEADER.lower(), size))
    return int(lines[0].split()[1]), length, await reader.readexactly(size)


def _check(status: int, body: bytes, request_id: str, kind: Kind) -> int | None:
    """Return the level of an answer, or raise ValueError if it is not the one asked for."""
    found = json.loads(body)
    if status != 200:
        raise_unless(isinstance(found["error"], str), "an error without a text")
        return None
    raise_unless(found["id"] == request_id, f"the answer to {found['id']}, not {request_id}")
    shape = found["outputs"][0]["shape"]
    raise_unless(shape[0] == kind.samples, f"an answer of shape {shape}")
    return int(found["parameters"]["aio_level"])


def raise_unless(right: bool, what: str) -> None:
    """Raise ValueError with what is wrong."""
    if not right:
        raise ValueError(what)


def _ms(since_s: float) -> float:
    return (time.monotonic() - since_s) * 1e3
