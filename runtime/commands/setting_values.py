# SPDX-License-Identifier: Apache-2.0
"""From the text of a variable or a value of TOML to the value of an option, as its parser says."""

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aio.runtime.commands.permissions import permissions
from aio.runtime.errors import InputError

_TRUTH = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


class Pairs(argparse.Action):
    """An option that is repeated with NAME=VALUE; its `type` returns (name, value)."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add a pair; the last value of a name counts."""
        name, value = values
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), name: value})


def from_text(action: argparse.Action, text: str, where: str) -> Any:
    """Return the value of an environment variable; commas separate the parts of a list."""
    if action.nargs == 0:
        if text.lower() not in _TRUTH:
            raise InputError(f"{where}: expected true or false, found {text!r}")
        return _switch(action, value=_TRUTH[text.lower()])
    if not _repeated(action):
        return _converted(action, text, where)
    return _gathered(action, [_converted(action, part, where) for part in text.split(",")])


def from_toml(action: argparse.Action, value: object, where: str, folder: Path) -> Any:
    """Return the value of a key; a path is relative to the file's folder."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise InputError(f"{where}: expected true or false, found {value!r}")
        return _switch(action, value=value)
    if isinstance(action, Pairs):
        if not isinstance(value, dict):
            raise InputError(f"{where}: expected a table of names and values, found {value!r}")
        texts = [f"{key}={_text(action, item, where)}" for key, item in value.items()]
    elif _repeated(action):
        texts = [
            _text(action, item, where) for item in (value if isinstance(value, list) else [value])
        ]
    else:
        return _located(_converted(action, _text(action, value, where), where), folder)
    found = [_located(_converted(action, text, where), folder) for text in texts]
    return _gathered(action, found)


def _text(action: argparse.Action, value: object, where: str) -> str:
    """Return the value as it would stand on a command line."""
    expected: dict[object, tuple[str, type | tuple[type, ...]]] = {
        None: ("text", str),
        str: ("text", str),
        Path: ("a path as text", str),
        int: ("a whole number", int),
        float: ("a number", (int, float)),
        # Of a number nobody can tell any more with which digits it was written.
        permissions: ('octal digits as text, such as "0660"', str),
    }
    what, types = expected.get(action.type, ("a number or text", (int, float, str)))
    if isinstance(value, bool) or not isinstance(value, types):
        raise InputError(f"{where}: expected {what}, found {value!r}")
    return str(value)


def _converted(action: argparse.Action, text: str, where: str) -> Any:
    convert = action.type if callable(action.type) else str
    try:
        value = convert(text)
    except (argparse.ArgumentTypeError, InputError) as error:
        raise InputError(f"{where}: {error}") from None
    except ValueError:
        names: dict[Callable[..., Any], str] = {int: "a whole number", float: "a number"}
        raise InputError(
            f"{where}: expected {names.get(convert, 'a value')}, found {text!r}"
        ) from None
    if action.choices is not None and value not in action.choices:
        known = ", ".join(map(str, action.choices))
        raise InputError(f"{where}: expected one of {known}, found {text!r}")
    return value


def default_of(action: argparse.Action) -> Any:
    """Return the value of an option that nobody gave; a text is converted, as argparse does."""
    if isinstance(action.default, str) and callable(action.type):
        return action.type(action.default)
    return copy.copy(action.default)


def _switch(action: argparse.Action, *, value: bool) -> Any:
    if isinstance(action, argparse.BooleanOptionalAction):
        return value
    return action.const if value else action.default


def _repeated(action: argparse.Action) -> bool:
    return isinstance(action, Pairs | argparse._AppendAction) or action.nargs in {"*", "+"}


def _gathered(action: argparse.Action, values: list[Any]) -> Any:
    return dict(values) if isinstance(action, Pairs) else values


def _located(value: Any, folder: Path) -> Any:
    return folder / value if isinstance(value, Path) else value
