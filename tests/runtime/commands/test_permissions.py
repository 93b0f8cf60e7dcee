# SPDX-License-Identifier: Apache-2.0
"""Permissions are octal digits in text and a number in a file, and never mistaken."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.commands.permissions import Permissions, octal_digits, permissions
from aio.runtime.errors import InputError


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
def test_a_number_is_the_mode_itself(mode: int) -> None:
    assert permissions(octal_digits(mode)) == mode
    assert str(Permissions(mode)) == octal_digits(mode) == f"{mode:04o}"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (660, 'found 660, which is 0o1224; write "0660" as text, or 0o660'),
        (600, 'write "0600" as text, or 0o600'),
        (999, 'expected 0 to 0o777, found 999, which is 0o1747; write "0660"'),
        (0o1000, "found 512, which is 0o1000"),
        (-1, "found -1"),
    ],
)
def test_a_number_that_is_too_large_says_what_to_write(number: int, said: str) -> None:
    with pytest.raises(InputError) as caught:
        octal_digits(number)
    assert said in str(caught.value)
