# SPDX-License-Identifier: Apache-2.0
"""`aio top` before a server around a fake engine, and before none."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from fake_engine import SHAPE, FakeEngine, LiveServer, serving, tensor_json
from outlooks import decide
from rich.console import Console

from aio.governors import AdaptivePolicy
from aio.runtime.cli import main
from aio.runtime.commands.server_state import StateClient
from aio.runtime.commands.top_text import screen
from aio.runtime.errors import InputError

X = np.zeros((1, *SHAPE), np.float32)


@pytest.fixture(scope="module")
def served() -> Iterator[LiveServer]:
    engine = FakeEngine(decisions=(decide(AdaptivePolicy(), [30.0, 9.0], 20.0),))
    with serving(lambda: engine) as live:
        live.wait_for(live.announced.is_set)
        yield live


def top(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["top", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_once_shows_clock_level_latency_and_reasons(
    served: LiveServer, capsys: pytest.CaptureFixture[str]
) -> None:
    code, before, _ = top(capsys, f"127.0.0.1:{served.port}", "--once")
    assert code == 0
    assert "no request yet" in before
    assert served.infer(tensor_json(X)).status == 200
    _, out, _ = top(capsys, f"http://127.0.0.1:{served.port}/", "--once")
    assert "CPU by fake  1510 MHz" in out
    assert "not readable here" in out
    assert "target 1.00 ms  p50 0.500" in out
    assert "queue 0 of 64" in out
    assert "highest 0.500 ms" in out
    assert "target 20.0 ms" in out.splitlines()[-1]  # the reason of the change


def test_json_is_the_state(served: LiveServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = top(capsys, f"127.0.0.1:{served.port}", "--json")
    assert code == 0
    assert json.loads(out)["models"][0]["name"] == "fake"


def test_nothing_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        code, _, err = top(capsys, address, "--once")
    assert code == 2
    assert f"nothing answers at {address}" in err
    assert "start aio-serve" in err


@pytest.mark.parametrize(
    ("address", "message"),
    [("ftp://x", "expected http://"), ("http://x:port", "expected http://"), ("", "expected http")],
)
def test_addresses_that_are_none(
    address: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = top(capsys, address, "--once")
    assert code == 2
    assert message in err


def test_an_interval_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = top(capsys, "--interval", "0")
    assert code == 2
    assert "--interval is 0.0" in err


def test_a_server_before_its_model_is_loaded() -> None:
    loaded = threading.Event()

    def loader() -> FakeEngine:
        loaded.wait(20)
        return FakeEngine()

    with serving(loader) as live:
        state = StateClient(f"127.0.0.1:{live.port}", None).get()
        loaded.set()
        live.wait_for(live.announced.is_set)
    console = Console(width=100)
    with console.capture() as capture:
        console.print(screen(state))
    assert "no model is loaded; the server is loading" in capture.get()


class Guarded(BaseHTTPRequestHandler):
    """Answers with what it got, or 401."""

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == "Bearer secret"
        body = b'{"models": []}' if allowed else b"{}"
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class UnixServer(HTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        return self.socket.accept()[0], ("client", 0)


def test_token_and_unix_socket(tmp_path: Path) -> None:
    path, token = tmp_path / "sock", tmp_path / "token"
    token.write_text("secret\n")
    with UnixServer(str(path), Guarded) as server:  # type: ignore[arg-type]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert StateClient(f"unix:{path}", token).get() == {"models": []}
            with pytest.raises(InputError, match="wants a token: give --token-file"):
                StateClient(f"unix:{path}", None).get()
            with pytest.raises(InputError, match="can't read the token file"):
                StateClient(f"unix:{path}", tmp_path / "none")
        finally:
            server.shutdown()
            thread.join()


def test_another_server_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    class Other(Guarded):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"hi")

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            code, _, err = top(capsys, f"127.0.0.1:{server.server_port}", "--once")
        finally:
            server.shutdown()
            thread.join()
    assert code == 2
    assert "is it aio-serve?" in err
