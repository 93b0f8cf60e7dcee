# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from daemon_parts import CAPABILITIES, FakeSource, clock_sample, device_sample, full_sample, policy

from aio.governors.base import CPU_QUOTA, Capability, PolicySample, QuotaSample, Status
from aio.governors.daemon import SharedSensors, daemon_paths, find_daemon
from aio.governors.daemon.client import clock_for
from aio.governors.daemon.writer import SharedWriter
from aio.governors.sensors import Channel

QUOTA = QuotaSample(2.0, 100_000, None, "own")


class FakeQuota:
    name = "fake_quota"

    def probe(self) -> Capability:
        return Capability(self.name, CPU_QUOTA, Status.VALUE, "2 CPUs")

    def read(self) -> QuotaSample:
        return QUOTA

    def close(self) -> None:
        pass


class Client:
    """Shared sensors with a clock of their own and a count of the own sensors opened."""

    def __init__(self, *paths: Path) -> None:
        self.ahead_ns = 0
        self.opened: list[FakeSource] = []
        self.failure: Exception | None = None
        driver = FakeQuota()
        self.sensors = SharedSensors(
            self.open_own,
            paths,
            quota=Channel(driver, [driver.probe()]),
            now_ns=lambda: time.monotonic_ns() + self.ahead_ns,
            stale_after_s=5.0,  # by the clock above: a slow test machine changes nothing
            linger_s=20.0,
        )

    def open_own(self) -> FakeSource:
        if self.failure is not None:
            raise self.failure
        self.opened.append(FakeSource())
        return self.opened[-1]

    def wait(self, seconds: float) -> None:
        self.ahead_ns += int(seconds * 1e9)

    def khz(self) -> int | None:
        return self.sensors.read().clock.cpu_khz

    @property
    def source(self) -> str:
        return self.sensors.capabilities[0].reason


OWN_KHZ = FakeSource().khz


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "samples"


@pytest.fixture
def writer(path: Path) -> Iterator[SharedWriter]:
    writer = SharedWriter(path)
    writer.publish(device_sample(1_000_000), CAPABILITIES, 0.02)
    yield writer
    writer.close()


@pytest.fixture
def client(path: Path) -> Iterator[Client]:
    client = Client(path)
    yield client
    client.sensors.close()


def test_the_daemon_is_used(writer: SharedWriter, client: Client) -> None:
    assert client.khz() == 1_000_000
    writer.publish(device_sample(900_000), CAPABILITIES, 0.02)
    assert client.khz() == 900_000
    assert client.opened == []
    row, *rest = client.sensors.capabilities
    assert (row.driver, row.status) == ("daemon", Status.VALUE)
    assert row.reason == f"process {os.getpid()} samples every 20 ms"
    assert rest[:-1] == list(CAPABILITIES)
    assert client.sensors.name == "shared"


def test_the_quota_is_this_process_s(writer: SharedWriter, client: Client) -> None:
    theirs = (Capability("cgroup", CPU_QUOTA, Status.VALUE, "1.5 CPUs of the daemon"),)
    writer.publish(full_sample(), theirs, 0.02)
    sample = client.sensors.read()
    assert sample.quota == QUOTA
    assert sample.gpus == full_sample().gpus
    quotas = [item for item in client.sensors.capabilities if item.quantity == CPU_QUOTA]
    assert [item.driver for item in quotas] == ["fake_quota"]


def test_the_quota_is_read_when_it_is_due(writer: SharedWriter, path: Path) -> None:
    driver = FakeQuota()
    channel = Channel(driver, [driver.probe()], period_s=100.0)
    sensors = SharedSensors(FakeSource, [path], quota=channel, stale_after_s=60.0)
    assert [sensors.read().quota for _ in range(2)] == [QUOTA, QUOTA]
    assert channel.due_ns > time.monotonic_ns()
    assert writer.samples == 1
    sensors.close()


def test_without_a_daemon(path: Path, client: Client) -> None:
    assert client.sensors.capabilities[0].reason == "not read yet"
    assert client.khz() == OWN_KHZ
    assert client.khz() == OWN_KHZ
    assert len(client.opened) == 1
    row, *rest = client.sensors.capabilities
    assert (row.driver, row.status) == ("daemon", Status.UNSUPPORTED)
    assert row.reason == f"no daemon: {path} does not exist"
    assert tuple(rest) == CAPABILITIES


def test_a_stale_daemon_and_its_return(writer: SharedWriter, client: Client) -> None:
    assert client.khz() == 1_000_000
    client.wait(6)
    assert client.khz() == OWN_KHZ
    assert "has published nothing for 6." in client.source
    client.ahead_ns = 0
    writer.publish(device_sample(800_000), CAPABILITIES, 0.02)
    assert client.khz() == 800_000
    assert client.opened[0].closed == 0  # it may go away again at once


def test_own_sensors_are_closed_after_a_while(
    writer: SharedWriter, path: Path, client: Client
) -> None:
    path.rename(path.with_name("away"))
    assert client.khz() == OWN_KHZ
    path.with_name("away").rename(path)
    assert client.khz() == 1_000_000
    assert client.opened[0].closed == 0
    client.wait(21)
    client.sensors._stale_after_s = 1e9
    assert client.khz() == 1_000_000
    assert client.opened[0].closed == 1
    path.rename(path.with_name("away"))
    assert client.khz() == OWN_KHZ
    assert len(client.opened) == 2
    path.with_name("away").rename(path)


def test_a_slow_daemon_is_not_stale(path: Path, client: Client) -> None:
    writer = SharedWriter(path)
    writer.publish(device_sample(1_000_000), (), 10.0)
    client.wait(45)
    assert client.khz() == 1_000_000
    client.wait(10)
    assert client.khz() == OWN_KHZ
    writer.close()


def test_times_of_another_clock(writer: SharedWriter, client: Client) -> None:
    client.wait(-10)
    assert client.khz() == OWN_KHZ
    assert "its times are of another clock" in client.source


@pytest.mark.parametrize("failure", [OSError("no sensors"), ValueError("AIO_SYSFS_ROOT")])
def test_own_sensors_that_fail(client: Client, failure: Exception) -> None:
    client.failure = failure
    clock = client.sensors.read().clock
    assert clock.cpu_khz is None
    assert clock.error == f"no daemon, and {type(failure).__name__}: {failure}"
    client.failure = None
    assert client.khz() is None  # not tried again at once
    client.wait(1.5)
    assert client.khz() == OWN_KHZ
    client.opened[0].failure = RuntimeError("gone")
    assert client.sensors.read().clock.error == "no daemon, and RuntimeError: gone"


def test_the_first_good_file_counts(tmp_path: Path, writer: SharedWriter, path: Path) -> None:
    other = tmp_path / "other"
    client = Client(other, path)
    assert client.khz() == 1_000_000
    own = SharedWriter(other)
    own.publish(device_sample(400_000), (), 0.02)
    assert client.khz() == 400_000
    own.close()
    assert client.khz() == 1_000_000
    assert client.opened == []
    client.sensors.close()


def test_closed(writer: SharedWriter, path: Path, client: Client) -> None:
    path.unlink()
    client.khz()
    client.sensors.close()
    assert client.opened[0].closed == 1
    assert client.sensors.read().clock.error == "the sensors are closed"


def test_a_daemon_that_follows_other_cpus(path: Path, client: Client) -> None:
    writer = SharedWriter(path)
    policies = (policy("policy4", (9000, 9001), 1_000_000),)
    writer.publish(device_sample(1_000_000, *policies), (), 0.02)
    assert client.khz() == OWN_KHZ
    assert "it follows other CPUs than those of this process" in client.source
    writer.close()


LAPTOP = tuple(policy(f"policy{n}", (n,), khz) for n, khz in enumerate((400, 2000, 1900, 500)))
TWO_KINDS = (policy("policy0", (0, 1, 2, 3), 900, 1800), policy("policy4", (4, 5), 1500, 2400))


@pytest.mark.parametrize(
    ("policies", "cpus", "threads", "expected_khz", "top_khz"),
    [
        (LAPTOP, {0, 1, 2, 3}, 2, 1900, 2_000_000),
        (LAPTOP, {0, 1, 2, 3}, 9, 400, 2_000_000),
        (LAPTOP, {0, 3}, None, 400, 2_000_000),
        (LAPTOP, {3}, 2, 500, 2_000_000),
        (TWO_KINDS, {4, 5}, 2, 1500, 2400),
        (TWO_KINDS, {0, 5}, 2, 900, 1800),
        (TWO_KINDS, {0, 5}, 1, 1500, 2400),
        (TWO_KINDS, {0, 1}, 2, 900, 1800),
        ((policy("policy0", (), 700),), {0}, 1, 700, 2_000_000),
    ],
)
def test_clock_of_some_cpus(
    policies: tuple[PolicySample, ...],
    cpus: set[int],
    threads: int | None,
    expected_khz: int,
    top_khz: int,
) -> None:
    clock = replace(clock_sample(1), policies=policies)
    found = clock_for(clock, frozenset(cpus), threads)
    assert found is not None
    assert (found.cpu_khz, found.max_khz, found.error) == (expected_khz, top_khz, None)


def test_clock_that_is_the_same_for_all() -> None:
    clock = clock_sample(500, *LAPTOP)
    assert clock_for(clock, frozenset(range(8)), None) is clock
    loop = clock_sample(500)
    assert clock_for(loop, frozenset({77}), 1) is loop
    assert clock_for(clock, frozenset({77}), None) is None


def test_clock_without_a_reading() -> None:
    silent = replace(policy("policy1", (1,), None), max_freq_khz=None)
    found = clock_for(clock_sample(500, LAPTOP[0], silent), frozenset({1}), None)
    assert found is not None
    assert (found.cpu_khz, found.error) == (None, "no clock of the CPUs of this process")
    assert found.max_khz == 2_000_000  # the end of the list
    assert found.policies == (silent,)


def test_where_the_daemon_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIO_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    mine, system = tmp_path / "aio/governor.samples", Path("/run/aio/governor.samples")
    assert daemon_paths() == (mine, system)
    monkeypatch.setenv("AIO_RUNTIME_DIR", str(tmp_path / "here"))
    assert daemon_paths() == (tmp_path / "here/governor.samples",)
    assert find_daemon() == tmp_path / "here/governor.samples"


def test_usual_places_and_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIO_RUNTIME_DIR", str(tmp_path))
    sensors = SharedSensors(FakeSource)
    assert sensors.read().clock.cpu_khz == OWN_KHZ
    writer = SharedWriter(find_daemon())
    writer.publish(device_sample(123_000), (), 0.02)
    assert sensors.read().clock.cpu_khz == 123_000
    writer.close()
    sensors.close()
