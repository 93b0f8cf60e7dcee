# SPDX-License-Identifier: Apache-2.0
"""Asking servers that want a token, are behind a Unix socket, or are something else."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from aio.runtime.cli import main
from aio.runtime.commands.server_state import StateClient
from aio.runtime.errors import InputError

TOKEN = "0123456789abcdef"
OTHER = "fedcba9876543210"


class Guarded(BaseHTTPRequestHandler):
    """Answers an empty state to who knows the token, else 401."""

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        self.answer(200 if allowed else 401, b'{"models": []}' if allowed else b"{}")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class Other(Guarded):
    def do_GET(self) -> None:
        self.answer(200, b"hi")


class UnixServer(HTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        return self.socket.accept()[0], ("client", 0)


@contextmanager
def running(server: HTTPServer) -> Iterator[None]:
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "sock"
    with running(UnixServer(str(path), Guarded)):  # type: ignore[arg-type]
        yield f"unix:{path}"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [TOKEN, f"# my tokens\n\n  {TOKEN}\r\n{OTHER}\n", b"# Schl\xfcssel\n" + TOKEN.encode()],
)
def test_the_first_token_is_sent(address: str, tmp_path: Path, content: str | bytes) -> None:
    token = write(tmp_path / "token", content)
    token.chmod(0o644)  # a client may be lent one that others can read
    assert StateClient(address, token).get() == {"models": []}


def test_no_token_and_a_wrong_one_are_told_apart(address: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wants a token: give --token-file"):
        StateClient(address, None).get()
    wrong = write(tmp_path / "token", f"{OTHER}\n{TOKEN}\n")
    with pytest.raises(InputError, match="is not one of the server's") as caught:
        StateClient(address, wrong).get()
    assert str(wrong) in str(caught.value)
    assert OTHER not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("# my tokens\n", "holds no token"),
        ("two words in one line\n", "line 1 .* no header can carry"),
        (b"\xff\xfe" + f"{TOKEN}\n".encode("utf-16-le"), "line 1 .* no header can carry"),
        ("pässword-pässword\n", "line 1 .* no header can carry"),
    ],
)
def test_files_that_are_none_name_themselves(
    tmp_path: Path,
    content: str | bytes,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(tmp_path / "token", content)
    assert main(["top", "127.0.0.1:1", "--token-file", str(path)]) == 2
    err = capsys.readouterr().err
    assert str(path) in err
    with pytest.raises(InputError, match=said):
        StateClient("127.0.0.1:1", path)
    assert not any(secret in err for secret in (TOKEN, "words", "ssword", "my tokens"))


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"can't read the token file .*none: No such file"):
        StateClient("127.0.0.1:1", tmp_path / "none")


def test_another_server_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    server = HTTPServer(("127.0.0.1", 0), Other)
    with running(server):
        assert main(["top", f"127.0.0.1:{server.server_port}", "--once"]) == 2
    assert "is it aio-serve?" in capsys.readouterr().err
