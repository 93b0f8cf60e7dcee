# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from profile_parts import sample

from aio.runtime.profiling.sustained import duration_s, minutes, onset

if TYPE_CHECKING:
    from aio.runtime.profiling.samples import Sample

MINUTE_NS = 60 * 10**9


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "-1s", "0s", "1d", "999999h", "30 m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time such as 90s, 30m or 1h"):
        duration_s(text)


def run_of(clocks_khz: list[int], throttle: str | None = None) -> list[Sample]:
    return [
        sample(10.0 + minute, time_ns=minute * MINUTE_NS + k, cpu_khz=khz, throttle=throttle)
        for minute, khz in enumerate(clocks_khz)
        for k in range(3)
    ]


def test_medians_by_minute() -> None:
    found = minutes(run_of([1_000_000, 980_000, 500_000]))
    assert [(m.minute, m.count, m.p50_ms, m.cpu_khz) for m in found] == [
        *((0, 3, 10.0, 1_000_000), (1, 3, 11.0, 980_000), (2, 3, 12.0, 500_000)),
    ]
    assert found[0].temperature_mc is None
    assert minutes([]) == ()


def test_onset() -> None:
    steady = run_of([1_000_000, 980_000])
    assert onset(steady) is None
    assert onset([]) is None
    falling = onset(run_of([1_000_000, 980_000, 500_000]))
    assert falling is not None
    assert (falling.after_s, falling.reason) == (120.0, "median clock 500 MHz after 1000")
    said = onset([*steady, sample(time_ns=90 * 10**9, throttle="heat:cpu")])
    assert said is not None
    assert (said.after_s, said.reason) == (90.0, "heat:cpu")
