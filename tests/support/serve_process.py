# SPDX-License-Identifier: Apache-2.0
"""The real server in a process of its own, as a user would start it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import IO

START = re.compile(
    r"^aio-serve: (?P<model>\S+) on http://127\.0\.0\.1:(?P<port>\d+)(?: and unix:\S+)? \| "
)
PATIENCE_S = 60


def serve_command(*arguments: object) -> list[str]:
    """Return the command of the server that belongs to this interpreter."""
    server = Path(sys.executable).with_name("aio-serve")
    if not server.exists():
        raise SystemExit(
            f"{sys.executable} has no aio-serve beside it; "
            "run this with the project's interpreter, .venv/bin/python after scripts/install"
        )
    return [str(server), *map(str, arguments)]


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return an environment whose caches stay below `folder`."""
    return {**os.environ, "AIO_CACHE_DIR": str(folder / "cache"), **variables}


@dataclass
class ServeProcess:
    """A server that has printed its start line."""

    process: subprocess.Popen[str]
    log: IO[str]
    start_line: str
    model: str
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        text = self.request("GET", "/metrics")[1].decode()
        values = re.findall(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, values))

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)

    def logged(self) -> str:
        """Return what the process has written to standard error."""
        self.log.seek(0)
        return self.log.read()


@contextlib.contextmanager
def serve_process(
    environ: Mapping[str, str], *arguments: object, port: int = 0
) -> Iterator[ServeProcess]:
    """Start the server, on a free port; yield after its start line; kill it in the end."""
    command = serve_command(*arguments, "--port", port)
    # The log goes to a file: a pipe nobody reads would stop the server when it is full.
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command, env=dict(environ), stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            server = ServeProcess(process, log, process.stdout.readline(), "", 0)
            found = START.match(server.start_line)
            assert found, f"no start line: {server.start_line!r} {server.logged()}"
            server.model, server.port = found["model"], int(found["port"])
            watchdog.cancel()
            yield server
        finally:
            watchdog.cancel()
            process.kill()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, f"timed out waiting for {what}"
        time.sleep(0.01)
