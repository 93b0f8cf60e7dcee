# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math

import pytest

from aio.runtime.printing import (
    json_text,
    markdown_table,
    megahertz,
    milliseconds,
    number,
    text_table,
)


def test_text_table_is_aligned() -> None:
    table = text_table(["name", "n"], [["a", "1"], ["七", "10"], ["long one", "100"]])
    assert table == "name        n\na           1\n七         10\nlong one  100"
    assert text_table(["a", "bb"], [["x", "y"]], left=2) == "a  bb\nx  y"


def test_markdown_table() -> None:
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"


def test_json_has_no_nan() -> None:
    text = json_text({"a": [math.nan, -math.inf, 1.5], "b": (None, True), 3: "é"})
    assert json.loads(text) == {"a": [None, None, 1.5], "b": [None, True], "3": "é"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (0.0, "0.0"), (0.01234, "0.0123"), (0.1234, "0.123"), (1.234, "1.23"),
        (12.34, "12.3"), (1234.5, "1234.5"), (1e-9, "0.0000"),
    ],
)  # fmt: skip
def test_milliseconds(value: float | None, text: str) -> None:
    assert milliseconds(value) == text


def test_missing_values_are_dashes() -> None:
    assert number(None, ".2f") == megahertz(None) == "-"
    assert number(0.5, ".2f") == "0.50"
    assert megahertz(1_510_400) == "1510 MHz"
