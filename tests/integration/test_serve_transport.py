# SPDX-License-Identifier: Apache-2.0
"""The server process on TCP and a Unix socket, and what it leaves behind."""

import contextlib
import resource
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from serve_process import environment, serve_command, serve_process, wait_for


@pytest.fixture
def path() -> Iterator[Path]:
    """Yield a short path: pytest's folders are too deep for a socket."""
    with TemporaryDirectory(prefix="aio-") as folder:
        yield Path(folder) / "serve.sock"


def ask(path: Path) -> int:
    connection = HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", "/v2/models/digits/ready")
    status = connection.getresponse().status
    connection.close()
    return status


def test_tcp_and_a_unix_socket_at_once(path: Path, tmp_path: Path) -> None:
    with serve_process(
        environment(tmp_path), "--unix-socket", path, "--unix-mode", "0600"
    ) as server:
        assert f" and unix:{path} | " in server.start_line
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert ask(path) == 200
        assert server.request("GET", "/v2/health/ready")[0] == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
    assert not path.exists()


def test_a_start_after_a_kill(path: Path, tmp_path: Path) -> None:
    environ = environment(tmp_path)
    with serve_process(environ, "--unix-socket", path) as server:
        server.process.kill()
        server.wait()
    assert path.is_socket()
    with serve_process(environ, "--unix-socket", path):
        assert ask(path) == 200


def test_a_unix_socket_alone(path: Path, tmp_path: Path) -> None:
    command = serve_command("--unix-socket", path, "--no-tcp", "--port", "1")
    with subprocess.Popen(
        command, env=environment(tmp_path), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith(f"aio-serve: digits on unix:{path} | ")
            wait_for(lambda: ask(path) == 200, "the model")
        finally:
            process.terminate()
        text = process.stdout.read()
        assert f"curl -s --unix-socket {path} http://localhost/v2/models/digits/infer" in text
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no-tcp"], "--no-tcp leaves nothing to listen on"),
        (["--unix-socket", "/nowhere/x"], "can't listen on /nowhere/x"),
        (["--unix-socket", "/x" * 100], "choose a shorter"),
        (["--unix-mode", "9"], "expected octal digits from 0 to 0777"),
    ],
)
def test_what_cannot_be_listened_on(arguments: list[str], message: str) -> None:
    command = serve_command("--port", "0", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_want_of_descriptors_is_told_in_one_line(tmp_path: Path) -> None:
    with serve_process(environment(tmp_path)) as server, contextlib.ExitStack() as stack:
        # Room for a few: below what the process has, only new ones are refused.
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (24, 24))
        for _ in range(60):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        wait_for(lambda: "can't accept" in server.logged(), "the line")
        time.sleep(1.5)  # and it has tried again
        stack.close()
        wait_for(lambda: server.request("GET", "/v2/health/live")[0] == 200, "an answer")
        assert server.logged().count("\n") <= 2  # on a machine so slow that it is told again
