# SPDX-License-Identifier: Apache-2.0
"""Bodies from a real socket into their memory."""

import socket
import threading
from collections.abc import Iterator

import pytest

from aio.runtime.serve.errors import UnavailableError
from aio.runtime.serve.transport import receive as module
from aio.runtime.serve.transport.body import Buffers, SizedBody
from aio.runtime.serve.transport.receive import IN_FULL_FLOW, MOST_AT_ONCE, receive

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def body_of(size: int, limit: int = 1 << 24) -> SizedBody:
    return SizedBody(size, 0, Buffers(limit))


def test_what_is_there_is_taken_and_nothing_behind_it(pair: Pair) -> None:
    ours, theirs = pair
    body = body_of(10)
    theirs.sendall(b"345678next")
    body.space[:2] = b"12"
    receive(ours.fileno(), body, 2, patient=False)
    assert bytes(body.data) == b"12345678ne"
    assert ours.recv(10) == b"xt"


def test_less_than_all_is_there(pair: Pair) -> None:
    ours, theirs = pair
    body = body_of(10)
    receive(ours.fileno(), body, 0, patient=True)
    theirs.sendall(b"12")
    receive(ours.fileno(), body, ours.recv_into(body.space), patient=True)
    assert (body.received, body.complete) == (2, False)


def test_the_end_of_a_connection_ends_it(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    body = body_of(10)
    receive(ours.fileno(), body, 1, patient=False)
    assert body.received == 1


def test_one_body_does_not_keep_the_others_waiting(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even of a sender who is as fast as we are, only so much is read at once."""
    monkeypatch.setattr(module, "CAN_WAIT", True)
    monkeypatch.setattr(module, "PATIENCE_S", 5.0)
    ours, theirs = pair
    size = 4 * MOST_AT_ONCE
    body = body_of(size)
    sender = threading.Thread(target=theirs.sendall, args=(bytes(size),))
    sender.start()
    turns = 0
    try:
        while not body.complete:
            ours.setblocking(True)
            first = ours.recv_into(body.space, IN_FULL_FLOW, socket.MSG_WAITALL)
            ours.setblocking(False)
            receive(ours.fileno(), body, first, patient=True)
            turns += 1
    finally:
        sender.join()
    assert turns >= 3


def test_a_sender_in_full_flow_is_waited_for(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender sleeps until its socket is nearly empty; then it is given time to go on."""
    monkeypatch.setattr(module, "CAN_WAIT", True)
    monkeypatch.setattr(module, "PATIENCE_S", 5.0)
    ours, theirs = pair
    size = MOST_AT_ONCE // 2
    body = body_of(size)
    data = bytes(range(256)) * (size // 256)
    sender = threading.Thread(target=theirs.sendall, args=(data,))
    sender.start()
    try:
        ours.setblocking(True)
        first = ours.recv_into(body.space, IN_FULL_FLOW, socket.MSG_WAITALL)
        ours.setblocking(False)
        receive(ours.fileno(), body, first, patient=True)
    finally:
        sender.join()
    assert bytes(body.data) == data


@pytest.mark.parametrize("size", [IN_FULL_FLOW - 1, IN_FULL_FLOW])
def test_nobody_else_is(pair: Pair, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Less than that is what a network brings; where a wait is no use there is none."""
    monkeypatch.setattr(module, "CAN_WAIT", size < IN_FULL_FLOW)
    monkeypatch.setattr(module, "PATIENCE_S", 3600.0)
    body = body_of(2 * size)
    receive(pair[0].fileno(), body, size, patient=True)
    assert body.received == size


def test_bytes_over_the_limit_of_all_requests(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(bytes(100))
    body = body_of(200, limit=50)
    with pytest.raises(UnavailableError, match="hold 10 bytes of 50"):
        receive(ours.fileno(), body, 10, patient=False)
    assert body.received == 10
