# SPDX-License-Identifier: Apache-2.0
"""Kernel text to numbers: real dialects give values, everything else None and no exception."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.governors.parsing import (
    MAX_CPUS,
    MAX_KHZ,
    MAX_MC,
    MIN_KHZ,
    MIN_MC,
    parse_busy,
    parse_cpus,
    parse_dpm_khz,
    parse_hz,
    parse_hz_list,
    parse_int,
    parse_khz,
    parse_khz_list,
    parse_load,
    parse_mhz,
    parse_percent,
    parse_signed,
    parse_temperature_mc,
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


@pytest.mark.parametrize("text", [item for item in GARBAGE if item != "1510400000"])
def test_garbage_is_no_frequency_in_hz(text: str | None) -> None:
    assert parse_hz(text) is None
    assert parse_hz_list(text) == ()
    assert parse_dpm_khz(text) == ()


def test_units_are_not_mixed_up() -> None:
    assert (parse_hz("624750000\n"), parse_khz("624750"), parse_mhz("624")) == (
        624750,
        624750,
        624000,
    )
    assert parse_hz("624750") is None  # kHz in a file of Hz
    assert parse_hz("624") is None
    assert parse_khz("624750000000") is None
    assert parse_mhz("624750") is None
    assert parse_mhz("0") is None


@given(st.integers(MIN_KHZ, MAX_KHZ))
def test_hz_and_mhz_round_trip(khz: int) -> None:
    assert parse_hz(f"{khz * 1000}\n") == khz
    assert parse_mhz(f"{khz // 1000}") == khz // 1000 * 1000


def test_lists_of_gpus() -> None:
    assert parse_hz_list("840000000 315000000 0 x 315000000 \n") == (315000, 840000)
    assert parse_dpm_khz("0: 300Mhz \n1: 1100Mhz *\n2: 2900MHz\nS: garbage\n") == (
        300000,
        1100000,
        2900000,
    )


@pytest.mark.parametrize(
    ("text", "load"),
    [
        *(("0", 0.0), ("537\n", 0.537), ("1000", 1.0), ("1001", None), ("-1", None)),
        *(("0@1000000000Hz", 0.0), ("100@300000000", 1.0), ("101@3", None), ("@3", None)),
        *((None, None), ("", None), ("x", None)),
    ],
)
def test_loads(text: str | None, load: float | None) -> None:
    assert parse_load(text) == load


@pytest.mark.parametrize(
    ("text", "load"), [("37", 0.37), (" 37 %\n", 0.37), ("100", 1.0), ("101", None), ("", None)]
)
def test_percentages(text: str, load: float | None) -> None:
    assert parse_percent(text) == load


@pytest.mark.parametrize(
    ("text", "load"),
    [("250 1000", 0.25), ("0 0", None), ("5 4", None), ("5", None), ("1 2 3", None), ("a b", None)],
)
def test_busy_pairs(text: str, load: float | None) -> None:
    assert parse_busy(text) == load


@given(st.text())
def test_any_text_gives_a_load_of_0_to_1_or_none(text: str) -> None:
    for parse in (parse_load, parse_percent, parse_busy):
        load = parse(text)
        assert load is None or 0.0 <= load <= 1.0


@given(st.integers(-(10**12), 10**12))
def test_signed_numbers_round_trip(value: int) -> None:
    assert parse_signed(f"{value}\n") == value
    temperature_mc = parse_temperature_mc(f"{value}\n")
    assert temperature_mc in {value, None}
    assert (temperature_mc is None) == (not MIN_MC <= value <= MAX_MC or value == -256)


@given(st.text())
def test_any_text_gives_a_temperature_or_none(text: str) -> None:
    temperature_mc = parse_temperature_mc(text)
    assert temperature_mc is None or MIN_MC <= temperature_mc <= MAX_MC


@pytest.mark.parametrize("text", ["--5", "- 5", "+5", "-", "-\N{ARABIC-INDIC DIGIT THREE}"])
def test_signs_that_are_none(text: str) -> None:
    assert parse_signed(text) is None
