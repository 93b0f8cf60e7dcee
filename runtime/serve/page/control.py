# SPDX-License-Identifier: Apache-2.0
"""Changing target and accuracy floor while serving."""

from collections.abc import Callable
from typing import NamedTuple

from aio.runtime.errors import InputError
from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.hosting.engine import Engine
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.page.snapshot import settings_dict

MODEL = "model"


class Settings(NamedTuple):
    """What can be set of a model, None being the default; the fields are the names in JSON."""

    target_ms: float | None
    battery_target_ms: float | None
    min_accuracy: float | None

    @classmethod
    def of(cls, engine: Engine) -> "Settings":
        """Return what is in force."""
        return cls(engine.given_target_ms, engine.battery_target_ms, engine.min_accuracy)


class Controls:
    """Checks and applies what the page asks for; `null` is what the server was started with.

    Args:
        host: the models.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        # Nothing else changes settings, so those before the first change are those of the start.
        self._started: dict[str, tuple[Engine, Settings]] = {}

    def apply(self, request: object) -> dict[str, object]:
        """Change what the request names, all or nothing, and return what is in force then.

        Raises:
            RequestError: the request is not an object of known members.
            UnknownModelError: there is no such model.
            UnavailableError: no model is ready.
            InputError: a value is out of range.
        """
        name, changes = _checked(request)
        engine = self._host.find(name).engine
        held, started = self._started.get(name, (None, None))
        if held is not engine or started is None:
            started = Settings.of(engine)
            self._started[name] = engine, started
        before = Settings.of(engine)
        wanted = {
            key: getattr(started, key) if value is None else value for key, value in changes.items()
        }
        try:
            _set(engine, wanted)
        except InputError:
            _set(engine, {key: getattr(before, key) for key in wanted})
            raise
        return {MODEL: name, **settings_dict(engine)}


def _checked(request: object) -> tuple[str, dict[str, float | None]]:
    known = (MODEL, *Settings._fields)
    if not isinstance(request, dict) or not isinstance(request.get(MODEL), str):
        raise RequestError(f"expected a JSON object with the members {', '.join(known)}")
    unknown = [key for key in request if key not in known]
    if unknown:
        raise RequestError(f"unknown member {unknown[0][:80]!r}; there is {', '.join(known)}")
    changes: dict[str, float | None] = {}
    for key in Settings._fields:
        if key in request:
            value = request[key]
            if isinstance(value, bool) or not isinstance(value, int | float | None):
                raise RequestError(f"{key} is {str(value)[:80]!r}, expected a number or null")
            try:
                changes[key] = None if value is None else float(value)
            except OverflowError:
                raise RequestError(f"{key} is larger than a number can be") from None
    return str(request[MODEL]), changes


def _set(engine: Engine, values: dict[str, float | None]) -> None:
    setters: dict[str, Callable[[float | None], None]] = {
        "target_ms": lambda value: setattr(engine, "target_ms", value),
        "battery_target_ms": lambda value: setattr(engine, "battery_target_ms", value),
        "min_accuracy": engine.set_min_accuracy,
    }
    for key, value in values.items():
        setters[key](value)
