# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

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
    read = container.read_container(path)
    assert read.metadata == metadata
    assert read.tensors.keys() == tensors.keys()
    assert bytes(read.data) == path.read_bytes()
    for name, expected in tensors.items():
        np.testing.assert_array_equal(read.tensors[name], expected)


def test_tensors_are_aligned_and_read_only(tmp_path: Path) -> None:
    header = b'{"__metadata__": {}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
    data = np.array([1, 2], np.float32).tobytes()
    path = tmp_path / "odd.safetensors"
    for pad in range(4):
        path.write_bytes(container_bytes(header + b" " * pad, data))
        tensor = container.read_container(path).tensors["a"]
        assert tensor.flags.aligned
        assert tensor.tolist() == [1, 2]


def test_large_files_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_COPIED_BYTES", 16)
    path = tmp_path / "large.safetensors"
    path.write_bytes(save({"a": np.arange(9, dtype=np.float32)}, {"k": "v"}))
    read = container.read_container(path)
    path.unlink()  # a mapping outlives the name
    assert read.tensors["a"].tolist() == list(range(9))
    assert not read.tensors["a"].flags.writeable
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    with pytest.raises(Defect, match="is empty"):
        container.read_container(empty)
