# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import platform
from pathlib import Path

import pytest

from aio.runtime.device import cpu_model


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor : 0\nmodel name\t: AMD  EPYC 9B14\n", "AMD EPYC 9B14"),
        ("processor\t: 0\nCPU part\t: 0xd08\n\nModel\t\t: Raspberry Pi 4\n", "Raspberry Pi 4"),
        ("CPU part\t: 0xd42\n", "0xd42"),
        ("model name\t:\n", platform.machine()),
        ("", platform.machine()),
    ],
)
def test_name(text: str, name: str, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    assert cpu_model(cpuinfo) == name


def test_without_cpuinfo(tmp_path: Path) -> None:
    assert cpu_model(tmp_path / "missing") == platform.machine()
    assert cpu_model()
