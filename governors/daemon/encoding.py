# SPDX-License-Identifier: Apache-2.0
"""Samples and capabilities as lines of JSON and back, driven by the types of base.py.

A field that base.py gains is written and read without a change here. What is read is checked
against the annotated types; members that this release does not know are skipped, and fields that
an older writer did not know take their defaults.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import types
import typing
from collections.abc import Callable

from aio.governors.base import Capability, DeviceSample

_CAPABILITIES = "capabilities"
_CLOCK = "clock"

# From what JSON gives to a field's value; raises ValueError for anything else.
_Decode = Callable[[object], object]


class Encoder:
    """Turns samples into lines like `gpus [...]`; what did not change is not encoded again."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[object, bytes]] = {}

    def encode(self, sample: DeviceSample, capabilities: tuple[Capability, ...]) -> bytes:
        """Return a sample, without its time, and the capabilities as lines of a name and JSON."""
        values = {name: getattr(sample, name) for name in _FIELDS}
        values[_CLOCK] = dataclasses.replace(sample.clock, time_ns=0)
        values[_CAPABILITIES] = capabilities
        return b"\n".join(self._line(name, value) for name, value in values.items())

    def _line(self, name: str, value: object) -> bytes:
        known = self._lines.get(name)
        if known is not None and known[0] == value:
            return known[1]
        line = f"{name} {json.dumps(value, default=_plain, separators=(',', ':'))}".encode("ascii")
        self._lines[name] = value, line
        return line


class Decoder:
    """Turns such lines into samples; a line that did not change is not decoded again."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[bytes, object]] = {}
        self._last: tuple[bytes, DeviceSample, tuple[Capability, ...]] | None = None

    def decode(self, detail: bytes, time_ns: int) -> tuple[DeviceSample, tuple[Capability, ...]]:
        """Return the sample of a time, which is also the time of its clock, and the capabilities.

        Raises:
            ValueError: the lines are not those of a sample.
        """
        if self._last is None or self._last[0] != detail:
            self._last = detail, *self._decode_lines(detail)
        _, sample, capabilities = self._last
        clock = dataclasses.replace(sample.clock, time_ns=time_ns)
        return dataclasses.replace(sample, time_ns=time_ns, clock=clock), capabilities

    def _decode_lines(self, detail: bytes) -> tuple[DeviceSample, tuple[Capability, ...]]:
        found: dict[str, typing.Any] = {}
        for line in detail.split(b"\n"):
            word, _, text = line.partition(b" ")
            name = word.decode("ascii", "replace")
            if (decode := _LINES.get(name)) is not None:
                found[name] = self._value(name, text, decode)
        capabilities = found.pop(_CAPABILITIES, ())
        try:
            return DeviceSample(time_ns=0, **found), capabilities
        except TypeError as error:  # a field without a default is missing
            raise ValueError(str(error)) from None

    def _value(self, name: str, text: bytes, decode: _Decode) -> object:
        known = self._values.get(name)
        if known is not None and known[0] == text:
            return known[1]
        value = decode(_parse(text))
        self._values[name] = text, value
        return value


def plain(value: object) -> object:
    """Return samples and capabilities as what JSON can hold."""
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    kind: typing.Any = type(value)
    return {name: getattr(value, name) for name in _names(kind)}


@functools.cache
def _names(kind: typing.Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _parse(data: bytes) -> object:
    try:
        return json.loads(data)
    except RecursionError:  # deeply nested; a record of ours is four levels deep
        raise ValueError("nested too deeply") from None


@functools.cache
def _decoder(kind: typing.Any) -> _Decode:
    """Return the decoder of a type, made once."""
    origin = typing.get_origin(kind)
    if origin in {types.UnionType, typing.Union}:
        return _optional(_decoder(_without_none(kind)))
    if origin is tuple:
        return _tuple(_decoder(typing.get_args(kind)[0]))
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)
    if issubclass(kind, enum.Enum):
        return typing.cast("_Decode", kind)
    return _scalar(kind)


def _without_none(kind: typing.Any) -> typing.Any:
    (inner,) = (member for member in typing.get_args(kind) if member is not type(None))
    return inner


def _optional(inner: _Decode) -> _Decode:
    return lambda value: None if value is None else inner(value)


def _tuple(inner: _Decode) -> _Decode:
    def decode(value: object) -> object:
        if not isinstance(value, list):
            raise ValueError(f"{value!r:.40} is no list")
        return tuple(inner(item) for item in value)

    return decode


def _dataclass(kind: typing.Any) -> _Decode:
    hints = typing.get_type_hints(kind)
    decoders = {field.name: _decoder(hints[field.name]) for field in dataclasses.fields(kind)}

    def decode(value: object) -> object:
        if not isinstance(value, dict):
            raise ValueError(f"{value!r:.40} is no object")
        known = {name: decoders[name](item) for name, item in value.items() if name in decoders}
        try:
            return kind(**known)
        except TypeError as error:  # a field without a default is missing
            raise ValueError(str(error)) from None

    return decode


def _scalar(kind: type) -> _Decode:
    def decode(value: object) -> object:
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise ValueError(f"{value!r:.40} is no {kind.__name__}")
        return value

    return decode


def _lines() -> dict[str, _Decode]:
    hints = typing.get_type_hints(DeviceSample)
    return {name: _decoder(hints[name]) for name in _FIELDS} | {
        _CAPABILITIES: _decoder(tuple[Capability, ...])
    }


# The time is in the record: it changes always, the rest seldom.
_FIELDS = tuple(name for name in _names(DeviceSample) if name != "time_ns")
_LINES = _lines()
