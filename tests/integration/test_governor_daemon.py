# SPDX-License-Identifier: Apache-2.0
"""The real daemon on a fake sysfs: killed, stopped, restarted, its file destroyed, while read.

What a client may never see: an exception, a wait, or a wrong clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_parts import FakeSource
from daemon_process import DaemonProcess, ask_governor, daemon_process, governor, wait_until
from fake_machine import FakeMachine, PolicySpec

from aio.governors.base import Status
from aio.governors.daemon import SharedSensors
from aio.governors.daemon.console import ControlError, ask

CPUS = tuple(sorted(os.sched_getaffinity(0)))
TOP_KHZ, LOW_KHZ, OWN_KHZ = 2_000_000, 500_000, 700_000
# One reading of a client takes some 50 us; this much would be a wait.
BLOCKED_S = 2.0


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    fake = FakeMachine(tmp_path / "root")
    steps = tuple(range(LOW_KHZ, TOP_KHZ + 1, 100_000))
    fake.add_policy(PolicySpec(0, CPUS, steps, "cpufreq-dt", "schedutil"))
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def start(folder: Path, machine: FakeMachine) -> Iterator[DaemonProcess]:
    with daemon_process(folder, "--period-ms", "5", AIO_SYSFS_ROOT=str(machine.root)) as daemon:
        yield daemon


@pytest.fixture
def daemon(folder: Path, machine: FakeMachine) -> Iterator[DaemonProcess]:
    yield from start(folder, machine)


class Reader(threading.Thread):
    """A client that reads all the time, and notes every clock and how long each reading took."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.own: list[FakeSource] = []
        self.seen: set[int | None] = set()
        self.slowest_s = 0.0
        self.reads = 0
        self.failure: BaseException | None = None
        self._stopping = False
        self.sensors = SharedSensors(self._open_own, [folder / "governor.samples"])

    def _open_own(self) -> FakeSource:
        self.own.append(FakeSource(OWN_KHZ))
        return self.own[-1]

    def run(self) -> None:
        try:
            while not self._stopping:
                begin_s = time.monotonic()
                sample = self.sensors.read()
                self.slowest_s = max(self.slowest_s, time.monotonic() - begin_s)
                self.seen.add(sample.clock.cpu_khz)
                self.reads += 1
                time.sleep(0.0005)
        except BaseException as error:  # whatever it is, the test must know
            self.failure = error
            raise

    @property
    def shared(self) -> bool:
        return self.sensors.capabilities[0].status is Status.VALUE

    def stop(self) -> None:
        self._stopping = True
        self.join(30)
        self.sensors.close()
        assert self.failure is None
        assert self.slowest_s < BLOCKED_S
        assert self.reads > 10
        assert self.seen <= {TOP_KHZ, LOW_KHZ, OWN_KHZ}


@pytest.fixture
def reader(folder: Path) -> Iterator[Reader]:
    reader = Reader(folder)
    reader.start()
    yield reader
    reader.stop()


def test_clients_follow_the_clock(
    daemon: DaemonProcess, machine: FakeMachine, reader: Reader, folder: Path
) -> None:
    wait_until(lambda: reader.shared, "the client finds the daemon")
    assert TOP_KHZ in reader.seen
    machine.set_khz(LOW_KHZ)
    wait_until(lambda: LOW_KHZ in reader.seen, "the client sees the clock fall")
    pattern = (
        rf"aio governor: process {daemon.pid} publishes {folder}/governor\.samples \| "
        r"every 5 ms \| clock cpufreq 2000 MHz \| also "
    )
    assert re.match(pattern, daemon.start_line)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_clean_stop(daemon: DaemonProcess, reader: Reader, folder: Path, signum: int) -> None:
    wait_until(lambda: reader.shared, "the client finds the daemon")
    os.kill(daemon.pid, signum)
    assert daemon.wait() == 0
    wait_until(lambda: not reader.shared, "the client notices")
    assert sorted(path.name for path in folder.iterdir()) == ["governor.lock"]
    assert OWN_KHZ in reader.seen


def test_killed_and_started_again(machine: FakeMachine, reader: Reader, folder: Path) -> None:
    for _ in range(3):
        # Each takes over what the killed one before left: file, socket and lock.
        with contextlib.contextmanager(start)(folder, machine) as daemon:
            wait_until(lambda: reader.shared, "the client finds the daemon")
            assert f"process {daemon.pid} " in reader.sensors.capabilities[0].reason
            daemon.process.kill()
            daemon.wait()
        wait_until(lambda: not reader.shared, "the client notices that it is dead")
        assert (folder / "governor.samples").exists()


def test_stopped_daemon_is_stale(daemon: DaemonProcess, reader: Reader) -> None:
    for _ in range(3):
        wait_until(lambda: reader.shared, "the client finds the daemon")
        os.kill(daemon.pid, signal.SIGSTOP)
        wait_until(lambda: not reader.shared, "the client notices that it stands still")
        os.kill(daemon.pid, signal.SIGCONT)
    wait_until(lambda: reader.shared, "the client returns")
    assert OWN_KHZ in reader.seen


def test_the_file_is_destroyed_while_clients_read(
    daemon: DaemonProcess, reader: Reader, folder: Path
) -> None:
    path = folder / "governor.samples"
    wait_until(lambda: reader.shared, "the client finds the daemon")
    generator = iter(range(10**6))
    deadline_s = time.monotonic() + 3
    while time.monotonic() < deadline_s:
        kind = next(generator) % 5
        if kind == 0:
            path.write_bytes(os.urandom(path.stat().st_size if path.exists() else 9))
        elif kind == 1 and path.exists():
            os.truncate(path, 200)
        elif kind == 2:
            path.write_bytes(bytes(262_272))
        elif kind == 3:
            path.unlink(missing_ok=True)
        else:
            (folder / "garbage").write_bytes(b"AIOSENSE" + os.urandom(300))
            (folder / "garbage").replace(path)
        time.sleep(0.003)
    wait_until(lambda: reader.shared, "the daemon makes its file anew")
    assert daemon.process.poll() is None
    assert ask("status", [folder])["problem"] is None


def test_the_folder_is_removed(daemon: DaemonProcess, reader: Reader, folder: Path) -> None:
    wait_until(lambda: reader.shared, "the client finds the daemon")
    moved = folder.with_name("moved")
    folder.rename(moved)
    wait_until(lambda: not reader.shared, "the client notices")
    wait_until(lambda: ask("status", [moved])["problem"], "the daemon tells what is wrong")
    moved.rename(folder)
    wait_until(lambda: ask("status", [folder])["problem"] is None, "the daemon publishes again")
    wait_until(lambda: reader.shared, "everything is as it was")
    assert daemon.process.poll() is None


def test_one_daemon_per_folder(daemon: DaemonProcess, folder: Path, tmp_path: Path) -> None:
    code, out, err = ask_governor(folder)
    assert (code, out) == (1, "")
    assert err == (
        f"aio governor: error: process {daemon.pid} is the daemon of {folder} already; "
        "`aio governor stop` stops it, --runtime-dir runs another one\n"
    )
    assert daemon.process.poll() is None
    with daemon_process(folder, "--runtime-dir", str(tmp_path / "second")) as second:
        assert ask("ping", [tmp_path / "second"])["pid"] == second.pid


def test_commands(daemon: DaemonProcess, folder: Path) -> None:
    code, out, _ = ask_governor(folder, "status")
    assert code == 0
    assert out.startswith(f"process {daemon.pid}, up ")
    assert "one every 5 ms" in out
    assert "clock 2000 MHz of 2000 MHz (cpufreq)" in out
    assert re.search(r"^cpu_clock +cpufreq +value +policy0: ", out, re.MULTILINE)
    code, out, _ = ask_governor(folder, "set-period", "--period-ms", "40")
    assert (code, out) == (0, "a sample every 40 ms\n")
    code, out, _ = ask_governor(folder, "status", "--json")
    status = json.loads(out)
    assert (code, status["period_ms"], status["readers"]) == (0, 40, None)
    assert status["sample"]["clock"]["cpu_khz"] == TOP_KHZ
    assert 0 < status["load"] < 1
    code, _, err = ask_governor(folder, "set-period", "--period-ms", "0.01")
    assert (code, err) == (
        1,
        "aio governor: error: a period of 0.01 ms: expected 1 to 1000 ms\n",
    )
    assert ask_governor(folder, "stop")[:2] == (0, f"process {daemon.pid} stops\n")
    assert daemon.wait() == 0
    code, _, err = ask_governor(folder, "status")
    assert code == 1
    assert err.startswith(f"aio governor: error: no daemon: {folder}/governor.sock does not exist")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--period-ms", "0"], "a period of 0 ms: expected 1 to 1000 ms"),
        (["--period-ms", "nan"], "a period of nan ms: expected 1 to 1000 ms"),
        (["set-period"], "set-period needs --period-ms"),
    ],
)
def test_wrong_usage(folder: Path, arguments: list[str], message: str) -> None:
    assert ask_governor(folder, *arguments) == (2, "", f"aio governor: error: {message}\n")


def test_sensors_root_that_is_none(folder: Path) -> None:
    with governor(folder, AIO_SYSFS_ROOT="/does/not/exist") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "AIO_SYSFS_ROOT='/does/not/exist' is not a folder" in err


def test_service_manager(folder: Path, machine: FakeMachine, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        with daemon_process(folder, AIO_SYSFS_ROOT=str(machine.root), **variables) as daemon:
            assert manager.recv(1000) == b"READY=1\nSTATUS=sampling every 20 ms"
            assert [manager.recv(1000) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            os.kill(daemon.pid, signal.SIGTERM)
            while (message := manager.recv(1000)) == b"WATCHDOG=1":
                pass
            assert message == b"STOPPING=1"
            assert daemon.wait() == 0


class Connection:
    """A raw connection to the control socket."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.socket.connect(str(folder / "governor.sock"))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> dict[str, object]:
        line = b""
        while not line.endswith(b"\n"):
            data = self.socket.recv(65536)
            assert data, "the daemon closed the connection without an answer"
            line += data
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def closed(self) -> bool:
        """Return whether the daemon closes the connection, waiting for it."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


Connector = Callable[[], Connection]


@pytest.fixture
def connect(daemon: DaemonProcess, folder: Path) -> Iterator[Connector]:
    """Yield what makes connections; afterwards the daemon must sample and answer as before."""
    made: list[Connection] = []

    def connect() -> Connection:
        made.append(Connection(folder))
        return made[-1]

    yield connect
    for connection in made:
        connection.socket.close()
    wait_until(lambda: answers(folder), "the daemon has time again")
    before = samples(folder)
    wait_until(lambda: samples(folder) > before + 5, "the daemon goes on sampling")
    assert daemon.process.poll() is None


def answers(folder: Path) -> bool:
    try:
        return bool(ask("ping", [folder]))
    except ControlError:
        return False


def samples(folder: Path) -> int:
    count = ask("status", [folder])["samples"]
    assert isinstance(count, int)
    return count


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\n", "the request is no JSON"),
        (b"status\n", "the request is no JSON"),
        (b"\xff\xfe\x00\n", "the request is no JSON"),
        (b"[" * 4000 + b"\n", "the request is no JSON"),
        (b"[]\n", 'the request is no object like {"command": "status"}'),
        (b'{"command": 7}\n', 'the request is no object like {"command": "status"}'),
        (
            b'{"command": "format"}\n',
            "command 'format': known are ping, status, set-period, stop",
        ),
        (b'{"command": "set-period"}\n', "period_ms is None, expected a number"),
        (b'{"command": "set-period", "period_ms": true}\n', "period_ms is True, expected a number"),
        (
            b'{"command": "set-period", "period_ms": NaN}\n',
            "a period of nan ms: expected 1 to 1000 ms",
        ),
        (b"x" * 5000, "a request of more than 4096 bytes"),
        (b"x" * 5000 + b"\n", "a request of more than 4096 bytes"),
    ],
)
def test_requests_that_make_no_sense(connect: Connector, data: bytes, message: str) -> None:
    client = connect()
    client.send(data)
    assert client.answer() == {"ok": False, "error": message}
    if len(data) < 4096:  # the connection is still good
        client.send(b'{"command": "ping"}\n')
        assert client.answer()["ok"] is True
    else:
        assert client.closed()


def test_half_closed(connect: Connector) -> None:
    client = connect()
    client.send(b'{"command": "ping"}\n{"command"')
    assert client.answer()["ok"] is True
    client.socket.shutdown(socket.SHUT_WR)
    assert client.answer()["error"] == "the request has no end: a line ends with \\n"
    assert client.closed()
    gone = connect()
    gone.socket.close()


def test_several_requests_at_once(connect: Connector) -> None:
    client = connect()
    client.send(b'{"command": "ping"}\n' * 3)
    answers = b""
    while answers.count(b"\n") < 3:
        answers += client.socket.recv(65536)
    assert answers.count(b'"ok": true') == 3


def test_slow_clients_are_dropped(connect: Connector) -> None:
    slow = connect()
    begin_s = time.monotonic()
    for byte in b'{"command": "ping", "x": "' * 100:
        try:
            slow.send(bytes([byte]))
        except BrokenPipeError:
            break
        time.sleep(0.1)
    assert slow.closed()
    assert 4 < time.monotonic() - begin_s < 30


def test_answers_nobody_takes(connect: Connector) -> None:
    """It asks and asks, and never reads: the daemon must not keep the answers."""
    greedy = connect()
    greedy.socket.settimeout(30)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        send_for_ever(greedy)


def send_for_ever(client: Connection) -> None:
    while True:
        client.send(b'{"command": "status"}\n' * 100)


def test_many_connections(connect: Connector, folder: Path) -> None:
    clients = [connect() for _ in range(40)]
    refused = [client for client in clients[16:] if "busy" in str(client.answer()["error"])]
    assert len(refused) == 24
    clients[0].send(b'{"command": "ping"}\n')
    assert clients[0].answer()["ok"] is True
    with pytest.raises(ControlError, match="busy: 16 connections are open"):
        ask("ping", [folder])


def test_socket_is_the_user_s_own(daemon: DaemonProcess, folder: Path) -> None:
    assert (folder / "governor.sock").stat().st_mode & 0o777 == 0o600
    assert daemon.process.poll() is None
