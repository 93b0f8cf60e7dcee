# SPDX-License-Identifier: Apache-2.0
"""Samples and capabilities as JSON and back, driven by the types of base.py.

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

# From what JSON gives to a field's value; raises ValueError for anything else.
_Decoder = Callable[[object], object]


def encode_sample(sample: DeviceSample) -> bytes:
    """Return a sample as one line of JSON."""
    return _encode(sample)


def decode_sample(data: bytes) -> DeviceSample:
    """Return the sample of one line of JSON.

    Raises:
        ValueError: it is none.
    """
    return typing.cast("DeviceSample", _decoder(DeviceSample)(_parse(data)))


def encode_capabilities(capabilities: tuple[Capability, ...]) -> bytes:
    """Return capabilities as one line of JSON."""
    return _encode(capabilities)


def decode_capabilities(data: bytes) -> tuple[Capability, ...]:
    """Return the capabilities of one line of JSON.

    Raises:
        ValueError: they are none.
    """
    decode = _decoder(tuple[Capability, ...])
    return typing.cast("tuple[Capability, ...]", decode(_parse(data)))


def _encode(value: object) -> bytes:
    return json.dumps(value, default=_plain, separators=(",", ":")).encode("ascii")


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    names = (field.name for field in dataclasses.fields(typing.cast("typing.Any", value)))
    return {name: getattr(value, name) for name in names}


def _parse(data: bytes) -> object:
    try:
        return json.loads(data)
    except RecursionError:  # deeply nested; a record of ours is four levels deep
        raise ValueError("nested too deeply") from None


@functools.cache
def _decoder(kind: typing.Any) -> _Decoder:
    """Return the decoder of a type, made once."""
    origin = typing.get_origin(kind)
    if origin in {types.UnionType, typing.Union}:
        return _optional(_decoder(_without_none(kind)))
    if origin is tuple:
        return _tuple(_decoder(typing.get_args(kind)[0]))
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)
    if issubclass(kind, enum.Enum):
        return typing.cast("_Decoder", kind)
    return _scalar(kind)


def _without_none(kind: typing.Any) -> typing.Any:
    (inner,) = (member for member in typing.get_args(kind) if member is not type(None))
    return inner


def _optional(inner: _Decoder) -> _Decoder:
    return lambda value: None if value is None else inner(value)


def _tuple(inner: _Decoder) -> _Decoder:
    def decode(value: object) -> object:
        if not isinstance(value, list):
            raise ValueError(f"{value!r:.40} is no list")
        return tuple(inner(item) for item in value)

    return decode


def _dataclass(kind: typing.Any) -> _Decoder:
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


def _scalar(kind: type) -> _Decoder:
    def decode(value: object) -> object:
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise ValueError(f"{value!r:.40} is no {kind.__name__}")
        return value

    return decode
