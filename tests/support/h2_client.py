# SPDX-License-Identifier: Apache-2.0
"""A client that sends what grpcio never would, on the h2 library."""

from __future__ import annotations

import socket
import time
from typing import Any
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from aio.runtime.serve.rpc.messages import INFERENCE

PATIENCE_S = 20
INFER = f"/{INFERENCE}/ModelInfer"


def framed(message: bytes, compressed: int = 0) -> bytes:
    """Return a message as it is on the wire."""
    return bytes([compressed]) + len(message).to_bytes(4, "big") + message


def frame(kind: int, flags: int, call: int, payload: bytes) -> bytes:
    """Return a frame of HTTP/2 whether it may be sent or not."""
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + call.to_bytes(4, "big") + payload
    )


class Answer:
    """What came of a call so far."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.data = b""
        self.ended = False
        self.reset: int | None = None

    @property
    def code(self) -> int:
        return int(self.headers["grpc-status"])

    @property
    def details(self) -> str:
        return unquote(self.headers.get("grpc-message", ""))


class H2Client:
    """One connection; its socket and its protocol are there to be abused."""

    def __init__(self, place: str | None) -> None:
        assert place is not None
        host, port = place.split(":")
        self.socket = socket.create_connection((host, int(port)), PATIENCE_S)
        config = h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.closed = False
        self.sent_away: int | None = None  # with this error code
        self.flush()

    def close(self) -> None:
        self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def begin(
        self,
        *more: tuple[str, str],
        path: str = INFER,
        message: bytes | None = None,
        **pseudo: str,
    ) -> int:
        """Begin a call; give `method` or `content_type` to have others than gRPC's.

        A short message goes with the headers, so that the server has both at once.
        """
        call = int(self.h2.get_next_available_stream_id())
        self.answers[call] = Answer()
        headers = [
            (":method", pseudo.get("method", "POST")),
            (":scheme", "http"),
            (":authority", "here"),
            (":path", path),
            ("content-type", pseudo.get("content_type", "application/grpc")),
            *more,
        ]
        self.h2.send_headers(call, headers)
        if message is not None:
            self.h2.send_data(call, framed(message), end_stream=True)
        self.flush()
        return call

    def send(self, call: int, data: bytes, *, end: bool = True, piece: int = 16000) -> None:
        """Send bytes of a call, so many at a time, as the server has room for them."""
        while data:
            while not (room := self.h2.local_flow_control_window(call)):
                self.receive()
            size = min(piece, room, len(data))
            self.h2.send_data(call, data[:size])
            data = data[size:]
            self.flush()
        if end:
            self.h2.end_stream(call)
        self.flush()

    def receive(self) -> None:
        """Take what the server sends next; `closed` if that is the end."""
        data = self.socket.recv(65536)
        self.closed = not data
        for event in self.h2.receive_data(data) if data else ():
            self._note(event)
        if not self.closed:
            self.flush()

    def _note(self, event: Any) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.sent_away = int(event.error_code or 0)
        answer = self.answers.get(getattr(event, "stream_id", None) or 0)
        if answer is None:
            return
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            answer.headers |= {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, h2.events.DataReceived):
            answer.data += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code)

    def answer(self, call: int) -> Answer:
        """Return the whole answer of a call."""
        answer = self.answers[call]
        end_s = time.monotonic() + PATIENCE_S
        while not answer.ended and answer.reset is None and not self.closed:
            assert time.monotonic() < end_s
            self.receive()
        return answer

    def wait_for_end(self) -> None:
        """Return when the server has closed the connection."""
        end_s = time.monotonic() + PATIENCE_S
        try:
            while not self.closed:
                assert time.monotonic() < end_s
                self.receive()
        except ConnectionError:
            self.closed = True
