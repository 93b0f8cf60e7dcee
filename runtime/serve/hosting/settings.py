# SPDX-License-Identifier: Apache-2.0
"""Target and accuracy floor of a model that serves, which its next version takes over.

Floors of accuracy are promises to whoever set them. So a version that can't keep one is not served,
as it would not be if the floor had been given at the start.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from aio.runtime.errors import InputError
from aio.runtime.serve.hosting.engine import Engine


class Settings(NamedTuple):
    """What can be set of a model, None being the default; the fields are the names in JSON."""

    target_ms: float | None
    battery_target_ms: float | None
    min_accuracy: float | None

    @classmethod
    def of(cls, engine: Engine) -> "Settings":
        """Return what is in force."""
        return cls(engine.given_target_ms, engine.battery_target_ms, engine.min_accuracy)


class ModelSettings:
    """The settings of one loaded model, of which `None` is what the server was started with.

    Args:
        engine: the model, as it was loaded.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Nothing else changes settings, so these are those of the start.
        self._started = Settings.of(engine)
        self._changed: dict[str, float] = {}

    @property
    def changed(self) -> Mapping[str, float]:
        """What was set since the start and not reset, by name."""
        return self._changed

    def __str__(self) -> str:
        """Return what was changed, for the log."""
        return ", ".join(f"{key}={value:g}" for key, value in self._changed.items())

    def change(self, values: Mapping[str, float | None]) -> None:
        """Set what is named, all or nothing.

        Raises:
            InputError: a value is out of range, or no level of the model keeps it.
        """
        before = Settings.of(self._engine)
        wanted = {
            key: getattr(self._started, key) if value is None else value
            for key, value in values.items()
        }
        try:
            self._set(wanted)
        except InputError:
            self._set({key: getattr(before, key) for key in wanted})
            raise
        changed = {**self._changed, **values}
        self._changed = {key: value for key, value in changed.items() if value is not None}

    def _set(self, values: Mapping[str, float | None]) -> None:
        engine = self._engine
        setters: dict[str, Callable[[float | None], None]] = {
            "target_ms": lambda value: setattr(engine, "target_ms", value),
            "battery_target_ms": lambda value: setattr(engine, "battery_target_ms", value),
            "min_accuracy": engine.set_min_accuracy,
        }
        for key, value in values.items():
            setters[key](value)
