# SPDX-License-Identifier: Apache-2.0
"""The package stands alone: importing it is light and pulls in no sibling."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aio.governors.base import ClockSample
from aio.governors.drivers.constant import ConstantDriver


def test_import_pulls_in_no_sibling_and_nothing_heavy() -> None:
    code = (
        "import sys, aio.governors, aio.governors.report; "
        "print([n for n in sys.modules if n.split('.')[0] in {'torch', 'numpy', 'pynvml'} "
        "or n.startswith(('aio.runtime', 'aio.models'))])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"


def test_age_of_a_sample() -> None:
    sample = ConstantDriver().read()
    assert sample.age_s(sample.time_ns + 1_500_000_000) == 1.5


def test_samples_are_frozen() -> None:
    sample = ClockSample(0, None, None, "constant", (), "no clock")
    with pytest.raises(AttributeError):
        sample.cpu_khz = 1  # type: ignore[misc]
