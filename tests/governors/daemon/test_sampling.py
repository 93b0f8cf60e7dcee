# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemon_parts import CAPABILITIES, FakeSource, device_sample
from daemon_process import wait_until

from aio.governors.daemon.reader import Published, SharedReader
from aio.governors.daemon.sampling import Sampling
from aio.governors.daemon.writer import SharedWriter

if TYPE_CHECKING:
    from aio.governors.base import DeviceSample


class Rig:
    """A sampling thread on a fake source, and a reader of what it publishes."""

    def __init__(self, path: Path, source: FakeSource, period_s: float = 0.002) -> None:
        self.ended = threading.Event()
        self.writer = SharedWriter(path)
        self.sampling = Sampling(source, self.writer, period_s, self.ended.set)
        self.reader = SharedReader(path)

    def stop(self) -> bool:
        stopped = self.sampling.stop(30)
        self.writer.close()
        self.reader.close()
        return stopped


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def rig(tmp_path: Path, source: FakeSource) -> Iterator[Rig]:
    rig = Rig(tmp_path / "samples", source)
    yield rig
    rig.stop()


def test_samples_are_published(rig: Rig, source: FakeSource) -> None:
    assert rig.sampling.cost_us is None
    assert rig.sampling.start(60)
    wait_until(lambda: rig.sampling.samples > 3, "several samples")
    found = rig.reader.read()
    assert isinstance(found, Published)
    assert (found.sample.clock.cpu_khz, found.capabilities) == (source.khz, CAPABILITIES)
    assert rig.sampling.capabilities == CAPABILITIES
    assert rig.sampling.sample is not None
    assert rig.sampling.cost_us is not None
    assert not rig.ended.is_set()
    assert rig.stop()
    assert rig.ended.is_set()
    assert not rig.sampling.failed


def test_a_source_that_fails(rig: Rig, source: FakeSource) -> None:
    source.failure = OSError("unplugged")
    assert rig.sampling.start(60)
    found = rig.reader.read()
    assert isinstance(found, Published)
    assert found.sample.clock.error == "fake failed: OSError: unplugged"
    source.failure = None
    wait_until(
        lambda: isinstance(now := rig.reader.read(), Published) and now.sample.clock.cpu_khz,
        "the source is asked again",
    )


def test_a_defect_ends_it(rig: Rig, source: FakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(str(args.exc_value)))
    source.failure = AssertionError("a defect")
    assert not rig.sampling.start(0.01)
    assert rig.ended.wait(60)
    assert rig.sampling.stop(60)
    assert rig.sampling.failed
    assert seen == ["a defect"]


class HangingSource(FakeSource):
    """Hangs in its second reading until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.hangs = threading.Event()

    def read(self) -> DeviceSample:
        if self.reads:
            self.hangs.set()
            self.go_on.wait(60)
        return super().read()


def test_a_sensor_that_hangs(tmp_path: Path) -> None:
    source = HangingSource()
    rig = Rig(tmp_path / "samples", source)
    assert rig.sampling.start(60)
    assert source.hangs.wait(60)
    assert not rig.sampling.stop(0.05)
    rig.writer.close()
    source.go_on.set()
    assert rig.sampling.stop(60)
    assert list(tmp_path.iterdir()) == []  # nothing is published after the end


def test_problems_are_logged_once(
    tmp_path: Path, source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "later"
    rig = Rig(folder / "samples", source)
    with caplog.at_level(logging.WARNING):
        assert not rig.sampling.start(0.0)
        wait_until(lambda: rig.sampling.samples > 3, "several samples")
        assert rig.sampling.problem is not None
        folder.mkdir()
        wait_until(lambda: rig.sampling.problem is None, "they are published")
    first, second = [record.getMessage() for record in caplog.records]
    assert first.startswith("nothing is published: [Errno 2] No such file or directory")
    assert second == "published again"
    rig.stop()


def test_period(tmp_path: Path, source: FakeSource) -> None:
    rig = Rig(tmp_path / "samples", source, period_s=1.0)
    assert rig.sampling.start(60)
    assert rig.sampling.samples == 1
    rig.sampling.period_s = 0.001  # it does not wait for the end of the second
    wait_until(lambda: rig.sampling.samples > 2, "the new period is in force")
    assert rig.sampling.period_s == 0.001
    rig.sampling._cost_s = 0.01
    assert rig.sampling.effective_period_s >= 0.1
    rig.stop()


@pytest.mark.parametrize("period_s", [0.0, -1.0, 0.0009, 1.1, float("nan"), float("inf")])
def test_periods_that_make_no_sense(tmp_path: Path, period_s: float) -> None:
    with pytest.raises(ValueError, match=r"a period of .* ms: expected 1 to 1000 ms"):
        Rig(tmp_path / "samples", FakeSource(), period_s)
    assert device_sample().clock.cpu_khz
