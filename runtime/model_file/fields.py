# SPDX-License-Identifier: Apache-2.0
"""Typed reading of parsed JSON, with messages that say where and what.

A `Fields` wraps one JSON object and the path that leads to it, such as `manifest.nodes[3].attrs`.
Every key must be taken before `finish`, which refuses the ones that are left: a misspelt optional
key would otherwise change the network silently.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import NoReturn

from aio.runtime.model_file.defect import Defect, show

MAX_TEXT_CHARS = 1024
MAX_FLOAT32 = (2 - 2**-23) * 2.0**127


class Fields:
    """One JSON object of the file, read key by key."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise Defect(f"{where} is {show(value)}, expected an object")
        self.where = where
        self._left: dict[str, object] = dict(value)

    def has(self, key: str) -> bool:
        """Return whether an optional key is there and not taken yet."""
        return key in self._left

    def take(self, key: str) -> object:
        """Return the value of a required key, whatever its type."""
        if key not in self._left:
            raise Defect(f"{self.where} lacks the key {key!r}")
        return self._left.pop(key)

    def text(self, key: str, pattern: re.Pattern[str] | None = None) -> str:
        """Return a string without control characters, of the given pattern."""
        return check_text(self.take(key), f"{self.where}.{key}", pattern)

    def integer(self, key: str, low: int, high: int) -> int:
        """Return an integer from low to high."""
        return check_integer(self.take(key), f"{self.where}.{key}", low, high)

    def integers(self, key: str, count: int, low: int, high: int) -> tuple[int, ...]:
        """Return a list of `count` integers, each from low to high."""
        items = self.items(key)
        if len(items) != count:
            raise Defect(f"{self.where}.{key} has {len(items)} entries, expected {count}")
        return tuple(
            check_integer(item, f"{self.where}.{key}[{i}]", low, high)
            for i, item in enumerate(items)
        )

    def number(self, key: str) -> float:
        """Return a finite number; JSON integers count."""
        return check_number(self.take(key), f"{self.where}.{key}")

    def single(self, key: str) -> float:
        """Return a number that is finite in float32 too, as the executor computes in it."""
        value = self.number(key)
        if abs(value) > MAX_FLOAT32:
            self._wrong(key, value, "a number within the range of float32")
        return value

    def boolean(self, key: str) -> bool:
        """Return true or false."""
        value = self.take(key)
        if not isinstance(value, bool):
            self._wrong(key, value, "true or false")
        return value

    def items(self, key: str) -> list[object]:
        """Return a list of anything."""
        value = self.take(key)
        if not isinstance(value, list):
            self._wrong(key, value, "a list")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        return tuple(
            check_text(item, f"{self.where}.{key}[{i}]") for i, item in enumerate(self.items(key))
        )

    def nested(self, key: str) -> "Fields":
        """Return a nested object."""
        return Fields(self.take(key), f"{self.where}.{key}")

    def nested_list(self, key: str) -> Iterator["Fields"]:
        """Return a list of nested objects, one by one."""
        for i, item in enumerate(self.items(key)):
            yield Fields(item, f"{self.where}.{key}[{i}]")

    def rest(self) -> dict[str, object]:
        """Take and return whatever is left, for objects whose keys are free."""
        left, self._left = self._left, {}
        return left

    def finish(self) -> None:
        """Refuse keys that nobody took."""
        if self._left:
            raise Defect(f"{self.where} has the unknown key {show(min(self._left))}")

    def _wrong(self, key: str, value: object, expected: str) -> NoReturn:
        raise Defect(f"{self.where}.{key} is {show(value)}, expected {expected}")


def check_integer(value: object, where: str, low: int, high: int) -> int:
    """Return value if it is an integer from low to high; true and false are not."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Defect(f"{where} is {show(value)}, expected an integer")
    if not low <= value <= high:
        raise Defect(f"{where} is {value}, expected {low} to {high}")
    return value


def check_number(value: object, where: str) -> float:
    """Return value as a float if it is a JSON number; true and false are not."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Defect(f"{where} is {show(value)}, expected a number")
    return float(value)


def check_string(value: object, where: str) -> str:
    """Return value if it is a string, whatever its length and characters."""
    if not isinstance(value, str):
        raise Defect(f"{where} is {show(value)}, expected a string")
    return value


def check_text(value: object, where: str, pattern: re.Pattern[str] | None = None) -> str:
    """Return value if it is a string fit to be printed: no control characters, no lone surrogates.

    Names and labels end up on terminals, in logs and in HTTP headers.
    """
    value = check_string(value, where)
    if len(value) > MAX_TEXT_CHARS:
        raise Defect(f"{where} has {len(value)} characters, the limit is {MAX_TEXT_CHARS}")
    for char in value:
        if unicodedata.category(char) in {"Cc", "Cs"}:
            raise Defect(f"{where} is {show(value)}: character {char!r} is not allowed")
    if pattern is not None and not pattern.fullmatch(value):
        raise Defect(f"{where} is {show(value)}, expected the pattern {pattern.pattern}")
    return value
