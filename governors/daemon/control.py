# SPDX-License-Identifier: Apache-2.0
"""The daemon's Unix socket: a line of JSON is asked, a line of JSON is answered.

One thread serves every connection and never blocks on any. What a client may cost is bounded: the
length of a line, the number of connections, and the time until a line is complete and its answer
taken. Only root and the daemon's own user are listened to.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MAX_LINE_BYTES = 4096
MAX_CONNECTIONS = 16
PATIENCE_S = 5.0
_BACKLOG = 128  # above the connections, so that the ones too many get an answer
_ACCEPT_PAUSE_S = 0.05
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

Handler = Callable[[Mapping[str, Any]], Mapping[str, object]]

_logger = logging.getLogger(__name__)


class Connection:
    """One client: what it sent and what it has not taken yet."""

    def __init__(self, client: socket.socket, now_s: float) -> None:
        self.client = client
        self.received = bytearray()
        self.to_send = b""
        self.ending = False  # close when everything is sent
        self.deadline_s = now_s + PATIENCE_S

    def send(self) -> bool:
        """Send what the client takes; return whether the connection goes on."""
        while self.to_send:
            try:
                sent = self.client.send(self.to_send, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return True
            except OSError:
                return False
            self.to_send = self.to_send[sent:]
        return not self.ending

    def receive(self) -> bool:
        """Take what has come; return whether the connection goes on."""
        try:
            data = self.client.recv(MAX_LINE_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            self.ending = True
            if self.received:
                self.to_send += _error("the request has no end: a line ends with \\n")
            return bool(self.to_send)
        self.received += data
        return True

    def next_line(self) -> bytes | None:
        """Return the next complete line and forget it; None if there is none."""
        line, end, rest = self.received.partition(b"\n")
        if len(line) > MAX_LINE_BYTES:
            self.received.clear()
            self.ending = True
            self.to_send += _error(f"a request of more than {MAX_LINE_BYTES} bytes")
            return None
        if not end:
            return None
        self.received = rest
        return bytes(line)


class ControlServer:
    """Answers requests on a Unix socket, in a thread of its own.

    Args:
        path: where the socket appears; one that is left over is replaced, as the lock allows.
        handlers: what answers which command; a ValueError becomes the answer's `error`.

    Raises:
        OSError: the socket can't be made; the path may be longer than the 107 bytes allowed.
    """

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self.path = path
        self._handlers = handlers
        self._listener = _listen(path)
        self._waker, self._wakened = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakened, selectors.EVENT_READ)
        self._connections: dict[socket.socket, Connection] = {}
        self._thread = threading.Thread(target=self._run, name="aio-control", daemon=True)
        self._stopping = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Send what clients take at once, close everything and remove the socket; works once."""
        if self._stopping:
            return
        self.path.unlink(missing_ok=True)
        self._stopping = True
        self._waker.send(b"\0")
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(self._wait_s()):
                if key.fileobj is self._listener:
                    self._accept()
                elif (connection := self._connections.get(key.fileobj)) is not None:  # type: ignore[call-overload]
                    self._serve(connection)
            now_s = time.monotonic()
            for connection in list(self._connections.values()):
                if now_s >= connection.deadline_s:
                    self._close(connection)
        for connection in list(self._connections.values()):
            connection.send()
            self._close(connection)
        self._selector.close()
        for end in (self._listener, self._waker, self._wakened):
            end.close()

    def _wait_s(self) -> float | None:
        deadlines = [connection.deadline_s for connection in self._connections.values()]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError as error:  # out of descriptors: the client waits in the backlog
            _logger.warning("control socket: %s", error)
            time.sleep(_ACCEPT_PAUSE_S)
            return
        client.setblocking(False)
        refusal = self._refusal(client)
        connection = Connection(client, time.monotonic())
        if refusal is not None:
            connection.to_send = _error(refusal)
            connection.send()
            client.close()
            return
        self._connections[client] = connection
        self._selector.register(client, selectors.EVENT_READ)

    def _refusal(self, client: socket.socket) -> str | None:
        data = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(data)
        if uid not in {0, os.geteuid()}:
            _logger.warning("control socket: process %d of user %d was refused", pid, uid)
            return f"user {uid} may not control the daemon of user {os.geteuid()}"
        if len(self._connections) >= MAX_CONNECTIONS:
            return f"busy: {MAX_CONNECTIONS} connections are open"
        _logger.debug("control socket: process %d of user %d", pid, uid)
        return None

    def _serve(self, connection: Connection) -> None:
        """Go on with a connection. While an answer is not taken, no request is read."""
        alive = connection.send() if connection.to_send else connection.receive()
        while alive and not connection.to_send and (line := connection.next_line()) is not None:
            connection.to_send = self._answer(line)
            connection.deadline_s = time.monotonic() + PATIENCE_S
            alive = connection.send()
        alive = alive and connection.send()
        if not alive:
            self._close(connection)
            return
        waits_for = selectors.EVENT_WRITE if connection.to_send else selectors.EVENT_READ
        self._selector.modify(connection.client, waits_for)

    def _close(self, connection: Connection) -> None:
        del self._connections[connection.client]
        self._selector.unregister(connection.client)
        connection.client.close()

    def _answer(self, line: bytes) -> bytes:
        try:
            request = _parse(line)
            handler = self._handlers.get(request.get("command", ""))
            if handler is None:
                known = ", ".join(self._handlers)
                raise ValueError(f"command {request.get('command')!r:.60}: known are {known}")
            return _line({"ok": True, **handler(request)})
        except ValueError as error:
            return _error(str(error))


def _parse(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("the request is no JSON") from None
    if not isinstance(request, dict) or not isinstance(request.get("command"), str):
        raise ValueError('the request is no object like {"command": "status"}')
    return request


def _line(answer: Mapping[str, object]) -> bytes:
    return json.dumps(answer).encode("ascii") + b"\n"


def _error(message: str) -> bytes:
    return _line({"ok": False, "error": message})


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        # The mode must be right from the first moment, and bind takes it from the umask alone.
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(f"control socket {path}: {error}") from error
    listener.setblocking(False)
    return listener
