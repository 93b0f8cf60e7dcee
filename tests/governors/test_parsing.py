# SPDX-License-Identifier: Apache-2.0
"""Kernel text to numbers: real dialects give values, everything else None and no exception."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.governors.parsing import (
    MAX_CPUS,
    MAX_KHZ,
    MIN_KHZ,
    parse_cpus,
    parse_int,
    parse_khz,
    parse_khz_list,
    parse_word,
)

GARBAGE = [
    *(None, "", "\n", "<unsupported>", "<unknown>", "-1", "+1510400", "0", "0\n", "1510400.0"),
    *(
        "1_510_400",
        "0x171000",
        "1510400 1",
        "15\x0010400",
        "\x00" * 8,
        "nan",
        "\N{ARABIC-INDIC DIGIT THREE}" * 7,
    ),
    *("9" * 400, "1510400000", "1510", "4294967295", "\ufffd\ufffd"),
]


@pytest.mark.parametrize("text", GARBAGE)
def test_garbage_is_no_frequency(text: str | None) -> None:
    assert parse_khz(text) is None


@pytest.mark.parametrize("text", ["1510400", "1510400\n", " 1510400 \n"])
def test_frequency(text: str) -> None:
    assert parse_khz(text) == 1510400


@given(st.text())
def test_any_text_gives_a_plausible_frequency_or_none(text: str) -> None:
    khz = parse_khz(text)
    assert khz is None or MIN_KHZ <= khz <= MAX_KHZ


@given(st.integers(MIN_KHZ, MAX_KHZ))
def test_every_plausible_frequency_round_trips(khz: int) -> None:
    assert parse_khz(f"{khz}\n") == khz


@given(st.text())
def test_any_text_gives_a_small_number_or_none(text: str) -> None:
    number = parse_int(text)
    assert number is None or 0 <= number < 10**18


def test_lists_in_either_order_with_trailing_space_and_rubbish() -> None:
    assert parse_khz_list("1500000 600000 1000000 \n") == (600000, 1000000, 1500000)
    assert parse_khz_list("600000 600000 <unsupported> 0 7\n") == (600000,)
    assert parse_khz_list(None) == ()


@given(st.lists(st.integers(MIN_KHZ, MAX_KHZ)))
def test_a_list_comes_back_ascending(values: list[int]) -> None:
    assert parse_khz_list(" ".join(map(str, values))) == tuple(sorted(set(values)))


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0 1 2 3\n", (0, 1, 2, 3)),
        ("0-3,6\n", (0, 1, 2, 3, 6)),
        ("7", (7,)),
        ("3 1 1", (1, 3)),
        ("\n", ()),
        ("", ()),
        (None, None),
        ("zero", None),
        ("1-", None),
        ("-1", None),
        ("3-1", None),
        (f"0-{MAX_CPUS}", None),
        ("0-99999999999999", None),
    ],
)
def test_cpu_lists(text: str | None, cpus: tuple[int, ...] | None) -> None:
    assert parse_cpus(text) == cpus


@given(st.text(alphabet="0123456789-, x\n"))
def test_any_cpu_list_is_bounded_and_ordered(text: str) -> None:
    cpus = parse_cpus(text)
    assert cpus is None or (
        list(cpus) == sorted(set(cpus)) and all(0 <= c < MAX_CPUS for c in cpus)
    )


@pytest.mark.parametrize("text", [None, "", " \n", "two\nlines", "x" * 65, "\x00", "\u00e9t\u00e9"])
def test_words_are_short_and_printable(text: str | None) -> None:
    assert parse_word(text) is None
    assert parse_word("schedutil\n") == "schedutil"
