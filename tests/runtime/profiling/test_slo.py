# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profile_parts import two_points

from aio.runtime.profiling.slo import FIGURES, parse_assertion


@pytest.mark.parametrize(
    "text",
    [
        *("p99<20ms", "p99.9<=20ms", "p50<20000us", "cv<0.05", "cv<5%", "spread<10%", "max<1s"),
        *("ort:p50<=20ms", "ort:spread>50%", "accuracy>=0.8", "misses<=0%", "min>1ms"),
    ],
)
def test_what_holds(text: str) -> None:
    assert parse_assertion(text).failures(two_points()) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("ort:p50<15ms", ["ort at governor1 p50 is 20ms, 33.3% over the limit"]),
        ("ort:p50>0.015s", ["ort at governor0 p50 is 0.01s, 33.3% under the limit"]),
        ("ort:spread<50%", ["ort across frequencies spread is 66.67%, 33.3% over the limit"]),
        ("ort:misses<=0", ["ort at governor1 misses is 1"]),
        ("energy<5mj", [f"adaptive at governor{k} it is not available" for k in (0, 1)]),
    ],
)
def test_what_fails_says_where_and_by_how_much(text: str, lines: list[str]) -> None:
    assert parse_assertion(text).failures(two_points()) == [f"{text}: {line}" for line in lines]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("p99", "expected [SUBJECT:]FIGURE<LIMIT"),
        ("p98<3ms", "no figure 'p98', known are p50, p90"),
        ("p99<3", "unit missing, expected us or ms or s"),
        ("cv<3ms", "unit ms, expected none or %"),
        ("p99<1.2.3ms", "'1.2.3' is no number"),
    ],
)
def test_what_is_no_assertion(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_assertion(text)


def test_a_subject_that_is_not_measured() -> None:
    with pytest.raises(ValueError, match="table is not measured, only adaptive, ort"):
        parse_assertion("table:cv<1").check_subject(["adaptive", "ort"])


@given(st.text(max_size=30))
def test_any_text_is_an_assertion_or_a_value_error(text: str) -> None:
    names = {*FIGURES, "spread"}
    try:
        figure = parse_assertion(text).figure
    except ValueError:
        return
    assert figure in names
