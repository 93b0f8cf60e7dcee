# SPDX-License-Identifier: Apache-2.0
"""Asking a running server for its state, over TCP or a Unix socket."""

import json
import socket
from http.client import HTTPConnection, HTTPException, InvalidURL
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aio.runtime.errors import InputError
from aio.runtime.serve.security.token_file import first_token

DEFAULT = "http://127.0.0.1:8000"
UNIX = "unix:"
PATH = "/state"
HTTP_PORT = 80


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
        token_file: holds the token that the server wants, in the form of the server's own file.
        timeout_s: how long to wait for an answer.

    Raises:
        InputError: the address is none, or the file holds no token.
    """

    def __init__(self, address: str, token_file: Path | None, timeout_s: float = 5.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._headers: dict[str, str] = {}
        self._token_file = token_file
        if token_file is not None:
            self._headers["Authorization"] = f"Bearer {first_token(token_file)}"
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
        except (OSError, HTTPException, UnicodeError) as error:  # UnicodeError: no name for DNS
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
            raise InputError(self._refused())
        if status != 200 or not isinstance(answer, dict) or "models" not in answer:
            said = answer.get("error", "") if isinstance(answer, dict) else ""
            raise InputError(
                f"{self._address}{PATH} answers {status} and no state: is it aio-serve? {said}"
            )
        return answer

    def _refused(self) -> str:
        if self._token_file is None:
            return f"{self._address} wants a token: give --token-file"
        return (
            f"{self._address} refuses the first token in {self._token_file}: it is not one of the "
            "server's; give the file that the server was started with"
        )

    def _connect(self) -> HTTPConnection:
        if self._address.startswith(UNIX):
            return UnixConnection(self._address[len(UNIX) :], self._timeout_s)
        text = self._address if "//" in self._address else f"http://{self._address}"
        try:
            parts = urlsplit(text)
            if parts.scheme == "http" and parts.hostname is not None:
                port = HTTP_PORT if parts.port is None else parts.port
                return HTTPConnection(parts.hostname, port, timeout=self._timeout_s)
        except (ValueError, InvalidURL):  # InvalidURL: a space or control character in the name
            pass
        raise InputError(f"address {self._address!r}: expected http://HOST:PORT or {UNIX}PATH")
