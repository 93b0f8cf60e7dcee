# SPDX-License-Identifier: Apache-2.0
"""Traces: those that ship, the format, and files that are wrong or hostile."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.governors.base import PowerSource
from aio.governors.devices import device_names
from aio.governors.emulation import Change, Event, Trace, VirtualDevice, load_trace, trace_names
from aio.governors.emulation.trace import MAX_BYTES, parse_trace


def one(**fields: object) -> str:
    return json.dumps({"events": [{"at_s": 0, **fields}]})


@pytest.mark.parametrize("name", trace_names())
@pytest.mark.parametrize("device", device_names())
def test_shipped_traces_fit_every_board(name: str, device: str) -> None:
    trace = load_trace(name)
    assert trace.about
    assert trace.evidence
    simulated = VirtualDevice(device, trace=trace)
    simulated.sleep(12_000_000_000)
    assert simulated.now_ns == 12_000_000_000


def test_steps() -> None:
    trace = load_trace("steps")
    assert [event.at_ns for event in trace.events] == [k * 2_000_000_000 for k in range(5)]
    assert trace.speeds() == (1.0, 0.8, 0.6, 0.45, 0.35)
    assert trace.hidden_caps() == ()
    assert load_trace("undervoltage").hidden_caps() == (0.4,)
    seventh = trace.event(6)
    assert seventh == Event(12_000_000_000, Change(speed=0.8))


def test_every_field() -> None:
    trace = parse_trace(
        "all",
        one(
            governor="userspace",
            speed=0.5,
            max_speed=0.9,
            thermal_cap=0.8,
            hidden_cap=None,
            quota_cpus=1.5,
            quota_period_us=5000,
            power="battery",
            ambient_c=-10,
            offline_cpus=[3, 2, 3],
        ),
    )
    assert trace.events[0].change == Change(
        governor="userspace",
        speed=0.5,
        max_speed=0.9,
        thermal_cap=0.8,
        hidden_cap=math.inf,
        quota_cpus=1.5,
        quota_period_us=5000,
        power=PowerSource.BATTERY,
        ambient_c=-10.0,
        offline_cpus=(2, 3),
    )
    assert trace.sets_speed
    assert trace.sets_governor


def test_taking_things_back() -> None:
    change = parse_trace("x", one(quota_cpus=None, offline_cpus=None)).events[0].change
    assert (change.quota_cpus, change.offline_cpus) == (math.inf, ())


def test_unrolling() -> None:
    events = (Event(0, Change(speed=1.0)), Event(5, Change(speed=0.5)))
    once, forever = Trace("a", events), Trace("a", events, repeat_ns=7)
    assert [once.event(i) for i in range(3)] == [*events, None]
    unrolled = [forever.event(i) for i in range(5)]
    assert [event.at_ns for event in unrolled if event] == [0, 5, 7, 12, 14]
    assert Trace("empty", ()).event(0) is None


def test_faster() -> None:
    trace = load_trace("steps").faster(10)
    assert (trace.events[1].at_ns, trace.repeat_ns) == (200_000_000, 1_000_000_000)
    for factor in (0.0, math.inf, math.nan, -1.0):
        with pytest.raises(ValueError, match="times as fast"):
            trace.faster(factor)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("9" * 5000, "not JSON|expected an object"),
        ("[]", "expected an object"),
        ("{}", "events is missing"),
        ('{"events": {}}', "events is missing or no list"),
        ('{"events": [], "repeat": 1}', "unknown field 'repeat'"),
        ('{"events": [], "about": 1}', "about is 1, expected text"),
        ('{"events": [], "repeat_s": 1}', "repeat_s must be after"),
        ('{"events": [{"at_s": 1}], "repeat_s": 1}', "repeat_s must be after"),
        ('{"events": [1]}', "event 0: expected an object"),
        ('{"events": [{}]}', "event 0: at_s is missing"),
        ('{"events": [{"at_s": -1}]}', "at_s is -1"),
        ('{"events": [{"at_s": NaN}]}', "at_s is nan"),
        ('{"events": [{"at_s": 1e999}]}', "at_s is inf"),
        ('{"events": [{"at_s": true}]}', "at_s is True"),
        ('{"events": [{"at_s": 2}, {"at_s": 1}]}', "in the order"),
        (one(speed=0), "speed is 0"),
        (one(speed=None), "speed is None"),
        (one(speed=1.1), "speed is 1.1"),
        (one(speed="fast"), "speed is 'fast'"),
        (one(hidden_cap=2), "hidden_cap is 2"),
        (one(governor="turbo"), "governor is 'turbo'"),
        (one(governor=["userspace"]), "governor is"),
        (one(quota_cpus=0), "quota_cpus is 0"),
        (one(quota_period_us=10), "quota_period_us is 10"),
        (one(power="nuclear"), "power is 'nuclear', expected one of ac, battery"),
        (one(ambient_c=1000), "ambient_c is 1000"),
        (one(offline_cpus=[0]), "CPU 0 can't"),
        (one(offline_cpus=[-1]), "offline_cpus is"),
        (one(offline_cpus=[True]), "offline_cpus is"),
        (one(offline_cpus=3), "offline_cpus is 3"),
        (one(colour="red"), "event 0: unknown field 'colour'"),
    ],
)
def test_wrong_traces_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_trace("wrong", text)


def test_files(tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text(one(hidden_cap=0.5))
    assert load_trace(mine).name == "mine"
    with pytest.raises(ValueError, match="neither a file nor one of ac-to-battery"):
        load_trace("no-such-trace")
    mine.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="not UTF-8"):
        load_trace(mine)
    with mine.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ValueError, match="more than"):
        load_trace(mine)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
FIELDS = ("at_s", "speed", "governor", "hidden_cap", "quota_cpus", "offline_cpus", "power")


@given(events=st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON)), repeat=JSON)
def test_anything_is_a_trace_or_a_value_error(events: object, repeat: object) -> None:
    text = json.dumps({"events": events, "repeat_s": repeat})
    try:
        trace = parse_trace("any", text)
    except ValueError as error:
        assert "trace any" in str(error)  # noqa: PT017
    else:
        assert all(event.at_ns >= 0 for event in trace.events)
