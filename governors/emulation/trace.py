# SPDX-License-Identifier: Apache-2.0
"""Traces: what happens to a device, and when.

A trace is a JSON file:

    {"about": "...", "evidence": "...", "repeat_s": 10, "events": [
        {"at_s": 0, "speed": 1.0},
        {"at_s": 2, "speed": 0.6, "hidden_cap": 0.5}]}

`about` and `repeat_s` may be missing; without `repeat_s` the last state stays. Speeds and caps are
fractions of the highest clock, so that a trace fits every board. A field that an event does not
name stays as it is; null takes a cap, a quota or the outage of CPUs back.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aio.governors.base import PowerSource
from aio.governors.emulation.rules import governor_names

TRACES = Path(__file__).parent / "traces"
MAX_BYTES = 16 * 1024 * 1024
MAX_SECONDS = 1e6
MAX_CPUS = 1024
# A write of null, as against a field that the event does not name, which is None.
NOTHING = math.inf


@dataclass(frozen=True, slots=True)
class Change:
    """What an event sets; None leaves a thing as it is.

    Attributes:
        governor: the cpufreq governor.
        speed: a clock written to scaling_setspeed, the highest operating point within this
            fraction of the maximum; counts under userspace.
        max_speed: scaling_max_freq as a fraction, as nvpmodel or a user sets it; infinity lifts it.
        thermal_cap: the same by a cooling device; infinity lifts it.
        hidden_cap: a limit that no file shows, as a fraction; infinity lifts it.
        quota_cpus: CPU bandwidth of the container; infinity lifts it.
        quota_period_us: the period of the bandwidth control.
        power: where the energy comes from.
        ambient_c: temperature around the device.
        offline_cpus: CPUs that are switched off, all others being on.
    """

    governor: str | None = None
    speed: float | None = None
    max_speed: float | None = None
    thermal_cap: float | None = None
    hidden_cap: float | None = None
    quota_cpus: float | None = None
    quota_period_us: int | None = None
    power: PowerSource | None = None
    ambient_c: float | None = None
    offline_cpus: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A change at a time since the start of the trace."""

    at_ns: int
    change: Change


@dataclass(frozen=True, slots=True)
class Trace:
    """Events in the order of their times; `repeat_ns` is the period, None for once."""

    name: str
    events: tuple[Event, ...]
    repeat_ns: int | None = None
    about: str = ""
    evidence: str = ""

    def __post_init__(self) -> None:
        times = [event.at_ns for event in self.events]
        if times != sorted(times) or (times and times[0] < 0):
            raise ValueError(f"trace {self.name}: events must be in the order of their times")
        if self.repeat_ns is not None and (not times or self.repeat_ns <= times[-1]):
            raise ValueError(f"trace {self.name}: repeat_s must be after the last event")

    @property
    def sets_speed(self) -> bool:
        """Return whether any event sets a speed."""
        return any(event.change.speed is not None for event in self.events)

    @property
    def sets_governor(self) -> bool:
        """Return whether any event selects a governor."""
        return any(event.change.governor is not None for event in self.events)

    @property
    def sets_quota(self) -> bool:
        """Return whether any event limits the CPU bandwidth."""
        quotas = (event.change.quota_cpus for event in self.events)
        return any(quota is not None and quota < math.inf for quota in quotas)

    def event(self, index: int) -> Event | None:
        """Return the index-th event of the trace as it unrolls, None after the last one."""
        if not self.events:
            return None
        turn, place = divmod(index, len(self.events))
        if turn and self.repeat_ns is None:
            return None
        event = self.events[place]
        return Event(event.at_ns + turn * (self.repeat_ns or 0), event.change)

    def faster(self, factor: float) -> Trace:
        """Return the same trace in a `factor`-th of its time.

        Raises:
            ValueError: the factor is not a positive number.
        """
        if not 0.0 < factor < math.inf:
            raise ValueError(f"a trace can't be {factor} times as fast")
        events = tuple(Event(round(e.at_ns / factor), e.change) for e in self.events)
        repeat_ns = None if self.repeat_ns is None else max(round(self.repeat_ns / factor), 1)
        return dataclasses.replace(self, events=events, repeat_ns=repeat_ns)

    def speeds(self) -> tuple[float, ...]:
        """Return full speed and all that the trace asks for and shows, fastest first."""
        changes = [event.change for event in self.events]
        asked = [(c.speed, c.max_speed, c.thermal_cap) for c in changes]
        return _fractions(1.0, *(value for values in asked for value in values))

    def hidden_caps(self) -> tuple[float, ...]:
        """Return the hidden caps, highest first."""
        return _fractions(*(event.change.hidden_cap for event in self.events))


def _fractions(*values: float | None) -> tuple[float, ...]:
    found = {value for value in values if value is not None and value <= 1.0}
    return tuple(sorted(found, reverse=True))


def trace_names() -> tuple[str, ...]:
    """Return the names of the traces that ship, in alphabetical order."""
    return tuple(sorted(path.stem for path in TRACES.glob("*.json")))


def load_trace(name: str | Path) -> Trace:
    """Return a trace that ships by its name, or one in a file by its path.

    Raises:
        ValueError: there is no such trace, or it is not valid; the message says where.
    """
    if str(name) in trace_names():
        path = TRACES / f"{name}.json"
    else:
        path = Path(name)
        if not path.is_file():
            known = ", ".join(trace_names())
            raise ValueError(f"no trace {str(name)!r}: neither a file nor one of {known}")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"trace {name}: more than {MAX_BYTES} bytes")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"trace {name}: not UTF-8 text") from error
    return parse_trace(path.stem, text)


def parse_trace(name: str, text: str) -> Trace:
    """Return the trace that a JSON text describes.

    Raises:
        ValueError: it is not valid; the message names the event and the field.
    """
    where = f"trace {name}"
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{where}: expected an object with a list of events")
    _known(where, document, {"about", "evidence", "repeat_s", "events"})
    events = document.get("events")
    if not isinstance(events, list):
        raise ValueError(f"{where}: events is missing or no list")
    repeat = document.get("repeat_s")
    return Trace(
        name=name,
        events=tuple(_event(f"{where}: event {i}", event) for i, event in enumerate(events)),
        repeat_ns=None if repeat is None else _seconds(where, "repeat_s", repeat),
        about=_text(where, document, "about"),
        evidence=_text(where, document, "evidence"),
    )


def _event(where: str, fields: object) -> Event:
    if not isinstance(fields, dict):
        raise ValueError(f"{where}: expected an object, got {fields!r}")
    names = {field.name for field in dataclasses.fields(Change)}
    _known(where, fields, {"at_s"} | names)
    if "at_s" not in fields:
        raise ValueError(f"{where}: at_s is missing")
    caps = {
        name: _fraction(where, name, fields[name])
        for name in ("max_speed", "thermal_cap", "hidden_cap")
        if name in fields
    }
    speed = _number(where, "speed", fields["speed"], 0.01, 1.0) if "speed" in fields else None
    ambient = fields.get("ambient_c")
    period = fields.get("quota_period_us")
    change = Change(
        governor=_choice(where, "governor", fields, governor_names()),
        speed=speed,
        **caps,
        quota_cpus=_quota(where, fields),
        quota_period_us=None
        if period is None
        else round(_number(where, "quota_period_us", period, 1000, 1_000_000)),
        power=_power(where, fields),
        ambient_c=None if ambient is None else _number(where, "ambient_c", ambient, -60, 120),
        offline_cpus=_cpus(where, fields),
    )
    return Event(_seconds(where, "at_s", fields["at_s"]), change)


def _known(where: str, fields: Mapping[str, object], names: set[str]) -> None:
    unknown = sorted(fields.keys() - names)
    if unknown:
        raise ValueError(
            f"{where}: unknown field {unknown[0]!r}; known: {', '.join(sorted(names))}"
        )


def _text(where: str, fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"{where}: {name} is {value!r}, expected text")
    return value


def _number(where: str, name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(
            f"{where}: {name} is {value!r}, expected a number from {low:g} to {high:g}"
        )
    return float(value)


def _fraction(where: str, name: str, value: object) -> float:
    return NOTHING if value is None else _number(where, name, value, 0.01, 1.0)


def _seconds(where: str, name: str, value: object) -> int:
    return round(_number(where, name, value, 0.0, MAX_SECONDS) * 1e9)


def _quota(where: str, fields: Mapping[str, object]) -> float | None:
    if "quota_cpus" not in fields:
        return None
    value = fields["quota_cpus"]
    return NOTHING if value is None else _number(where, "quota_cpus", value, 0.01, MAX_CPUS)


def _choice(
    where: str, name: str, fields: Mapping[str, object], values: tuple[str, ...]
) -> str | None:
    value = fields.get(name)
    if value is None or value in values:
        return str(value) if value is not None else None
    raise ValueError(f"{where}: {name} is {value!r}, expected one of {', '.join(values)}")


def _power(where: str, fields: Mapping[str, object]) -> PowerSource | None:
    value = _choice(where, "power", fields, tuple(source.value for source in PowerSource))
    return None if value is None else PowerSource(value)


def _cpus(where: str, fields: Mapping[str, object]) -> tuple[int, ...] | None:
    if "offline_cpus" not in fields:
        return None
    value = fields["offline_cpus"]
    if value is None:
        return ()
    if not isinstance(value, list) or not all(
        type(cpu) is int and 0 <= cpu < MAX_CPUS for cpu in value
    ):
        raise ValueError(f"{where}: offline_cpus is {value!r}, expected a list of CPU numbers")
    if 0 in value:
        raise ValueError(f"{where}: CPU 0 can't be switched off")
    return tuple(sorted(set(value)))
