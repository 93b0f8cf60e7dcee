# SPDX-License-Identifier: Apache-2.0
"""What was set is told apart from what the server was started with."""

import pytest
from fake_engine import FakeEngine

from aio.runtime.errors import InputError
from aio.runtime.records import LevelInfo
from aio.runtime.serve.hosting.settings import ModelSettings, Settings


def engine() -> FakeEngine:
    levels = tuple(LevelInfo(i, i / 4, 0.9 - i / 10, 1, 1, None) for i in range(3))
    return FakeEngine(levels=levels, given_target_ms=5.0)


def test_what_was_changed_and_not_reset() -> None:
    model = engine()
    settings = ModelSettings(model)
    assert (dict(settings.changed), str(settings)) == ({}, "")
    settings.change({"target_ms": 20.0, "min_accuracy": 0.75})
    assert str(settings) == "target_ms=20, min_accuracy=0.75"
    settings.change({"target_ms": None})
    assert dict(settings.changed) == {"min_accuracy": 0.75}
    assert Settings.of(model) == Settings(5.0, None, 0.75)


def test_what_fails_changes_nothing() -> None:
    model = engine()
    settings = ModelSettings(model)
    settings.change({"target_ms": 20.0})
    with pytest.raises(InputError, match=r"the best level has 0\.9"):
        settings.change({"target_ms": 30.0, "min_accuracy": 0.95})
    assert dict(settings.changed) == {"target_ms": 20.0}
    assert Settings.of(model) == Settings(20.0, None, None)
