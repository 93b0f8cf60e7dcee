# SPDX-License-Identifier: Apache-2.0
"""Fake machines in tmp_path, as data from tests/support/fake_machine.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_machine import ORIN_NANO, Board, FakeMachine, MachineMaker


@pytest.fixture
def make_machine(tmp_path: Path) -> MachineMaker:
    """Return a function that builds the machine of a board, or one with an empty cpufreq."""
    made: list[FakeMachine] = []

    def make(board: Board | None = None) -> FakeMachine:
        made.append(FakeMachine(tmp_path / f"machine{len(made)}", board))
        return made[-1]

    return make


@pytest.fixture
def orin(make_machine: MachineMaker) -> FakeMachine:
    return make_machine(ORIN_NANO)
