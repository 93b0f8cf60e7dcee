# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from model_parts import container_bytes
from safetensors.numpy import save

from aio.runtime.model_file import container
from aio.runtime.model_file.defect import Defect

SMALL_ARRAYS = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=0, max_dims=5, min_side=1, max_side=4),
    elements=st.floats(width=32),
)
TEXTS = st.text(st.characters(codec="utf-8"))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tensors=st.dictionaries(TEXTS, SMALL_ARRAYS, max_size=4),
    metadata=st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=3),
)
def test_files_of_the_safetensors_library_are_read(
    tensors: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]],
    metadata: dict[str, str],
    tmp_path: Path,
) -> None:
    tensors.pop("__metadata__", None)
    path = tmp_path / "x.safetensors"
    path.write_bytes(save(tensors, metadata))
    with container.open_container(path) as opened:
        read, content_hash = opened.read_tensors()
    assert opened.metadata == metadata
    assert opened.shapes == {name: array.shape for name, array in tensors.items()}
    assert content_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read.keys() == tensors.keys()
    for name, expected in tensors.items():
        np.testing.assert_array_equal(read[name], expected)


def test_tensors_are_aligned_and_read_only(tmp_path: Path) -> None:
    header = b'{"__metadata__": {}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
    data = np.array([1, 2], np.float32).tobytes()
    path = tmp_path / "odd.safetensors"
    for pad in range(4):
        path.write_bytes(container_bytes(header + b" " * pad, data))
        with container.open_container(path) as opened:
            tensor = opened.read_tensors()[0]["a"]
        assert tensor.flags.aligned
        assert not tensor.flags.writeable
        assert tensor.tolist() == [1, 2]


VALUES = np.arange(9, dtype=np.float32)


@pytest.fixture(params=[0, 1 << 20], ids=["memory from the system", "memory from malloc"])
def written(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setattr(container, "_MAPPED_BYTES", request.param)
    path = tmp_path / "x.safetensors"
    path.write_bytes(save({"a": VALUES, "b": VALUES}, {"k": "v"}))
    return path


def test_what_was_read_does_not_depend_on_the_file(written: Path) -> None:
    with container.open_container(written) as opened:
        tensors, _ = opened.read_tensors()
        os.truncate(written, 0)
        assert tensors["a"].tolist() == VALUES.tolist()
    written.unlink()
    assert tensors["b"].tolist() == VALUES.tolist()
    assert not tensors["b"].flags.writeable


def test_a_file_truncated_while_it_is_read_is_refused(written: Path) -> None:
    size = written.stat().st_size
    with container.open_container(written) as opened:
        os.truncate(written, size - 4)
        with pytest.raises(Defect, match=rf"while it was read: {size} bytes, then {size - 4}"):
            opened.read_tensors()


@pytest.mark.parametrize("appended", [True, False])
def test_a_file_written_to_while_it_is_read_is_refused(written: Path, appended: bool) -> None:
    with container.open_container(written) as opened:
        with written.open("ab" if appended else "r+b") as file:
            file.write(b"abcd")
        os.utime(written, ns=(1, 1))  # whatever the clock of the file system ticks like
        with pytest.raises(Defect, match="somebody wrote to it"):
            opened.read_tensors()


def test_a_file_replaced_by_another_is_read_to_its_end(written: Path, tmp_path: Path) -> None:
    with container.open_container(written) as opened:
        (tmp_path / "new").write_bytes(b"something else")
        (tmp_path / "new").rename(written)
        tensors, _ = opened.read_tensors()
    assert tensors["a"].tolist() == VALUES.tolist()


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    with pytest.raises(Defect, match="is empty"), container.open_container(empty):
        pass
