# SPDX-License-Identifier: Apache-2.0
"""Loading that fails, and an end that does not wait for ever. Signals: tests/integration."""

import socket
import threading
import time

import numpy as np
import pytest
from fake_engine import SHAPE, FakeEngine, Reply, serving, tensor_json

from aio.runtime.errors import ModelFileError
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.server import CUT_OFF, serve
from aio.runtime.serve.transport.listen import bind

X = np.zeros((1, *SHAPE), np.float32)
HURRIED = Limits(stop_s=1)


def test_what_the_loader_raises_comes_out_of_serve() -> None:
    def loader() -> FakeEngine:
        raise ModelFileError("x.aio: truncated")

    announced = threading.Event()
    with (
        bind("127.0.0.1", 0) as listener,
        pytest.raises(ModelFileError, match=r"x\.aio: truncated"),
    ):
        serve([listener], loader, lambda _: announced.set(), Limits())
    assert not announced.is_set()


def test_the_engine_is_closed_in_the_end() -> None:
    engine = FakeEngine()
    with serving(lambda: engine) as live:
        live.wait_for(live.announced.is_set)
    assert engine.closed
    assert live.server.cut_off == 0


def test_an_end_waits_for_the_answer_but_not_for_ever() -> None:
    engine = FakeEngine()
    replies: list[Reply] = []
    with serving(lambda: engine, HURRIED) as live:
        live.wait_for(live.announced.is_set)
        engine.passing.clear()
        thread = threading.Thread(target=lambda: replies.append(live.infer(tensor_json(X))))
        thread.start()
        live.wait_for(lambda: live.server.host.dispatcher.pending == 1)
        live.end()
        assert live.server.cut_off == 1
        assert not live.server.host.close(timeout_s=0)
        assert not engine.closed  # it is still in use
        engine.passing.set()
    thread.join()
    assert [(reply.status, reply.headers["retry-after"]) for reply in replies] == [(503, "1")]
    assert CUT_OFF == 1


def test_an_end_does_not_wait_for_the_rest_of_a_body() -> None:
    with serving(FakeEngine, HURRIED) as live:
        live.wait_for(live.announced.is_set)
        head = "POST /v2/models/fake/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
        with socket.create_connection(("127.0.0.1", live.port)) as client:
            client.sendall(head.encode())
            live.wait_for(lambda: bool(live.server.server_state.tasks))
            start_s = time.monotonic()
            live.end()
            assert time.monotonic() - start_s < 10  # where a body has 30
    assert live.server.cut_off == 0
