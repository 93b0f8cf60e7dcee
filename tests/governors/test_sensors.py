# SPDX-License-Identifier: Apache-2.0
"""All quantities together: which is read when, what a failure leaves out, what the report says."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pytest

from aio.governors import Capability, DeviceSensors, Sampler, Status, open_sensors
from aio.governors import sensors as module
from aio.governors.base import (
    ClockSample,
    EnergySample,
    PowerSample,
    PowerSource,
    QuotaSample,
    SensorError,
    ThermalSample,
)
from aio.governors.devices import device_names, load_device, write_tree
from aio.governors.sensors import Channel

if TYPE_CHECKING:
    from pathlib import Path

    from fake_machine import FakeMachine

T = TypeVar("T")
SECOND = 1_000_000_000


class Time:
    """Stands in for the monotonic clock."""

    def __init__(self) -> None:
        self.now_ns = SECOND

    def monotonic_ns(self) -> int:
        return self.now_ns


class FakeDriver(Generic[T]):
    """Gives what `make` returns, or raises `error`."""

    def __init__(self, name: str, make: Callable[[], T]) -> None:
        self.name = name
        self.make = make
        self.reads = 0
        self.error: Exception | None = None
        self.closed = False

    def probe(self) -> Capability:
        return Capability(self.name, self.name, Status.VALUE, "found")

    def read(self) -> T:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return self.make()

    def close(self) -> None:
        self.closed = True


class Device:
    """DeviceSensors on fake drivers, with a clock of its own."""

    def __init__(self, time: Time) -> None:
        self.clock_error: str | None = None
        self.drivers: dict[str, FakeDriver[Any]] = {
            "clock": FakeDriver("clock", self._clock),
            "quota": FakeDriver("quota", lambda: QuotaSample(0.5, 100_000, 7, "here")),
            "thermal": FakeDriver("thermal", lambda: ThermalSample((), ())),
            "power": FakeDriver("power", lambda: PowerSample(PowerSource.AC, None)),
            "energy": FakeDriver("energy", lambda: EnergySample((), None)),
        }
        self.time = time
        self.sensors = DeviceSensors(
            clock=self._channel("clock", 0.0),
            gpus=Channel(None, [Capability("devfreq", "gpu", Status.UNSUPPORTED, "none")]),
            quota=self._channel("quota", 0.25),
            thermal=self._channel("thermal", 0.5),
            power=self._channel("power", 1.0),
            energy=self._channel("energy", 1.0),
        )

    def _clock(self) -> ClockSample:
        khz = None if self.clock_error else 2_000_000
        return ClockSample(self.time.now_ns, khz, 2_000_000, "clock", (), self.clock_error)

    def _channel(self, name: str, period_s: float) -> Channel[Any]:
        driver = self.drivers[name]
        return Channel(driver, [driver.probe()], period_s)

    def reads(self) -> dict[str, int]:
        return {name: driver.reads for name, driver in self.drivers.items()}

    def capability(self, name: str) -> Capability:
        return next(item for item in self.sensors.capabilities if item.driver == name)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    time = Time()
    monkeypatch.setattr(module, "time", time)
    return Device(time)


def test_the_first_sample_has_everything(device: Device) -> None:
    sample = device.sensors.read()
    assert sample.time_ns == sample.clock.time_ns == SECOND
    assert (sample.gpus, sample.quota) == ((), QuotaSample(0.5, 100_000, 7, "here"))
    assert None not in {sample.thermal, sample.power, sample.energy}
    assert set(device.reads().values()) == {1}


def test_slow_quantities_come_at_their_own_pace_and_one_at_a_time(device: Device) -> None:
    device.sensors.read()
    before = device.reads()
    for _ in range(100):  # two seconds at 50 Hz
        device.time.now_ns += SECOND // 50
        device.sensors.read()
        after = device.reads()
        assert sum(after[name] - before[name] for name in after if name != "clock") <= 1
        before = after
    assert before["clock"] == 101
    assert 8 <= before["quota"] <= 9
    assert 4 <= before["thermal"] <= 5
    assert 2 <= before["power"] <= before["energy"] + 1 <= 4


def test_nothing_starves_when_samples_are_rare(device: Device) -> None:
    for _ in range(12):  # three seconds at 4 Hz
        device.sensors.read()
        device.time.now_ns += SECOND // 4
    assert min(device.reads().values()) >= 2


def test_a_quantity_that_fails_is_left_out_and_comes_back(device: Device) -> None:
    device.sensors.read()
    thermal = device.drivers["thermal"]
    for error, reason in (
        (SensorError("no zone answers"), "no zone answers"),
        (OSError(5, "Input/output error"), "thermal failed: OSError: [Errno 5] Input/output error"),
        (ValueError("odd"), "thermal failed: ValueError: odd"),
    ):
        thermal.error = error
        sample = read_after(device, 5.0)
        assert sample.thermal is None
        assert sample.clock.cpu_khz == 2_000_000
        said = device.capability("thermal")
        assert (said.status, said.reason) == (Status.ERROR, reason)
        assert said.time_ns == SECOND
    thermal.error = None
    assert read_after(device, 5.0).thermal is not None
    assert device.capability("thermal").status is Status.VALUE
    assert device.capability("thermal").reason == "found"


def read_after(device: Device, seconds: float) -> Any:
    """Return the sample when every slow quantity was read again."""
    device.time.now_ns += int(seconds * SECOND)
    return [device.sensors.read() for _ in range(5)][-1]


def test_ages(device: Device) -> None:
    assert device.capability("quota").age_s(0) is None
    device.sensors.read()
    device.time.now_ns += SECOND // 10
    assert device.capability("quota").age_s(device.time.now_ns) == pytest.approx(0.1)
    assert device.capability("devfreq").age_s(device.time.now_ns) is None
    assert device.capability("devfreq").status is Status.UNSUPPORTED


def test_a_clock_without_a_value_is_in_the_report(device: Device) -> None:
    device.sensors.read()
    device.clock_error = "gone"
    device.time.now_ns += SECOND
    sample = device.sensors.read()
    assert (sample.clock.cpu_khz, sample.clock.error) == (None, "gone")
    said = device.capability("clock")
    assert (said.status, said.reason, said.time_ns) == (Status.ERROR, "gone", SECOND)


def test_a_clock_driver_that_breaks_gives_a_sample_all_the_same(device: Device) -> None:
    device.drivers["clock"].error = OSError("broken")
    clock = device.sensors.read().clock
    assert (clock.cpu_khz, clock.driver) == (None, "sensors")
    assert clock.error == "clock failed: OSError: broken"


def test_a_quantity_without_a_driver_has_no_value() -> None:
    channel: Channel[ThermalSample] = Channel(None, [])
    assert (channel.read(SECOND), channel.error, channel.capabilities) == (None, None, ())
    channel.close()


def test_close_closes_all(device: Device) -> None:
    device.sensors.close()
    assert all(driver.closed for driver in device.drivers.values())


@pytest.fixture
def sixteen_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)))


@pytest.mark.usefixtures("sixteen_cpus")
@pytest.mark.parametrize("name", device_names())
def test_every_board(tmp_path: Path, name: str) -> None:
    board = load_device(name)
    tree = write_tree(tmp_path, board)
    sensors = open_sensors(None, tmp_path)
    sample = sensors.read()
    fastest = max(policy.freqs_khz[-1] for policy in board.policies)
    assert sample.clock.driver == "cpufreq"
    assert sample.clock.max_khz is not None
    assert sample.clock.max_khz >= 0.9 * fastest
    if board.gpu is not None:
        assert [gpu.cur_freq_khz for gpu in sample.gpus] == [board.gpu.freqs_khz[-1]]
        assert [gpu.max_freq_khz for gpu in sample.gpus] == [board.gpu.freqs_khz[-1]]
    else:
        assert sample.gpus == ()
    assert sample.thermal is not None
    assert sample.thermal.throttled is False
    assert not [zone for zone in sample.thermal.zones if "PMIC" in zone.kind]
    assert (sample.energy is None) == (not board.rails)
    assert (sample.power is None) == (not board.battery)
    tree.set_cooling(2)
    sensors.close()
    again = open_sensors(None, tmp_path)
    throttled = again.read().thermal
    assert throttled is not None
    assert throttled.throttled is True
    again.close()


@pytest.mark.usefixtures("sixteen_cpus")
def test_a_board_leaves_no_descriptor_open(tmp_path: Path) -> None:
    write_tree(tmp_path, load_device("jetson-orin-nano"))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    sensors = open_sensors(lambda: 2e6, tmp_path)
    for _ in range(3):
        sensors.read()
    assert len(os.listdir("/proc/self/fd")) > before  # noqa: PTH208
    sensors.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert sensors.read().clock.error == "the driver is closed"


@pytest.mark.usefixtures("sixteen_cpus")
def test_a_sampler_of_a_board_knows_cost_and_capabilities(orin: FakeMachine) -> None:
    sensors = open_sensors(None, orin.root)
    with Sampler(sensors, 0.005, 0.005) as sampler:
        assert sampler.capabilities[0].status is Status.VALUE
        assert sampler.cost_us is not None
        assert sampler.cost_us > 0
    sensors.close()
