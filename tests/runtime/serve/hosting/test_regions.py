# SPDX-License-Identifier: Apache-2.0
"""Regions of real shared memory objects, and of what is none."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.errors import AioError
from aio.runtime.serve.errors import (
    ControlError,
    RequestError,
    UnavailableError,
    UnknownRegionError,
)
from aio.runtime.serve.hosting.regions import FOLDER, Region, Regions, RegionUse
from aio.runtime.serve.protocol.schema import Place
from aio.runtime.serve.transport.body import ALIGNMENT, Buffers

SIZE = 4096


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    (tmp_path / "frames").write_bytes(bytes(range(256)) * (SIZE // 256))
    return tmp_path


@pytest.fixture
def regions(objects: Path) -> Iterator[Regions]:
    found = Regions(3, Buffers(SIZE), objects)
    yield found
    found.unregister()


def region(name: str = "r", key: str = "/frames", offset: int = 0, size: int = SIZE) -> Region:
    return Region(name, key, offset, size)


def using(regions: Regions) -> RegionUse:
    use = regions.use()
    assert use is not None
    return use


def test_a_real_shared_memory_object() -> None:
    """As tritonclient makes them; both sides see what the other wrote."""
    name = f"aio-test-{os.getpid()}"
    file = os.open(FOLDER / name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        os.ftruncate(file, SIZE)
        with mmap.mmap(file, SIZE) as mapped:
            mapped[100:103] = b"abc"
            regions = Regions(1, Buffers(SIZE))
            regions.register(region(key=f"//{name}", offset=50, size=100))
            use = using(regions)
            assert bytes(use.read(Place("r", 50, 3), "x")) == b"abc"
            use.write(Place("r", 60, 3), b"def", "y")
            assert mapped[110:113] == b"def"
            regions.unregister()
    finally:
        os.close(file)
        (FOLDER / name).unlink()


def test_what_is_read_is_a_copy_that_fits_tensors(regions: Regions, objects: Path) -> None:
    regions.register(region(offset=1, size=100))
    use = using(regions)
    copy = use.read(Place("r", 2, 90), "x")
    assert bytes(copy) == bytes(range(3, 93))
    assert np.frombuffer(copy, np.uint8).__array_interface__["data"][0] % ALIGNMENT == 0
    (objects / "frames").write_bytes(bytes(SIZE))
    assert bytes(copy) == bytes(range(3, 93))


def test_names_and_the_list(regions: Regions) -> None:
    one, two = region("one", size=10), region("two", offset=5, size=20)
    regions.register(one)
    regions.register(two)
    assert regions.status() == [one, two]
    assert regions.status("two") == [two]
    with pytest.raises(RequestError, match="'one' is registered already"):
        regions.register(region("one"))
    regions.unregister("one")
    regions.unregister("one")
    with pytest.raises(UnknownRegionError, match="no shared memory region is named 'one'"):
        regions.status("one")
    regions.unregister()
    assert regions.status() == []


def test_no_more_than_allowed_and_no_file_stays_open(regions: Regions) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(3):
        regions.register(region(str(number)))
    with pytest.raises(RequestError, match="3 regions are registered, which is the limit"):
        regions.register(region("more"))
    regions.unregister()
    for _ in range(10):
        with pytest.raises(RequestError):
            regions.register(region(size=SIZE + 1))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_off(objects: Path) -> None:
    regions = Regions(0, Buffers(SIZE), objects)
    assert regions.use() is None
    with pytest.raises(ControlError, match="--limit regions"):
        regions.register(region())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (region(key="/absent"), "No such file"),
        (region(key=""), "must be the name of a shared memory object"),
        (region(key="/"), "must be the name"),
        (region(key=".."), "must be the name"),
        (region(key="/../etc/passwd"), "must be the name"),
        (region(key="a/b"), "must be the name"),
        (region(key="frames\0"), "must be the name"),
        (region(key="x" * 256), "must be the name"),
        (region(key="link"), "can't open"),
        (region(key="folder"), "can't open"),
        (region(key="pipe"), "the region needs"),
        (region(size=SIZE + 1), "has 4096 bytes, the region needs 4097 from 0"),
        (region(offset=1), "the region needs 4096 from 1"),
        (region(offset=-1), "offset must be 0 or more"),
        (region(size=0), "byte_size 1 or more"),
        (region(offset=2**63 - 1, size=2**63 - 1), "the region needs"),
        (region(size=2**64), "got 0 and 18446744073709551616"),
        (region(name=""), "1 to 256 characters"),
        (region(name="x" * 257), "got 257"),
    ],
)
def test_what_is_no_region(regions: Regions, objects: Path, wrong: Region, said: str) -> None:
    (objects / "link").symlink_to(objects / "frames")
    (objects / "folder").mkdir()
    os.mkfifo(objects / "pipe")
    with pytest.raises(RequestError) as caught:
        regions.register(wrong)
    assert said in str(caught.value)
    assert str(objects) not in str(caught.value)
    assert regions.status() == []


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Place("other", 0, 1), "no shared memory region is named 'other'; register it"),
        (Place("r", 0, 101), "x: 101 bytes from 0 are beyond region 'r', which has 100"),
        (Place("r", 100, 1), "1 bytes from 100 are beyond"),
        (Place("r", 2**63, 2**63), "are beyond"),
    ],
)
def test_places_outside(regions: Regions, place: Place, said: str) -> None:
    regions.register(region(size=100))
    use = using(regions)
    for act in (
        lambda: use.check(place, "x"),
        lambda: use.read(place, "x"),
        lambda: use.write(place, b"a", "x"),
    ):
        with pytest.raises(RequestError) as caught:
            act()
        assert said in str(caught.value)


def test_an_object_that_is_cut_short_hurts_nobody(regions: Regions, objects: Path) -> None:
    """A program that had mapped it would be killed by the signal SIGBUS."""
    regions.register(region())
    use = using(regions)
    os.truncate(objects / "frames", 10)
    with pytest.raises(RequestError, match="smaller than it was when it was registered"):
        use.read(Place("r", 0, 11), "x")
    with pytest.raises(RequestError, match="smaller than it was"):
        use.write(Place("r", 8, 4), b"abcd", "y")
    assert (objects / "frames").stat().st_size == 10
    assert len(use.read(Place("r", 0, 10), "x")) == 10


def test_an_output_that_does_not_fit(regions: Regions) -> None:
    regions.register(region())
    with pytest.raises(RequestError, match="has 4 bytes, shared_memory_byte_size is 3"):
        using(regions).write(Place("r", 0, 3), b"abcd", "y")


def test_copies_of_all_requests_are_bounded(regions: Regions) -> None:
    regions.register(region())
    one, other = using(regions), using(regions)
    one.read(Place("r", 0, SIZE - 10), "x")
    with pytest.raises(UnavailableError, match="retry later"):
        other.read(Place("r", 0, 11), "x")
    one.release()
    other.read(Place("r", 0, 11), "x")
    other.release()
    other.release()
    one.read(Place("r", 0, SIZE), "x")


@given(
    key=st.text(max_size=300) | st.from_regex(r"/{0,3}[.]{0,3}[a-z./]{0,8}", fullmatch=True),
    name=st.text(max_size=300),
    offset=st.integers(-(2**70), 2**70),
    size=st.integers(-(2**70), 2**70),
)
def test_whatever_is_asked_for(key: str, name: str, offset: int, size: int) -> None:
    regions = Regions(1, Buffers(SIZE), Path("/nonexistent"))
    with pytest.raises(AioError):
        regions.register(Region(name, key, offset, size))
