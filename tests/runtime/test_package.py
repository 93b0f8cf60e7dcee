# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

import aio.runtime


@pytest.mark.parametrize("name", aio.runtime.__all__)
def test_every_name_can_be_imported(name: str) -> None:
    assert getattr(aio.runtime, name) is getattr(aio.runtime, name)
    assert name in dir(aio.runtime)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nix'"):
        aio.runtime.nix  # noqa: B018


def test_importing_is_light() -> None:
    code = "import sys, aio.runtime; print('numpy' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"


def test_native_info() -> None:
    info = aio.runtime.native_info()
    assert info["isa_used"] in info["isa_found"]
    assert info["isa_found"][-1] == "scalar"
