# SPDX-License-Identifier: Apache-2.0
"""A kernel to set clocks in, and a folder for the journal."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_kernel import FakeKernel


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path / "root")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journals"
