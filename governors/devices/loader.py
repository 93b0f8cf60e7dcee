# SPDX-License-Identifier: Apache-2.0
"""Read the boards that ship as data, checking everything: a typing error names file and field."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from aio.governors.devices.board import CpuPolicy, Device, GpuClock, Listed, Preset

BOARDS = Path(__file__).parent / "boards"
MIN_KHZ, MAX_KHZ = 10_000, 20_000_000

T = TypeVar("T")


def device_names() -> tuple[str, ...]:
    """Return the names of the boards that ship, in alphabetical order."""
    return tuple(sorted(path.stem for path in BOARDS.glob("*.json")))


@functools.cache
def load_device(name: str) -> Device:
    """Return a board by its name.

    Raises:
        ValueError: there is no such board, or its file is wrong.
    """
    names = device_names()
    if name not in names:
        raise ValueError(f"unknown device {name!r}; known devices: {', '.join(names)}")
    path = BOARDS / f"{name}.json"
    return parse_device(name, path.read_text(encoding="utf-8"))


def parse_device(name: str, text: str) -> Device:
    """Return the board that a JSON text describes.

    Raises:
        ValueError: the text is no such description; the message names board and field.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"device {name}: not JSON: {error}") from error
    fields = _Fields(f"device {name}", document)
    device = Device(
        name=name,
        title=fields.text("title"),
        model=fields.text("model"),
        compatible=fields.words("compatible"),
        driver=fields.text("driver"),
        governor=fields.text("governor"),
        governors=fields.words("governors"),
        transition_latency_ns=fields.number("transition_latency_ns", low=-1),
        policies=tuple(fields.each("policies", _policy)),
        gpu=fields.optional("gpu", _gpu),
        emc_khz=fields.freqs("emc_khz", required=False),
        presets=tuple(fields.each("presets", _preset)),
        zones=fields.words("zones"),
        trip_mc=fields.number("trip_mc", low=0),
        rails=fields.words("rails"),
        battery=fields.get("battery", bool),
        evidence=fields.text("evidence"),
        notes=fields.text("notes"),
    )
    fields.done()
    if not device.policies or len(set(device.cpus)) != len(device.cpus):
        raise ValueError(f"device {name}: policies must be there and must not share CPUs")
    if device.governor not in device.governors:
        raise ValueError(f"device {name}: governor {device.governor!r} is not in its own list")
    return device


def _policy(fields: _Fields) -> CpuPolicy:
    return CpuPolicy(
        number=fields.number("number"),
        cpus=fields.cpus("cpus"),
        freqs_khz=fields.freqs("freqs_khz"),
        listed=fields.listed(),
        capacity=fields.optional_number("capacity"),
        base_khz=fields.optional_number("base_khz", required=False),
    )


def _gpu(fields: _Fields) -> GpuClock:
    return GpuClock(
        node=fields.text("node"),
        freqs_khz=fields.freqs("freqs_khz"),
        listed=fields.listed(),
        governor=fields.text("governor"),
    )


def _preset(fields: _Fields) -> Preset:
    return Preset(
        name=fields.text("name"),
        cpus=fields.number("cpus", low=1),
        cpu_khz=fields.number("cpu_khz", low=MIN_KHZ),
        gpu_khz=fields.number("gpu_khz", low=MIN_KHZ),
        emc_khz=fields.number("emc_khz", low=MIN_KHZ),
    )


class _Fields:
    """A JSON object whose fields are taken one by one; what is left over is a mistake."""

    def __init__(self, where: str, document: object) -> None:
        if not isinstance(document, Mapping):
            raise ValueError(f"{where}: expected an object, got {document!r}")
        self._where = where
        self._left = dict(document)

    def get(self, name: str, kind: type[T]) -> T:
        if name not in self._left:
            raise ValueError(f"{self._where}: {name} is missing")
        value = self._left.pop(name)
        # bool is an int to Python, not to a reader of the file.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{self._where}: {name} is {value!r}, expected {kind.__name__}")
        return value

    def text(self, name: str) -> str:
        return self.get(name, str)

    def words(self, name: str) -> tuple[str, ...]:
        values = self.get(name, list)
        if not all(isinstance(value, str) and value.isprintable() for value in values):
            raise ValueError(f"{self._where}: {name} is {values!r}, expected a list of words")
        return tuple(values)

    def number(self, name: str, low: int = 0) -> int:
        value = self.get(name, int)
        if value < low:
            raise ValueError(f"{self._where}: {name} is {value}, expected at least {low}")
        return value

    def optional_number(self, name: str, *, required: bool = True) -> int | None:
        if self._left.get(name, 0 if required else None) is None:
            self._left.pop(name, None)
            return None
        return self.number(name)

    def cpus(self, name: str) -> tuple[int, ...]:
        values = self.get(name, list)
        if not values or not all(type(value) is int and value >= 0 for value in values):
            raise ValueError(f"{self._where}: {name} is {values!r}, expected CPU numbers")
        return tuple(values)

    def freqs(self, name: str, *, required: bool = True) -> tuple[int, ...]:
        values = self.get(name, list)
        whole = all(type(value) is int and MIN_KHZ <= value <= MAX_KHZ for value in values)
        if not whole or values != sorted(set(values)) or (required and not values):
            raise ValueError(f"{self._where}: {name} is {values!r}, expected ascending kHz")
        return tuple(values)

    def listed(self) -> Listed:
        value = self.text("listed")
        try:
            return Listed(value)
        except ValueError:
            names = ", ".join(listed.value for listed in Listed)
            raise ValueError(f"{self._where}: listed is {value!r}, expected {names}") from None

    def each(self, name: str, parse: Callable[[_Fields], T]) -> list[T]:
        values = self.get(name, list)
        return [self._inner(f"{name}[{i}]", value, parse) for i, value in enumerate(values)]

    def optional(self, name: str, parse: Callable[[_Fields], T]) -> T | None:
        if self._left.get(name, 0) is None:
            self._left.pop(name)
            return None
        return self._inner(name, self.get(name, dict), parse)

    def _inner(self, name: str, value: object, parse: Callable[[_Fields], T]) -> T:
        fields = _Fields(f"{self._where}: {name}", value)
        parsed = parse(fields)
        fields.done()
        return parsed

    def done(self) -> None:
        if self._left:
            raise ValueError(f"{self._where}: unknown field {min(map(str, self._left))!r}")
