# SPDX-License-Identifier: Apache-2.0
"""What a server adds to an inference: requests to the real process beside `infer` in this one.

The same tensor goes to `Runtime.infer` here and, as a binary V2 request, to `aio-serve` over each
way there is, always at the densest level; and the same bytes go to processes that only receive
and answer, which is what asyncio and the kernel take, or grpcio. They alternate call by call, those
of HTTP and then those of gRPC, so what the machine does meanwhile hits all alike, and none finds
caches warmer than another. Now and then each makes some calls in a row, which find everything as
one client finds it that asks again and again. Every time is of a whole call, from before sending to
after the last byte of the answer.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aio.runtime.benchmark import serving_grpc
from aio.runtime.runtime import Runtime
from aio.runtime.serve.rpc.reserve import missing_module

SEED = 0
LEVEL = 0
ECHO = "echo"
ROW_EVERY = 20  # rounds; so long is a row too
WARM_UP_ROUNDS = 20
START_LINE = re.compile(r"aio-serve: (?P<model>\S+) on http://127\.0\.0\.1:(?P<port>\d+)")
GRPC_PLACE = re.compile(r"\| grpc (?P<place>\S+)")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
START_S = 60

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Way:
    """Times of one way to an answer, ms, in turns with the others and in a row.

    What is `added` is the difference of medians to `infer`, to the one that took turns with it;
    None of an echo, which runs no model: all of its time is what the way itself takes.
    """

    name: str
    p50_ms: float
    p95_ms: float
    added_ms: float | None
    row_p50_ms: float
    row_added_ms: float | None


@dataclass(frozen=True, slots=True)
class Times:
    """What one way took, ms: in turns with the others, and in a row."""

    turns: list[float] = field(default_factory=list)
    row: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ServingResult:
    """One model; resident memory is the server's, after the load."""

    model: str
    isa: str
    threads: int
    shape: tuple[int, ...]
    request_bytes: int
    calls: int
    cpus: int
    rss_bytes: int
    ways: tuple[Way, ...]


class ServingError(RuntimeError):
    """The server did not start, or did not answer."""


def bench_serving(
    path: Path,
    *,
    threads: int,
    seconds: float,
    progress: Callable[[float], object] = lambda part: None,
) -> ServingResult:
    """Measure one model for about this long.

    Raises:
        ServingError: the server did not start, or did not answer.
    """
    with Runtime.load(path, threads=threads, level=LEVEL) as runtime:
        shape = (1, *runtime.inputs[0].shape)
        x = np.random.default_rng(SEED).random(shape, dtype=np.float32)
        request = _request(runtime, x)
        parts = 2 if missing_module() is None and serving_grpc.has_client() else 1

        def infer() -> object:
            return runtime.infer(x)

        with _http_calls(path, threads, request) as (calls, server):
            times = _alternate(
                {"infer": infer, **calls}, seconds / parts, lambda done: progress(done / parts)
            )
            rss_bytes = _rss_bytes(server.pid)
        ways = _ways(times)
        if parts == 2:
            with _grpc_calls(path, threads, serving_grpc.request(runtime, x)) as calls:
                ways += _ways(
                    _alternate(
                        {"infer, beside gRPC": infer, **calls},
                        seconds / parts,
                        lambda done: progress((1 + done) / parts),
                    )
                )
        return ServingResult(
            model=runtime.name,
            isa=runtime.isa,
            threads=threads,
            shape=shape,
            request_bytes=len(request),
            calls=len(times["infer"].turns),
            cpus=len(os.sched_getaffinity(0)),
            rss_bytes=rss_bytes,
            ways=tuple(ways),
        )


@contextlib.contextmanager
def _http_calls(
    path: Path, threads: int, request: bytes
) -> "Iterator[tuple[dict[str, Call], subprocess.Popen[str]]]":
    """Yield the calls over HTTP, and the server's process."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aio-")))
        unix, echo_unix = folder / "serve.sock", folder / "echo.sock"
        server, line = stack.enter_context(_server(path, threads, "--unix-socket", str(unix)))
        port = int(_found(START_LINE, line)["port"])
        with _connect(port) as client:
            answer_bytes = len(_ask(client, request))
        echo = ("echo", str(len(request)), str(answer_bytes), str(echo_unix))
        targets: dict[str, int | Path] = {
            "HTTP": port,
            "HTTP, Unix socket": unix,
            ECHO: stack.enter_context(_echo(*echo)),
            f"{ECHO}, Unix socket": echo_unix,
        }
        calls: dict[str, Call] = {}
        for name, target in targets.items():
            calls[name] = _caller(stack.enter_context(_connect(target)), request)
        yield calls, server


@contextlib.contextmanager
def _grpc_calls(path: Path, threads: int, request: tuple[str, bytes]) -> Iterator[dict[str, Call]]:
    """Yield the calls over gRPC; the server is another one, as gRPC takes memory."""
    method, message = request
    with contextlib.ExitStack() as stack:
        _, line = stack.enter_context(_server(path, threads, "--grpc-port", "0"))
        place = _found(GRPC_PLACE, line)["place"]
        call = stack.enter_context(serving_grpc.caller(place, method, message))
        echo_port = stack.enter_context(_echo("grpc-echo", str(len(call()))))
        echo_place = f"127.0.0.1:{echo_port}"
        echo = stack.enter_context(serving_grpc.caller(echo_place, serving_grpc.ECHO, message))
        yield {"gRPC": call, f"{ECHO}, gRPC": echo}


def _ways(times: dict[str, Times]) -> list[Way]:
    """Return what was measured; the first is what the others are held against."""
    base = next(iter(times.values()))
    base_ms, base_row_ms = float(np.median(base.turns)), float(np.median(base.row))
    ways = []
    for name, each in times.items():
        p50, p95 = (float(value) for value in np.percentile(each.turns, (50, 95)))
        row = float(np.median(each.row))
        if name.startswith(ECHO):
            ways.append(Way(name, p50, p95, None, row, None))
        else:
            ways.append(Way(name, p50, p95, p50 - base_ms, row, row - base_row_ms))
    return ways


def _alternate(
    calls: dict[str, Call], seconds: float, progress: Callable[[float], object]
) -> dict[str, Times]:
    times = {name: Times() for name in calls}
    for _ in range(WARM_UP_ROUNDS):
        for call in calls.values():
            call()
    begin_s, rounds = time.monotonic(), 0
    while (spent_s := time.monotonic() - begin_s) < seconds or not rounds:
        for name, call in calls.items():
            times[name].turns.append(_took_ms(call))
        if rounds % ROW_EVERY == 0:
            for name, call in calls.items():
                call()  # the first finds what the one before has left
                times[name].row.extend(_took_ms(call) for _ in range(ROW_EVERY))
        rounds += 1
        progress(min(spent_s / seconds, 1.0))
    return times


def _took_ms(call: Call) -> float:
    begin_ns = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - begin_ns) / 1e6


def _request(runtime: Runtime, x: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> bytes:
    info = runtime.inputs[0]
    tensor = {
        "name": info.name,
        "shape": list(x.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": x.nbytes},
    }
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    head = (
        f"POST /v2/models/{runtime.name}/infer HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(text) + x.nbytes}\r\n"
        f"Inference-Header-Content-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text + x.tobytes()


def _connect(target: int | Path) -> socket.socket:
    if isinstance(target, Path):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(target))
        return client
    client = socket.create_connection(("127.0.0.1", target))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def _caller(client: socket.socket, request: bytes) -> Call:
    return lambda: _ask(client, request)


def _ask(client: socket.socket, request: bytes) -> bytes:
    client.sendall(request)
    answer = bytearray()
    while True:
        part = client.recv(65536)
        if not part:
            raise ServingError("the server closed the connection")
        answer += part
        end = answer.find(b"\r\n\r\n")
        if end < 0:
            continue
        length = LENGTH.search(answer, 0, end + 2)
        if length is None or not answer.startswith(b"HTTP/1.1 200"):
            raise ServingError(f"the server answered {bytes(answer[:300])!r}")
        if len(answer) >= end + 4 + int(length[1]):
            return bytes(answer)


@contextlib.contextmanager
def _server(
    path: Path, threads: int, *options: str
) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """Yield the server's process and its start line."""
    command = [sys.executable, "-m", "aio.runtime.benchmark.serving_subject", "serve"]
    command += [str(path), "--port", "0", "--threads", str(threads), "--level", str(LEVEL)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.terminate()


def _found(pattern: re.Pattern[str], line: str) -> re.Match[str]:
    found = pattern.search(line)
    if found is None:
        raise ServingError(f"the server did not start: {line!r}")
    return found


@contextlib.contextmanager
def _echo(*arguments: str) -> Iterator[int]:
    command = [sys.executable, "-m", "aio.runtime.benchmark.serving_subject"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _rss_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
