# SPDX-License-Identifier: Apache-2.0
"""Listeners of the live page before the real process: many, slow, gone, and there at its end."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from event_stream import EventStream
from serve_process import ServeProcess, environment, serve_process, wait_for

from aio.runtime.serve.limits import Limits
from aio.runtime.shipped import EXAMPLE_REQUEST

MIB = 2**20
RSS_MIB = 70  # with the shipped model


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServeProcess]:
    with serve_process(environment(tmp_path)) as running:
        yield running


def infer(server: ServeProcess, count: int) -> None:
    body = EXAMPLE_REQUEST.read_bytes()
    for _ in range(count):
        assert server.request("POST", f"/v2/models/{server.model}/infer", body)[0] == 200


def free_place(server: ServeProcess) -> EventStream:
    """Return a stream as soon as there is a place for one more."""
    found: list[EventStream] = []

    def opens() -> bool:
        found.append(EventStream(server.port))
        if found[-1].response.status == 200:
            return True
        found[-1].__exit__(None, None, None)
        return False

    wait_for(opens, "a free place")
    return found[-1]


def test_many_listeners_one_slow_and_the_end(server: ServeProcess) -> None:
    with ExitStack() as stack:
        streams = [
            stack.enter_context(EventStream(server.port)) for _ in range(Limits().listeners - 1)
        ]
        slow = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        slow.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for stream in streams:
            hello = stream.next()
            assert hello is not None
            assert hello.name == "hello"
        status, body = server.request("GET", "/events")
        assert status == 503
        assert "is the limit" in json.loads(body)["error"]
        infer(server, 50)
        seen = 0
        while seen < 50:
            tick = streams[0].next()
            assert tick is not None
            seen += len(tick.data["models"][0]["points"])
        assert seen == 50
        assert psutil.Process(server.process.pid).memory_info().rss <= RSS_MIB * MIB
        # Who goes is noticed at the next tick, and the place is free for another.
        streams.pop().__exit__(None, None, None)
        with free_place(server) as late:
            assert late.next() is not None
            server.process.send_signal(signal.SIGTERM)
            for stream in (*streams, late):
                while stream.next() is not None:
                    pass
        assert server.wait() == 0
    assert "ERROR" not in server.logged()
    assert "Traceback" not in server.logged()
