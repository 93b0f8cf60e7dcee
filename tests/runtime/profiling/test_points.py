# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os

import pytest
from realtime_rights import needs_realtime

from aio.governors.devices import ladder, load_device
from aio.runtime.profiling.points import Point, emulated_clocks, points, restricted


def test_points_are_all_combinations() -> None:
    assert points([], []) == (Point(),)
    found = points(["performance", "schedutil"], [1_000_000, 500_000], 612_000_000)
    assert [point.label for point in found] == [
        *("performance 1000 MHz GPU 612 MHz", "performance 500 MHz GPU 612 MHz"),
        *("schedutil 1000 MHz GPU 612 MHz", "schedutil 500 MHz GPU 612 MHz"),
    ]
    assert Point().label == "as found"


def test_a_span_restricts_the_fastest_policy_only() -> None:
    board = load_device("snapdragon-888")
    found = restricted(board, 2.0)
    steps = ladder(found)
    assert steps.max_khz == ladder(board).max_khz
    assert steps.min_khz >= steps.max_khz / 2
    others = [p for p in found.policies if p != found.fastest_policy]
    assert others == [p for p in board.policies if p != board.fastest_policy]


@needs_realtime
def test_emulated_clocks_are_set_and_refused() -> None:
    with emulated_clocks("jetson-orin-nano", 3.0, [max(os.sched_getaffinity(0))]) as clocks:
        assert "emulated jetson-orin-nano" in clocks.emulated
        policy = clocks.root / "sys/devices/system/cpu/cpufreq/policy0"
        top = 1_510_400
        assert clocks.set(Point("userspace", top)) == ()
        assert (policy / "scaling_cur_freq").read_text().strip() == str(top)
        notes = clocks.set(Point(cpu_khz=1_000_000))
        assert notes == ("1036800 kHz is the operating point closest to 1000000",)
        clocks.set(Point("powersave"))
        assert (policy / "scaling_governor").read_text().strip() == "powersave"
        assert clocks.problem() is None
        for point, reason in (
            (Point("turbo"), "governor 'turbo': jetson-orin-nano has conservative"),
            (Point("schedutil", top), "emulated clocks are set by userspace"),
            (Point(cpu_khz=115_200), "--span widens that"),
            (Point(gpu_hz=1), "the GPU of the emulated jetson-orin-nano has no clock"),
        ):
            with pytest.raises(ValueError, match=reason):
                clocks.check(point)
