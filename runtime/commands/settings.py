# SPDX-License-Identifier: Apache-2.0
"""Options of a command from four places: command line, environment, configuration file, default.

Everything is derived from the command's parser, so an option that is declared there can be given
in all places, under one name: `--target-ms 20`, `AIO_SERVE_TARGET_MS=20`, `target-ms = 20`. The
first place in the order above that has a value wins. An option of NAME=VALUE pairs is a table in
the file, and each of its names is looked up by itself.
"""

import argparse
import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aio.runtime.commands.service_links import is_service_link
from aio.runtime.commands.setting_values import Pairs, default_of, from_text, from_toml
from aio.runtime.commands.settings_file import read_file
from aio.runtime.errors import InputError

COMMAND_LINE, DEFAULT = "command line", "default"
# Options about one call rather than about the server; --config has a variable, but no key.
_OF_ONE_CALL = frozenset({"help", "check", "config"})


class Setting(NamedTuple):
    """A value and where it comes from."""

    value: Any
    origin: str


class _Given(argparse.Namespace):
    """Attributes of the options that are on the command line; argparse sets no defaults here."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.__dict__["_names"] = frozenset(names)

    def __getattr__(self, name: str) -> None:
        if name not in self.__dict__["_names"]:
            raise AttributeError(name)


class Settings:
    """The options of one parser and where their values come from.

    Args:
        parser: with the options declared, and one named --config.
        prefix: of the environment variables, such as "AIO_SERVE_".
    """

    def __init__(self, parser: argparse.ArgumentParser, prefix: str) -> None:
        self._parser = parser
        self._prefix = prefix
        self._actions = {_name(action): action for action in parser._actions}
        self._options = {
            name: action for name, action in self._actions.items() if name not in _OF_ONE_CALL
        }

    def read(self, arguments: Sequence[str], environ: Mapping[str, str]) -> argparse.Namespace:
        """Return every option, with `origins`: where each came from, by the option's name.

        Raises:
            InputError: a name that is not known, or a value that is not taken; the message says
                where it stands.
        """
        given = self._from_command_line(arguments)
        config = given["config"].value if "config" in given else self._config_variable(environ)
        check = "check" in given
        layers = (given, self._from_environment(environ), self._from_file(config))
        result = argparse.Namespace(config=config, check=check, origins={})
        for name, action in self._options.items():
            found = [layer[name] for layer in layers if name in layer]
            setattr(result, action.dest, _choose(name, action, found, result.origins))
        return result

    def variable(self, name: str) -> str:
        """Return the environment variable of an option."""
        return self._prefix + name.upper().replace("-", "_")

    def _from_command_line(self, arguments: Sequence[str]) -> dict[str, Setting]:
        given = _Given(action.dest for action in self._actions.values())
        self._parser.parse_args(arguments, given)
        found = vars(given)
        # argparse stores the default of a positional argument that is not there.
        return {
            name: Setting(found[action.dest], COMMAND_LINE)
            for name, action in self._actions.items()
            if action.dest in found
            and (action.option_strings or found[action.dest] is not action.default)
        }

    def _config_variable(self, environ: Mapping[str, str]) -> Path | None:
        value = environ.get(self.variable("config"))
        return Path(value) if value else None

    def _from_environment(self, environ: Mapping[str, str]) -> dict[str, Setting]:
        """Return what our variables say; an empty one is not set."""
        names = {self.variable(name): name for name in self._options}
        result = {}
        for variable in sorted(environ):
            value = environ[variable]
            ending = variable.removeprefix(self._prefix)
            if ending in {variable, "CONFIG"} or not value or is_service_link(ending, value):
                continue
            if variable not in names:
                raise InputError(
                    f"no option has the variable {variable}{_nearest(variable, names)}"
                )
            name = names[variable]
            result[name] = Setting(from_text(self._options[name], value, variable), variable)
        return result

    def _from_file(self, path: Path | None) -> dict[str, Setting]:
        if path is None:
            return {}
        result = {}
        for name, value in read_file(path).items():
            if name not in self._options:
                raise InputError(f"{path}: there is no setting {name!r}{self._suggestion(name)}")
            taken = from_toml(self._options[name], value, f"{path}: {name}", path.parent)
            result[name] = Setting(taken, str(path))
        return result

    def _suggestion(self, name: str) -> str:
        if name in _OF_ONE_CALL:
            return "; it is for the command line only"
        return _nearest(name.replace("_", "-"), self._options)


def _name(action: argparse.Action) -> str:
    """Return the option as users write it, without dashes."""
    long = [text for text in action.option_strings if text.startswith("--")]
    return long[0].lstrip("-") if long else action.dest


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; do you mean {close[0]!r}?" if close else "; --help lists what there is"


def _choose(
    name: str, action: argparse.Action, found: Sequence[Setting], origins: dict[str, str]
) -> Any:
    """Return the value that counts and note where it comes from; `found` is best first."""
    if isinstance(action, Pairs):
        merged: dict[str, Any] = {}
        for setting in reversed(found):
            merged |= setting.value
            origins.update({f"{name}.{key}": setting.origin for key in setting.value})
        return merged
    setting = found[0] if found else Setting(default_of(action), DEFAULT)
    origins[name] = setting.origin
    return setting.value
