# SPDX-License-Identifier: Apache-2.0
"""The real process as a service manager sees it: settings, access, draining, logs, crashes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO, Any

import pytest
from model_parts import ModelBuilder
from serve_process import PATIENCE_S, environment, serve_command, wait_for

from aio.runtime.shipped import EXAMPLE_REQUEST

SECRET = "integration-test-token"
INFER = "/v2/models/digits/infer"
BODY = EXAMPLE_REQUEST.read_bytes()
SEED = 5


@dataclass
class Service:
    """A server that was started, perhaps not ready."""

    process: subprocess.Popen[str]
    log: IO[str]
    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def status(self, path: str, body: bytes | None = None, **headers: str) -> int | None:
        """Return the status of an answer, None if nobody answers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            try:
                method = "GET" if body is None else "POST"
                connection.request(method, path, body, {**self.headers, **headers})
                return connection.getresponse().status
            except (OSError, HTTPException):
                return None

    def wait_ready(self) -> None:
        wait_for(lambda: self.status("/v2/health/ready") == 200, "the server to be ready")

    def logged(self) -> str:
        self.log.seek(0)
        return self.log.read()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def service(environ: Mapping[str, str], *arguments: object, port: int = 0) -> Iterator[Service]:
    """Start a server and go on at once; kill it in the end."""
    port = port or free_port()
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            serve_command(*arguments, "--port", port),
            env=dict(environ),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield Service(process, log, port)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return environment(tmp_path_factory.mktemp("deployment"))


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


def check(environ: Mapping[str, str], *arguments: object) -> tuple[int, str, str]:
    done = subprocess.run(
        serve_command(*arguments, "--check"),
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_check_says_what_would_be_used(environ: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "x.toml"
    config.write_text("target-ms = 5\nlog-format = 'text'\n[limit]\nconnections = 3\n")
    variables = {**environ, "AIO_SERVE_LOG_FORMAT": "json"}
    code, said, errors = check(variables, "--config", config, "--port", 0)
    assert (code, errors) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line}
    assert rows["target-ms"] == ["5.0", str(config)]
    assert rows["log-format"] == ["json", "AIO_SERVE_LOG_FORMAT"]
    assert rows["limit.connections"] == ["3", str(config)]
    assert rows["port"] == ["0", "command", "line"]
    assert rows["host"] == ["127.0.0.1", "default"]
    assert "model: digits, 9 levels" in said


def test_check_finds_everything_that_is_wrong(environ: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said, errors = check(
            environ, tmp_path / "none.aio", "--port", port, "--token-file", tmp_path / "none"
        )
    assert (code, errors) == (2, "")
    failed = [line.split()[1] for line in said.splitlines() if line.startswith("FAIL")]
    assert failed == ["access:", "address:", "model:"]


@pytest.mark.parametrize(
    ("file", "variables", "said"),
    [
        ("prot = 1", {}, "there is no setting 'prot'; do you mean 'port'?"),
        ("[limit]\nconnections = 0", {}, "limit connections: expected a whole number from 1 to"),
        ("[limit]\nbody_bytes = -1", {}, "a whole number from 1024 to 1024GiB, found '-1'"),
        ("", {"AIO_SERVE_PRT": "1"}, "no option has the variable AIO_SERVE_PRT"),
        ("", {"AIO_SERVE_HOST": "0.0.0.0"}, "--token-file"),
        ('allowed-origin = "*"', {}, "'*' is no origin of web pages"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(
    environ: dict[str, str], tmp_path: Path, file: str, variables: dict[str, str], said: str
) -> None:
    config = tmp_path / "x.toml"
    config.write_text(file)
    with service({**environ, **variables}, "--config", config) as server:
        assert server.process.wait(PATIENCE_S) == 2
        (line,) = server.logged().splitlines()
    assert line.startswith("aio-serve: error: ")
    assert said in line


def test_an_address_of_others_with_a_token(environ: dict[str, str], token_file: Path) -> None:
    with service(environ, "--host", "0.0.0.0", "--token-file", token_file) as server:
        wait_for(lambda: server.status("/v2/health/live") == 200, "the server to live")
        server.wait_ready()
        assert server.status(INFER, BODY) == 401
        assert server.status("/metrics") == 401
        assert server.status(INFER, BODY, Authorization="Bearer wrong") == 401
        assert server.status(INFER, BODY, Authorization=f"Bearer {SECRET}") == 200
        assert server.status(INFER, BODY, Authorization=f"Bearer {SECRET}", Host="any") == 200
        # The next token is taken while the server runs.
        other = token_file.with_name("other")
        other.write_text("the-token-of-next-week\n")
        other.chmod(0o600)
        other.replace(token_file)
        wait_for(
            lambda: server.status(INFER, BODY, Authorization=f"Bearer {SECRET}") == 401,
            "the old token to be forgotten",
        )
        assert server.status(INFER, BODY, Authorization="Bearer the-token-of-next-week") == 200
        server.process.terminate()
        assert server.process.wait(PATIENCE_S) == 0
        assert SECRET not in server.logged()


def test_other_names_and_pages_are_refused(environ: dict[str, str]) -> None:
    with service(environ, "--allowed-host", "device.local") as server:
        server.wait_ready()
        assert server.status(INFER, BODY, Host="device.local") == 200
        assert server.status(INFER, BODY, Host="evil.org") == 421
        assert server.status(INFER, BODY, Origin="http://evil.org") == 403


def test_draining(environ: dict[str, str]) -> None:
    with service(environ, "--drain-delay", 3600) as server:
        server.wait_ready()
        server.process.terminate()
        wait_for(lambda: server.status("/v2/health/ready") == 503, "the server to be not ready")
        # Who has not noticed yet is still served, on a new connection too.
        assert server.status(INFER, BODY) == 200
        assert server.status("/v2/health/live") == 200
        server.process.terminate()
        assert server.process.wait(PATIENCE_S) == 0


def test_the_end_of_draining(environ: dict[str, str]) -> None:
    with service(environ, "--drain-delay", 0.2) as server:
        server.wait_ready()
        server.process.terminate()
        assert server.process.wait(PATIENCE_S) == 0
        assert server.status("/v2/health/live") is None


def test_the_service_manager_is_told(environ: dict[str, str], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)
        variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "10000000"}
        with service({**environ, **variables}) as server:
            told = [manager.recv(1000).decode()]
            while not told[-1].startswith("READY=1"):
                told.append(manager.recv(1000).decode())
            assert server.status("/v2/health/ready") == 200
            assert told[-1] == "READY=1\nSTATUS=serving digits"
            while told[-1] != "WATCHDOG=1":
                told.append(manager.recv(1000).decode())
            server.process.terminate()
            while told[-1] != "STOPPING=1":
                told.append(manager.recv(1000).decode())
            assert server.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("output", "logged"),
    [
        (">&-", ""),
        (
            ">/dev/full",
            "aio-serve: WARNING: can't write the start line to standard output: "
            "No space left on device\n",
        ),
    ],
)
def test_a_useless_standard_output_is_no_failure(
    environ: dict[str, str], output: str, logged: str
) -> None:
    port = free_port()
    command = serve_command("--port", port)
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            ["sh", "-c", f'exec "$@" {output}', "sh", *command], env=environ, stderr=log, text=True
        ) as process,
    ):
        server = Service(process, log, port)
        try:
            server.wait_ready()
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
        assert server.logged() == logged


def test_json_logs(environ: dict[str, str]) -> None:
    with service(environ, "--log-format", "json", "--log-level", "info") as server:
        assert server.process.stdout is not None
        start = json.loads(server.process.stdout.readline())
        assert start["model"] == "digits"
        assert start["address"] == f"http://127.0.0.1:{server.port}"
        assert server.status(f"{INFER}?secret=hidden", BODY, Authorization="Bearer hidden") == 200
        server.process.terminate()
        assert server.process.wait(PATIENCE_S) == 0
        assert server.process.stdout.read() == ""
        entries: list[dict[str, Any]] = [json.loads(line) for line in server.logged().splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(entry) for entry in entries)
    (request,) = [entry for entry in entries if entry.get("path") == INFER]
    assert (request["status"], request["model"]) == (200, "digits")
    assert isinstance(request["aio_ratio"], float)
    assert "hidden" not in str(entries)


@contextlib.contextmanager
def load_on(server: Service) -> Iterator[list[int | None]]:
    """Ask from several connections until the end; yield what was answered."""
    statuses: list[int | None] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            statuses.append(server.status(INFER, BODY))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_killed_under_load_and_started_again_at_the_same_address(environ: dict[str, str]) -> None:
    port = free_port()
    for _ in range(2):
        with service(environ, port=port) as server:
            server.wait_ready()
            with load_on(server) as statuses:
                wait_for(lambda: statuses.count(200) > 50, "answers under load")
                server.process.kill()
                assert server.process.wait(PATIENCE_S) == -signal.SIGKILL
    with service(environ, port=port) as server:
        server.wait_ready()
        assert server.status(INFER, BODY) == 200
        assert server.logged() == ""


def test_killed_while_loading_and_started_again(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    moments = random.Random(SEED)
    environ = environment(tmp_path)
    port = free_port()
    for _ in range(4):
        with service(environ, port=port) as server:
            wait_for(lambda: server.status("/v2/health/live") == 200, "the server to listen")
            time.sleep(moments.uniform(0, 0.3))  # any moment of loading or calibrating will do
            server.process.kill()
    with service(environ, port=port) as server:
        server.wait_ready()
        assert server.status(INFER, BODY) == 200


def long_to_calibrate(folder: Path) -> Path:
    """Write a model of which a calibration makes seconds of inferences that nothing interrupts."""
    builder = ModelBuilder((3, 96, 96), (0.0, 0.5))
    source, channels = "x", 3
    for i in range(3):
        source = builder.conv(f"conv{i}", source, (256, channels, 3, 3), padding=(1, 1, 1, 1))
        channels = 256
    builder.node("gap", "global_avg_pool2d", [source])
    builder.node("flat", "flatten", ["gap"])
    builder.linear("head", "flat", (10, 256))
    return builder.finish(["head"], name="long").write(folder / "long.aio")


@pytest.mark.parametrize("output", [">/dev/null", ">&-"])
def test_a_signal_ends_a_calibration(tmp_path: Path, output: str) -> None:
    port = free_port()
    command = serve_command("--port", port, long_to_calibrate(tmp_path))
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            ["sh", "-c", f'exec "$@" {output}', "sh", *command],
            env=environment(tmp_path), stderr=log, text=True,
        ) as process,
    ):  # fmt: skip
        server = Service(process, log, port)
        try:
            wait_for(lambda: server.status("/v2/health/live") == 200, "the server to listen")
            assert server.status("/v2/health/ready") == 503
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
        logged = server.logged()
        assert "Traceback" not in logged
        assert "stopped in the middle of loading" in logged


def test_a_calibration_that_was_cut_off_does_not_stop_the_start(tmp_path: Path) -> None:
    environ = environment(tmp_path)
    with service(environ) as server:
        server.wait_ready()
    (path,) = (tmp_path / "cache").glob("latency-*.json")
    os.truncate(path, path.stat().st_size // 2)
    path.with_name(f".{path.name}.abcdefgh").write_text("half of a temporary file")
    with service(environ) as server:
        server.wait_ready()
        assert server.status(INFER, BODY) == 200
        assert re.search("ignoring the damaged calibration", server.logged())
