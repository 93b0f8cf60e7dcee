# SPDX-License-Identifier: Apache-2.0
"""The control socket and its client in one process; tests/integration has the hostile clients."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from daemon_process import wait_until

from aio.governors.daemon import control
from aio.governors.daemon.console import ControlError, ask
from aio.governors.daemon.control import Connection, ControlServer
from aio.governors.daemon.folder import SOCKET_NAME


def echo(request: Mapping[str, Any]) -> dict[str, object]:
    return {"said": request.get("say")}


def refuse(_: Mapping[str, Any]) -> dict[str, object]:
    raise ValueError("not today")


def flood(_: Mapping[str, Any]) -> dict[str, object]:
    return {"water": "x" * 2_000_000}


HANDLERS = {"echo": echo, "refuse": refuse, "flood": flood}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ControlServer]:
    server = ControlServer(tmp_path / SOCKET_NAME, HANDLERS)
    server.start()
    yield server
    server.stop()


def client(server: ControlServer) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(60)
    connection.connect(str(server.path))
    return connection


def test_questions_and_answers(server: ControlServer) -> None:
    folder = server.path.parent
    assert ask("echo", [folder], say="hello") == {"said": "hello"}
    with pytest.raises(ControlError, match=r"^not today$"):
        ask("refuse", [folder])
    with pytest.raises(ControlError, match="command 'dance': known are echo, refuse, flood"):
        ask("dance", [folder])
    assert len(ask("flood", [folder])["water"]) == 2_000_000


def test_where_it_looks(
    server: ControlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask("echo", [tmp_path / "nowhere", tmp_path], say=1) == {"said": 1}
    monkeypatch.setenv("AIO_RUNTIME_DIR", str(tmp_path))
    assert ask("echo", say=2) == {"said": 2}
    with pytest.raises(ControlError, match="`aio governor` starts one"):
        ask("echo", [tmp_path / "nowhere"])
    assert server.path.exists()


def test_the_socket_goes_and_comes(server: ControlServer, tmp_path: Path) -> None:
    server.stop()
    assert not server.path.exists()
    left_over = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left_over.bind(str(server.path))
    left_over.close()
    with pytest.raises(ControlError, match=r"^no daemon: nobody listens at "):
        ask("echo", [tmp_path])
    again = ControlServer(server.path, HANDLERS)  # replaces what a killed daemon left
    again.start()
    assert ask("echo", [tmp_path], say=3) == {"said": 3}
    again.stop()


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    with pytest.raises(OSError, match=rf"^control socket {long}: .*too long"):
        ControlServer(long, HANDLERS)


def test_clients_in_the_middle_of_something_do_not_stop_the_end(server: ControlServer) -> None:
    waiting, flooded = client(server), client(server)
    waiting.send(b'{"comm')
    flooded.send(b'{"command": "flood"}\n')
    wait_until(lambda: len(server._connections) == 2, "both are accepted")
    server.stop()
    assert waiting.recv(10) == b""
    for connection in (waiting, flooded):
        connection.close()


def test_slow_clients_are_dropped(server: ControlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "PATIENCE_S", 0.05)
    slow = client(server)
    assert slow.recv(10) == b""
    slow.close()


def test_answers_nobody_takes_are_not_kept(
    server: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "PATIENCE_S", 0.2)
    greedy = client(server)
    greedy.send(b'{"command": "flood"}\n' * 3)
    wait_until(lambda: server._connections, "it is accepted")
    (connection,) = server._connections.values()
    wait_until(lambda: not server._connections, "it is dropped")
    assert len(connection.to_send) < 2_100_000
    greedy.close()


def test_other_users_are_refused(
    server: ControlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = os.geteuid()
    monkeypatch.setattr(control, "_CREDENTIALS", Credentials())
    with pytest.raises(ControlError, match=f"user 1234 may not control the daemon of user {uid}"):
        ask("echo", [tmp_path])
    assert not server._connections


def test_lines(server: ControlServer) -> None:
    """Half a line and the end; several at once; one that never ends."""
    half = client(server)
    half.send(b'{"command": "echo"}\n{"command"')
    half.shutdown(socket.SHUT_WR)
    received = b""
    while data := half.recv(1000):
        received += data
    assert [json.loads(line) for line in received.splitlines()] == [
        {"ok": True, "said": None},
        {"ok": False, "error": "the request has no end: a line ends with \\n"},
    ]
    endless = client(server)
    endless.send(b"x" * 5000)
    assert b"a request of more than 4096 bytes" in endless.recv(1000)
    for connection in (half, endless):
        connection.close()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"x\n", "the request is no JSON"),
        (b"[" * 4000 + b"\n", "the request is no JSON"),
        (b"[]\n", 'the request is no object like {"command": "status"}'),
    ],
)
def test_lines_that_are_no_request(server: ControlServer, line: bytes, message: str) -> None:
    connection = client(server)
    connection.send(line)
    assert json.loads(connection.recv(1000)) == {"ok": False, "error": message}
    connection.close()


def test_too_many_connections(server: ControlServer) -> None:
    connections = [client(server) for _ in range(17)]
    answer = json.loads(connections[-1].recv(1000))
    assert answer == {"ok": False, "error": "busy: 16 connections are open"}
    for connection in connections:
        connection.close()


class Credentials:
    """Stands for the kernel's answer about the peer."""

    size = 12

    @staticmethod
    def unpack(_: bytes) -> tuple[int, int, int]:
        return 1, 1234, 1234


class Broken:
    """A socket whose peer is gone."""

    def send(self, *_: object) -> int:
        raise BrokenPipeError

    def recv(self, _: int) -> bytes:
        raise ConnectionResetError


class Blocked:
    """A socket that has nothing and takes nothing."""

    def send(self, *_: object) -> int:
        raise BlockingIOError

    def recv(self, _: int) -> bytes:
        raise BlockingIOError


def test_connections_that_fail() -> None:
    broken, blocked = (Connection(kind(), 0.0) for kind in (Broken, Blocked))  # type: ignore[arg-type]
    assert not broken.receive()
    assert blocked.receive()
    for connection in (broken, blocked):
        connection.to_send = b"x"
    assert not broken.send()
    assert blocked.send()


def test_no_more_descriptors(
    server: ControlServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Exhausted:
        def accept(self) -> tuple[socket.socket, str]:
            raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(server, "_listener", Exhausted())
        server._accept()
    assert "Too many open files" in caplog.text


class Daemon(threading.Thread):
    """Answers one connection with given bytes."""

    def __init__(self, folder: Path, answer: bytes, *, close: bool = True) -> None:
        super().__init__()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(folder / SOCKET_NAME))
        self.listener.listen(1)
        self.answer = answer
        self.close = close
        self.done = threading.Event()

    def run(self) -> None:
        peer, _ = self.listener.accept()
        with self.listener, peer:
            peer.recv(1000)
            peer.sendall(self.answer)
            if not self.close:
                self.done.wait(60)


@pytest.mark.parametrize("answer", [b"", b"no", b"[]\n", b'{"pid": 1}\n', b'{"ok": 1}\n'])
def test_answers_that_are_none(tmp_path: Path, answer: bytes) -> None:
    daemon = Daemon(tmp_path, answer)
    daemon.start()
    with pytest.raises(ControlError, match="the answer is not the daemon's"):
        ask("ping", [tmp_path])
    daemon.join(60)


def test_a_daemon_that_does_not_answer(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, json.dumps({"ok": True}).encode(), close=False)
    daemon.start()
    with pytest.raises(ControlError, match=r"timed out|does not answer"):
        ask("ping", [tmp_path], timeout_s=0.1)
    daemon.done.set()
    daemon.join(60)
    with pytest.raises(ControlError, match="does not answer"):
        ask("ping", [tmp_path], timeout_s=0)


def test_a_full_backlog(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / SOCKET_NAME))
        listener.listen(0)
        waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(2)]
        for connection in waiting:
            connection.setblocking(False)
            connection.connect_ex(str(tmp_path / SOCKET_NAME))
        with pytest.raises(ControlError, match="busy"):
            ask("ping", [tmp_path], timeout_s=0.2)
        for connection in waiting:
            connection.close()
