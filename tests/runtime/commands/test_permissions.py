# SPDX-License-Identifier: Apache-2.0
"""Permissions are octal digits, and never mistaken for another number."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.commands.permissions import Permissions, permissions


@pytest.mark.parametrize(
    ("text", "mode"),
    [("0660", 0o660), ("660", 0o660), ("0o660", 0o660), ("0", 0), ("777", 0o777), ("00007", 7)],
)
def test_text_is_octal_digits(text: str, mode: int) -> None:
    assert permissions(text) == mode


@pytest.mark.parametrize(
    "text", ["", "9", "9999", "1000", "-1", "0x1", "6_6", " 660", "1.0", "\u0660"]
)
def test_other_text_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="octal digits from 0 to 0777"):
        permissions(text)


@given(mode=st.integers(0, 0o777))
def test_what_is_shown_is_what_is_read(mode: int) -> None:
    assert permissions(str(Permissions(mode))) == mode
