# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from daemon_parts import CAPABILITIES, device_sample, full_sample
from hypothesis import given
from hypothesis import strategies as st

from aio.governors.daemon.encoding import (
    decode_capabilities,
    decode_sample,
    encode_capabilities,
    encode_sample,
)

if TYPE_CHECKING:
    from aio.governors.base import DeviceSample


@pytest.mark.parametrize("sample", [full_sample(), device_sample(), device_sample(None)])
def test_samples_return_as_they_were(sample: DeviceSample) -> None:
    data = encode_sample(sample)
    assert decode_sample(data) == sample
    assert b"\n" not in data


def test_capabilities_return_as_they_were() -> None:
    assert decode_capabilities(encode_capabilities(CAPABILITIES)) == CAPABILITIES
    assert decode_capabilities(encode_capabilities(())) == ()


def document() -> dict[str, Any]:
    found = json.loads(encode_sample(full_sample()))
    assert isinstance(found, dict)
    return found


def decode(value: object) -> DeviceSample:
    return decode_sample(json.dumps(value).encode())


def test_members_of_another_release() -> None:
    sample = full_sample()
    newer = json.loads(encode_sample(sample)) | {"fan_rpm": 900}
    newer["clock"]["jitter"] = 1
    assert decode(newer) == sample
    older = {"time_ns": 1, "clock": document()["clock"]}
    assert decode(older).gpus == ()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("time_ns",), "1"),
        (("time_ns",), True),
        (("time_ns",), 1.5),
        (("clock",), None),
        (("clock", "driver"), 7),
        (("clock", "policies"), {}),
        (("clock", "policies"), [1]),
        (("gpus",), "gpu"),
        (("power", "source"), "sun"),
        (("energy", "rails"), [{"name": "x"}]),
        (("quota", "quota_cpus"), "1"),
    ],
)
def test_wrong_types_are_told(place: tuple[str, ...], value: object) -> None:
    root = document()
    parent = root
    for name in place[:-1]:
        parent = parent[name]
    parent[place[-1]] = value
    with pytest.raises(ValueError, match=r".+"):
        decode(root)


def test_whole_numbers_are_numbers() -> None:
    root = document()
    root["quota"]["quota_cpus"] = 2
    sample = decode(root)
    assert sample.quota is not None
    assert isinstance(sample.quota.quota_cpus, float)


@given(st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
def test_garbage_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        decode_sample(data)
    with pytest.raises(ValueError, match=r".+"):
        decode_sample(b"[" * 100_000)
