# SPDX-License-Identifier: Apache-2.0
"""The stream of events: shared, bounded, only while somebody listens, and over when we stop."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path

import numpy as np
import pytest
from event_stream import EventStream
from fake_engine import SHAPE, FakeEngine, LiveServer, serving, tensor_json

from aio.runtime.serve.errors import UnavailableError
from aio.runtime.serve.hosting.host import Host, State
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.page.feed import Feed
from aio.runtime.serve.page.snapshot import Snapshots
from aio.runtime.serve.scheduling.dispatcher import Dispatcher
from aio.runtime.serve.security.guard import Policy
from aio.runtime.serve.security.token import Token

X = np.zeros((1, *SHAPE), np.float32)
LISTENERS = 3


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what grows by one for each snapshot of the stream."""
    counted: list[int] = []
    news = Snapshots.news

    def counting(self: Snapshots, seen: object) -> object:
        counted.append(1)
        return news(self, seen)  # type: ignore[arg-type]

    monkeypatch.setattr(Snapshots, "news", counting)
    return counted


@pytest.fixture
def live_feed(made: list[int]) -> Iterator[LiveServer]:
    engine = FakeEngine()
    with serving(lambda: engine, Limits(listeners=LISTENERS, head_s=0.5)) as live:
        live.wait_for(live.announced.is_set)
        assert made == []
        yield live


def test_a_listener_gets_everything_and_then_ticks(live_feed: LiveServer) -> None:
    assert live_feed.infer(tensor_json(X)).status == 200
    with EventStream(live_feed.port) as stream:
        assert stream.response.status == 200
        assert stream.response.getheader("content-type") == "text/event-stream; charset=utf-8"
        assert stream.response.getheader("cache-control") == "no-store"
        hello = stream.next()
        assert hello is not None
        assert hello.name == "hello"
        assert stream.retry_ms == 1000
        assert len(hello.data["models"][0]["points"]) == 1
        assert live_feed.infer(tensor_json(X)).status == 200
        points, number = 0, hello.number
        while points < 1:
            tick = stream.next()
            assert tick is not None
            assert (tick.name, tick.number) == ("tick", number + 1)
            number = tick.number
            points += len(tick.data["models"][0]["points"])
        assert points == 1


def test_all_listeners_get_the_same_tick(live_feed: LiveServer, made: list[int]) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(EventStream(live_feed.port)) for _ in range(LISTENERS)]
        firsts = [stream.next() for stream in streams]
        assert all(first is not None and first.name == "hello" for first in firsts)
        ticks = [[stream.next() for _ in range(3)] for stream in streams]
        for tick in ticks[0]:
            same = [other for other in ticks[1] if other and tick and other.number == tick.number]
            assert all(other == tick for other in same)
        # One more is told so.
        reply = live_feed.request("GET", "/events")
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert "3 pages are open" in reply.json["error"]
        last = max(tick.number for one in ticks for tick in one if tick)
        assert len(made) <= last + 2 * LISTENERS
    live_feed.wait_for(lambda: len(live_feed.server.server_state.tasks) == 0)
    with EventStream(live_feed.port) as again:  # the places are free again
        assert again.next() is not None
        assert again.next() is not None


def test_a_client_that_reads_nothing_is_cut_off(live_feed: LiveServer) -> None:
    with socket.socket() as client, EventStream(live_feed.port) as other:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        client.connect(("127.0.0.1", live_feed.port))
        client.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        live_feed.wait_for(lambda: len(live_feed.server.server_state.tasks) == 2)
        stalled = next(
            protocol
            for protocol in live_feed.server.server_state.connections
            if protocol.transport.get_extra_info("peername") == client.getsockname()
        )
        # Small buffers, so that the test need not last until those of the kernel are full.
        stalled.transport.set_write_buffer_limits(high=256)
        kernel = stalled.transport.get_extra_info("socket")
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024)
        live_feed.wait_for(lambda: len(live_feed.server.server_state.tasks) == 1)
        assert other.next() is not None  # who reads goes on reading
        assert other.next() is not None


def test_the_stream_ends_when_the_server_stops(live_feed: LiveServer) -> None:
    with EventStream(live_feed.port) as stream:
        assert stream.next() is not None
        begin_s = time.monotonic()
        live_feed.end()
        while stream.next() is not None:
            pass
        assert time.monotonic() - begin_s < 5  # the time for running requests is 10
    assert live_feed.server.cut_off == 0


def test_the_stream_of_a_withdrawn_token_ends(tmp_path: Path) -> None:
    old, new = "a-token-of-last-week", "a-token-of-this-week"
    path = tmp_path / "token"
    path.write_text(f"{old}\n{new}\n")
    path.chmod(0o600)
    token = Token.read(path)
    with serving(FakeEngine, policy=Policy(token)) as live:
        live.wait_for(live.announced.is_set)
        with (
            EventStream(live.port, headers={"Authorization": f"Bearer {old}"}) as withdrawn,
            EventStream(live.port, headers={"Authorization": f"Bearer {new}"}) as kept,
        ):
            for stream in (withdrawn, kept):
                assert stream.next() is not None
                assert stream.next() is not None
            path.write_text(f"{new}\n")
            token.refresh()
            while withdrawn.next() is not None:
                pass
            for _ in range(3):
                assert kept.next() is not None


def test_head_asks_for_no_stream(live: LiveServer) -> None:
    assert live.request("HEAD", "/events").status == 200
    assert live.request("POST", "/events").status == 405


def make_feed(host: Host) -> Feed:
    return Feed(host, Snapshots(host, Limits()), limit=1)


def test_nothing_runs_while_nobody_listens() -> None:
    async def listen() -> list[bool]:
        host = Host(Dispatcher(1))
        feed = make_feed(host)
        ran = [feed.running]
        for _ in range(2):
            feed.join()
            with pytest.raises(UnavailableError, match="1 pages are open"):
                feed.join()
            async with aclosing(feed.events()) as events:
                assert b"hello" in await anext(events)
                assert b"tick" in await anext(events)
            ran.append(feed.running)
            feed.leave()
            ran.append(feed.running)
        host.state = State.STOPPING
        with pytest.raises(UnavailableError, match="stopping"):
            feed.join()
        assert host.close(1)
        return ran

    assert asyncio.run(listen()) == [False, True, False, True, False]


def test_a_defect_ends_the_stream_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Snapshots, seen: object) -> object:
        raise ArithmeticError("a defect")

    async def listen() -> list[bytes]:
        host = Host(Dispatcher(1))
        feed = make_feed(host)
        feed.join()
        found = [event async for event in feed.events()]
        feed.leave()
        assert host.close(1)
        return found

    monkeypatch.setattr(Snapshots, "news", broken)
    assert len(asyncio.run(listen())) == 1
    assert "no more ticks for the page" in caplog.text
    assert "a defect" in caplog.text
