# SPDX-License-Identifier: Apache-2.0
"""Asking a running server for its state, over TCP or a Unix socket."""

import json
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aio.runtime.errors import InputError

DEFAULT = "http://127.0.0.1:8000"
UNIX = "unix:"
PATH = "/state"


class UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path
        self._patience_s = timeout

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._patience_s)
        self.sock.connect(self._path)


class StateClient:
    """Asks one server again and again.

    Args:
        address: `http://HOST:PORT`, `HOST:PORT`, or `unix:PATH`.
        token_file: holds the token that the server wants.
        timeout_s: how long to wait for an answer.

    Raises:
        InputError: the address is none, or the file can't be read.
    """

    def __init__(self, address: str, token_file: Path | None, timeout_s: float = 5.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._headers: dict[str, str] = {}
        if token_file is not None:
            try:
                token = token_file.read_text(encoding="utf-8").strip()
            except OSError as error:
                raise InputError(f"can't read the token file {token_file}: {error}") from None
            self._headers["Authorization"] = f"Bearer {token}"
        self._connect()

    def get(self) -> dict[str, Any]:
        """Return the state.

        Raises:
            InputError: nothing answers there, or something else does; the message says what to do.
        """
        connection = self._connect()
        try:
            connection.request("GET", PATH, headers=self._headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as error:
            raise InputError(
                f"nothing answers at {self._address}: {error}; start aio-serve, or give the "
                "address that its start line says"
            ) from None
        finally:
            connection.close()
        return self._checked(response.status, body)

    def _checked(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if status == 401:
            raise InputError(f"{self._address} wants a token: give --token-file")
        if status != 200 or not isinstance(answer, dict) or "models" not in answer:
            said = answer.get("error", "") if isinstance(answer, dict) else ""
            raise InputError(
                f"{self._address}{PATH} answers {status} and no state: is it aio-serve? {said}"
            )
        return answer

    def _connect(self) -> HTTPConnection:
        if self._address.startswith(UNIX):
            return UnixConnection(self._address[len(UNIX) :], self._timeout_s)
        text = self._address if "//" in self._address else f"http://{self._address}"
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if host is None or parts.scheme != "http":
            raise InputError(f"address {self._address!r}: expected http://HOST:PORT or {UNIX}PATH")
        return HTTPConnection(host, port or 80, timeout=self._timeout_s)
