# SPDX-License-Identifier: Apache-2.0
"""Inferences while the daemon is killed, stopped, restarted and fed garbage: none fails."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from daemon_process import DaemonProcess, daemon_process, wait_until
from fake_machine import FakeMachine, PolicySpec

from aio.governors import Status
from aio.runtime import Runtime

CPUS = tuple(sorted(os.sched_getaffinity(0)))
TOP_KHZ, LOW_KHZ = 2_000_000, 500_000


class Client(threading.Thread):
    """Infers all the time; every answer must be the right one for its levels."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self.runtime = runtime
        self.inferences = 0
        self.failure: BaseException | None = None
        self._stopping = False
        shape = (1, *runtime.inputs[0].shape)
        self._x = np.random.default_rng(0).random(shape, dtype=np.float32)

    def run(self) -> None:
        try:
            while not self._stopping:
                y = self.runtime.infer(self._x)
                assert np.isfinite(y).all()
                self.inferences += 1
        except BaseException as error:  # whatever it is, the test must know
            self.failure = error
            raise

    @property
    def shared(self) -> bool:
        """Whether samples come from the daemon."""
        row = self.runtime.sensors[0]
        return row.driver == "daemon" and row.status is Status.VALUE

    def goes_on(self) -> None:
        """Wait for more inferences."""
        before = self.inferences
        wait_until(lambda: self.inferences > before + 20 or self.failure, "inferences")
        assert self.failure is None

    def stop(self) -> None:
        self._stopping = True
        self.join(30)
        assert self.failure is None


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    fake = FakeMachine(tmp_path / "root")
    steps = tuple(range(LOW_KHZ, TOP_KHZ + 1, 100_000))
    fake.add_policy(PolicySpec(0, CPUS, steps, "cpufreq-dt", "schedutil"))
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def client(folder: Path, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("AIO_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("AIO_SYSFS_ROOT", str(machine.root))
    with Runtime.load(threads=1) as runtime:
        client = Client(runtime)
        client.start()
        yield client
        client.stop()


def start(folder: Path, machine: FakeMachine) -> contextlib.AbstractContextManager[DaemonProcess]:
    return daemon_process(folder, "--period-ms", "5", AIO_SYSFS_ROOT=str(machine.root))


def test_no_inference_fails(folder: Path, machine: FakeMachine, client: Client) -> None:
    client.goes_on()
    assert not client.shared
    samples = folder / "governor.samples"
    with start(folder, machine) as daemon:
        wait_until(lambda: client.shared, "samples of the daemon")
        machine.set_khz(LOW_KHZ)
        wait_until(lambda: client.runtime.clock.cpu_khz == LOW_KHZ, "the low clock")
        os.kill(daemon.pid, signal.SIGSTOP)
        wait_until(lambda: not client.shared, "own samples")  # stale
        client.goes_on()
        os.kill(daemon.pid, signal.SIGCONT)
        wait_until(lambda: client.shared, "samples of the daemon")
        samples.write_bytes(os.urandom(64))
        client.goes_on()
        os.truncate(samples, 0)
        client.goes_on()
        os.kill(daemon.pid, signal.SIGKILL)
    wait_until(lambda: not client.shared, "own samples")
    client.goes_on()
    with start(folder, machine):
        wait_until(lambda: client.shared, "samples of the daemon")
        machine.set_khz(TOP_KHZ)
        wait_until(lambda: client.runtime.clock.cpu_khz == TOP_KHZ, "the high clock")
        client.goes_on()
    client.goes_on()
