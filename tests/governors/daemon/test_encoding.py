# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from daemon_parts import CAPABILITIES, device_sample, full_sample
from hypothesis import example, given
from hypothesis import strategies as st

from aio.governors.daemon.encoding import Decoder, Encoder, plain

if TYPE_CHECKING:
    from aio.governors.base import DeviceSample


@pytest.mark.parametrize("sample", [full_sample(), device_sample(), device_sample(None)])
def test_samples_return_as_they_were(sample: DeviceSample) -> None:
    for capabilities in (CAPABILITIES, ()):
        detail = Encoder().encode(sample, capabilities)
        assert Decoder().decode(detail, sample.time_ns) == (sample, capabilities)


def test_the_text_is_what_the_documentation_says() -> None:
    lines = Encoder().encode(full_sample(), CAPABILITIES).splitlines()
    names = ["clock", "gpus", "quota", "thermal", "power", "energy", "capabilities"]
    assert [line.split(b" ")[0].decode() for line in lines] == names
    assert lines[4] == b'power {"source":"battery","battery":0.5}'


def test_what_stays_is_worked_on_once() -> None:
    encoder, decoder = Encoder(), Decoder()
    first = full_sample()
    detail = encoder.encode(first, CAPABILITIES)
    found, capabilities = decoder.decode(detail, first.time_ns)
    later_ns = first.time_ns + 1
    later = replace(first, time_ns=later_ns, clock=replace(first.clock, time_ns=later_ns))
    assert encoder.encode(later, CAPABILITIES) == detail  # only the time went on
    again, same = decoder.decode(detail, later_ns)
    assert again == later
    assert again.clock.policies is found.clock.policies
    other = replace(later, gpus=())
    again, same = decoder.decode(encoder.encode(other, CAPABILITIES), later_ns)
    assert again == other
    assert same is capabilities
    assert again.energy is found.energy


def document() -> dict[str, Any]:
    found = plain(full_sample())
    assert isinstance(found, dict)
    return found


def decode(fields: dict[str, Any]) -> DeviceSample:
    lines = (f"{name} {json.dumps(value)}" for name, value in fields.items())
    return Decoder().decode("\n".join(lines).encode(), fields["time_ns"])[0]


def test_members_of_another_release() -> None:
    known = document()
    newer = known | {"fan_rpm": 900, "clock": known["clock"] | {"jitter": 1}}
    assert plain(decode(newer)) == known
    older = {"time_ns": 1, "clock": document()["clock"]}
    assert decode(older).gpus == ()


def test_fields_that_are_missing() -> None:
    with pytest.raises(ValueError, match="clock"):
        decode({"time_ns": 1})


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("clock", "time_ns"), "1"),
        (("clock", "time_ns"), True),
        (("clock", "time_ns"), 1.5),
        (("clock",), None),
        (("clock", "driver"), 7),
        (("clock", "policies"), {}),
        (("clock", "policies"), [1]),
        (("gpus",), "gpu"),
        (("power", "source"), "sun"),
        (("energy", "rails"), [{"name": "x"}]),
        (("quota", "quota_cpus"), "1"),
        (("capabilities",), [{"driver": "x"}]),
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
@example(b"clock " + b"[" * 100_000)
@example(b"clock null")
def test_garbage_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Decoder().decode(data, 1)
