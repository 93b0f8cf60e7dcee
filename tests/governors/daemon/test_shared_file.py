# SPDX-License-Identifier: Apache-2.0
"""Writer and reader together: damage, restarts, and a writer that hammers while others read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_parts import CAPABILITIES, device_sample, full_sample, policy

from aio.governors.daemon.layout import FILE_BYTES, RECORD_OFFSET, Header
from aio.governors.daemon.reader import Published, SharedReader
from aio.governors.daemon.writer import SharedWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "samples"


@pytest.fixture
def writer(path: Path) -> Iterator[SharedWriter]:
    writer = SharedWriter(path)
    yield writer
    writer.close()


@pytest.fixture
def reader(path: Path) -> Iterator[SharedReader]:
    reader = SharedReader(path)
    yield reader
    reader.close()


def published(reader: SharedReader) -> Published:
    found = reader.read()
    assert isinstance(found, Published), found
    return found


def publish(writer: SharedWriter, khz: int = 1_000_000) -> None:
    writer.publish(device_sample(khz), CAPABILITIES, 0.02)


def instead(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


def link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def test_what_is_published_is_read(writer: SharedWriter, reader: SharedReader) -> None:
    sample = full_sample()
    writer.publish(sample, CAPABILITIES, 0.02)
    found = published(reader)
    assert (found.sample, found.capabilities) == (sample, CAPABILITIES)
    assert (found.pid, found.samples, found.period_s) == (os.getpid(), 1, 0.02)
    assert 0 <= time.monotonic_ns() - found.published_ns < 60e9
    assert published(reader) is found  # the same record is decoded once


def test_new_samples_are_seen(writer: SharedWriter, reader: SharedReader) -> None:
    for khz in (1_000_000, 900_000, 800_000):
        publish(writer, khz)
        assert published(reader).sample.clock.cpu_khz == khz
    assert published(reader).samples == 3


def test_long_and_short_details(writer: SharedWriter, reader: SharedReader) -> None:
    many = tuple(policy(f"policy{n}", (n,), 1_000_000) for n in range(200))
    for policies in ((), many, ()):
        sample = device_sample(1_000_000, *policies)
        writer.publish(sample, (), 0.02)
        assert published(reader).sample == sample


def test_too_many_policies_leave_the_clock(writer: SharedWriter, reader: SharedReader) -> None:
    many = tuple(policy(f"policy{n}", (n,), 1_000_000) for n in range(4000))
    writer.publish(device_sample(900_000, *many), CAPABILITIES, 0.02)
    found = published(reader)
    assert (found.sample.clock.cpu_khz, found.sample.clock.policies) == (900_000, ())
    assert found.capabilities == ()


def test_no_file_then_one_then_none(path: Path, reader: SharedReader) -> None:
    assert reader.read() == f"no daemon: {path} does not exist"
    writer = SharedWriter(path)
    assert not path.exists()
    publish(writer)
    assert published(reader).samples == 1
    writer.close()
    assert not path.exists()
    assert reader.read() == f"no daemon: {path} does not exist"
    with pytest.raises(ValueError, match="closed"):
        writer._open_fd()


def test_a_new_daemon_is_followed(path: Path, writer: SharedWriter, reader: SharedReader) -> None:
    publish(writer)
    first = published(reader).start_id
    second = SharedWriter(path)
    publish(second, 500_000)
    found = published(reader)
    assert found.start_id != first
    assert found.sample.clock.cpu_khz == 500_000
    writer.close()  # the file is no longer the first one's to remove
    assert published(reader) is found
    second.close()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: os.truncate(path, 0), id="emptied"),
        pytest.param(lambda path: os.truncate(path, 100), id="cut in the record"),
        pytest.param(lambda path: path.write_bytes(bytes(FILE_BYTES)), id="zeroed"),
        pytest.param(lambda path: path.write_bytes(os.urandom(FILE_BYTES)), id="garbage"),
        pytest.param(lambda path: path.unlink(), id="removed"),
        pytest.param(lambda path: instead(path, Path.mkdir), id="a folder"),
        pytest.param(lambda path: instead(path, os.mkfifo), id="a pipe"),
        pytest.param(lambda path: instead(path, link_to_zeros), id="a link"),
    ],
)
def test_damage_is_told_and_mended(
    damage: Callable[[Path], None], path: Path, writer: SharedWriter, reader: SharedReader
) -> None:
    publish(writer)
    for used in (False, True):
        if used:
            published(reader)  # now with a descriptor and a record in hand
        damage(path)
        found = reader.read()
        # The record in hand may be given once more; a reader without one says what is wrong.
        assert isinstance(found, str) or used
        assert isinstance(SharedReader(path).read(), str)
        if path.is_dir():
            path.rmdir()
        publish(writer, 600_000)
        assert published(reader).sample.clock.cpu_khz == 600_000
        assert path.stat().st_size == FILE_BYTES


def test_a_writer_stopped_in_a_record(
    path: Path, writer: SharedWriter, reader: SharedReader
) -> None:
    publish(writer)
    found = published(reader)
    with path.open("r+b") as file:
        file.seek(RECORD_OFFSET)
        file.write((found.samples * 2 + 1).to_bytes(8, "little"))
    assert reader.read() is found
    problem = SharedReader(path).read()
    assert isinstance(problem, str)
    assert "stopped in the middle of a record" in problem


def test_another_boot(path: Path, writer: SharedWriter) -> None:
    publish(writer)
    assert SharedReader(path, b"x" * 16).read() == f"{path} is left over from another boot"
    assert isinstance(SharedReader(path, bytes(16)).read(), Published)  # a kernel that can't tell


def test_a_sample_of_another_release(
    path: Path, writer: SharedWriter, reader: SharedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_detail", lambda *_: b'clock "later"')
    publish(writer)
    problem = reader.read()
    assert isinstance(problem, str)
    assert "a sample that this release can't read" in problem
    assert path.exists()


def test_files_of_other_users_are_not_believed(
    path: Path, writer: SharedWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(writer)
    owner = os.geteuid()
    if owner == 0:
        os.chown(path, 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 999_999)
    problem = SharedReader(path).read()
    assert isinstance(problem, str)
    assert "who could write anything into it" in problem


def test_a_full_file_system(tmp_path: Path) -> None:
    writer = SharedWriter(tmp_path / "missing" / "samples")
    with pytest.raises(FileNotFoundError):
        publish(writer)
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_creating_fails(path: Path) -> None:
    path.mkdir()
    writer = SharedWriter(path)
    with pytest.raises(OSError, match=str(path)):
        publish(writer)
    assert list(path.parent.iterdir()) == [path]


# Every record it writes has the same number everywhere, so that any mixture shows.
HAMMER = """
import sys
sys.path.insert(0, sys.argv[2])
from dataclasses import replace
from pathlib import Path
from daemon_parts import device_sample, policy
from aio.governors.base import Capability, Status
from aio.governors.daemon.writer import SharedWriter
writer = SharedWriter(Path(sys.argv[1]))
n = 100_000
while True:
    n += 1
    policies = [policy(f"policy{i}", (i,), n, n) for i in range(n % 9)]
    sample = replace(device_sample(n, *policies), time_ns=n)
    writer.publish(sample, (Capability(str(n), "x", Status.VALUE, "y" * (n % 50)),), n / 1e6)
"""


def test_no_reader_ever_sees_a_torn_record(path: Path) -> None:
    support = Path(__file__).parents[2] / "support"
    command = [sys.executable, "-c", HAMMER, str(path), str(support)]
    reader = SharedReader(path)
    with subprocess.Popen(command) as process:
        try:
            deadline_s = time.monotonic() + 60
            while isinstance(reader.read(), str):
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
            seen: set[int] = set()
            reads = 0
            while reads < 10_000 or len(seen) < 200:
                assert time.monotonic() < deadline_s
                reads += 1
                found = published(reader)
                n = found.sample.time_ns
                seen.add(n)
                clock = found.sample.clock
                numbers = {clock.cpu_khz, round(found.period_s * 1e6)}
                numbers |= {p.cur_freq_khz for p in clock.policies}
                assert numbers == {n}
                assert len(clock.policies) == n % 9
                assert found.capabilities[0].driver == str(n)
        finally:
            process.kill()


def test_header_of_the_file(path: Path, writer: SharedWriter) -> None:
    publish(writer)
    data = path.read_bytes()
    assert len(data) == FILE_BYTES
    assert Header(os.getpid(), 0, b"").pid == int.from_bytes(data[24:28], "little")
