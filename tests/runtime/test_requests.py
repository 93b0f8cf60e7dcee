# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime import InputError
from aio.runtime.records import TensorInfo
from aio.runtime.requests import parse_request, read_inputs

EXPECTED = (TensorInfo("x", (1, 2, 2)),)
TWO = (TensorInfo("image", (1, 2, 2)), TensorInfo("vector", (3,)))


def request_bytes(**changes: Any) -> bytes:
    tensor = {"name": "x", "shape": [1, 1, 2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}
    return json.dumps({"inputs": [{**tensor, **changes}]}).encode()


@pytest.mark.parametrize("data", [[1, 2, 3, 4.5], [[[[1, 2], [3, 4.5]]]], [[1, 2], [3, 4.5]]])
def test_flat_and_nested_data(data: Any) -> None:
    array = parse_request(request_bytes(data=data), EXPECTED)["x"]
    assert array.shape == (1, 1, 2, 2)
    assert array.ravel().tolist() == [1, 2, 3, 4.5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "neither .npy, .npz nor JSON"),
        (b"{", "neither .npy, .npz nor JSON"),
        (b"[]", "one tensor in 'inputs'"),
        (b'{"inputs": []}', "one tensor in 'inputs'"),
        (b'{"inputs": [1]}', "one tensor in 'inputs'"),
        (request_bytes(name="y"), "an input is named 'y', the model has 'x'"),
        (request_bytes(datatype="BYTES"), "datatype is 'BYTES', expected one of BOOL, INT8"),
        (request_bytes(datatype=["FP32"]), "datatype is ['FP32']"),
        (request_bytes(data="1234"), "'data' is no list"),
        (request_bytes(data=["a"]), "something else than numbers"),
        (request_bytes(data=[None] * 4), "something else than numbers"),
        (request_bytes(data=[[1], [2, 3]]), "inhomogeneous"),
        (request_bytes(shape=[1, 1, 2, 3]), "cannot reshape array of size 4"),
        (request_bytes(shape=[-1, 4]), "'shape' is [-1, 4], expected sizes"),
        (request_bytes(shape=4), "'shape' is 4, expected sizes"),
        (request_bytes(shape=[True, 4]), "'shape' is [True, 4], expected sizes"),
    ],
)
def test_wrong_requests_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        parse_request(content, EXPECTED)
    assert message in str(caught.value)
    path = tmp_path / "request.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as named:
        read_inputs(str(path), EXPECTED)
    assert str(named.value).startswith(f"{path}: ")


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def test_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(4.0).reshape(1, 2, 2)
    path = tmp_path / "x"
    path.write_bytes(npy(array))
    assert (read_inputs(str(path), EXPECTED)["x"] == array).all()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(npy(array))))
    assert (read_inputs("-", EXPECTED)["x"] == array).all()


def test_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(npy(np.array([{}], object)))
    with pytest.raises(InputError, match="allow_pickle"):
        read_inputs(str(path), EXPECTED)
    path.write_bytes(npy(np.zeros(4))[:-1])
    with pytest.raises(InputError, match=r"x\.npy: "):
        read_inputs(str(path), EXPECTED)
    with pytest.raises(FileNotFoundError):
        read_inputs(str(tmp_path / "missing"), EXPECTED)


def test_several_inputs(tmp_path: Path) -> None:
    arrays = {"vector": np.arange(3.0)[None], "image": np.ones((1, 1, 2, 2))}
    path = tmp_path / "inputs"
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    inputs = [
        {"name": name, "shape": list(x.shape), "datatype": "FP32", "data": x.tolist()}
        for name, x in arrays.items()
    ]
    for found in (
        read_inputs(str(path), TWO),
        parse_request(json.dumps({"inputs": inputs}).encode(), TWO),
    ):
        assert set(found) == {"image", "vector"}
        assert all((found[name] == x).all() for name, x in arrays.items())
    wrong = [
        ({"inputs": inputs[:1]}, "a request for this model has 2 tensors in 'inputs'"),
        ({"inputs": inputs[:1] * 2}, "named 'vector' again, the model has 'image', 'vector'"),
        ({"inputs": [1, 2]}, "2 tensors in 'inputs'"),
    ]
    for request, message in wrong:
        with pytest.raises(ValueError, match=message):
            parse_request(json.dumps(request).encode(), TWO)


def test_archives_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, allow_pickle=False, image=np.ones(4), other=np.ones(4))
    with pytest.raises(InputError, match=r"holds 'image', 'other', the model has 'image', 'vec"):
        read_inputs(str(path), TWO)
    np.savez(path, image=np.ones(4), vector=np.array([{}], object))
    with pytest.raises(InputError, match="allow_pickle"):
        read_inputs(str(path), TWO)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"x\.npz: "):
        read_inputs(str(path), TWO)
    np.save(tmp_path / "x.npy", np.ones(4))
    with pytest.raises(InputError, match=r"one array for the inputs image, vector: give \.npz"):
        read_inputs(str(tmp_path / "x.npy"), TWO)


@given(content=st.binary(max_size=200))
def test_arbitrary_bytes_are_value_errors(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_request(content, EXPECTED)
