# SPDX-License-Identifier: Apache-2.0
"""Setting and restoring on a tree with the kernel's rules: order, validation, minimal writes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_kernel import GPU_POINTS_HZ, POINTS_KHZ, FakeKernel
from hypothesis import given, settings
from hypothesis import strategies as st

from aio.governors.settings import Applied, ClockSettings, HeldError, SettingsError
from aio.governors.settings.restore import JOURNAL_NAME, replay_journals

WITHOUT_USERSPACE = "performance powersave schedutil"


def clocks(kernel: FakeKernel, folder: Path) -> ClockSettings:
    return ClockSettings(kernel.root, folder, write=kernel.write)


def test_governor(kernel: FakeKernel, folder: Path) -> None:
    before = kernel.state()
    with clocks(kernel, folder) as setting:
        assert setting.governors() == ("performance", "powersave", "userspace", "schedutil")
        setting.set_governor("performance")
        assert kernel.get("scaling_governor") == "performance"
        assert (folder / JOURNAL_NAME).exists()
    assert kernel.state() == before
    assert kernel.writes == [("scaling_governor", "performance"), ("scaling_governor", "schedutil")]
    assert not (folder / JOURNAL_NAME).exists()


def test_frequency_by_userspace(kernel: FakeKernel, folder: Path) -> None:
    before = kernel.state()
    with clocks(kernel, folder) as setting:
        assert setting.set_freq_khz(1_200_000) == (Applied("policy0", 1_200_000, 1_200_000, "kHz"),)
        assert kernel.get("scaling_governor") == "userspace"
        assert kernel.get("scaling_setspeed") == "1200000"
    assert kernel.state() == before
    assert [name for name, _ in kernel.writes] == [
        *("scaling_governor", "scaling_setspeed", "scaling_governor"),
    ]


def test_a_speed_beyond_the_limits_in_force(kernel: FakeKernel, folder: Path) -> None:
    kernel.begin_with(scaling_max_freq=1_000_000)
    before = kernel.state()
    with clocks(kernel, folder) as setting:
        setting.set_freq_khz(1_800_000)
        assert kernel.get("scaling_setspeed") == "1800000"
    assert kernel.state() == before


@pytest.mark.parametrize("governor", ["performance", None])
@pytest.mark.parametrize("limits", [(500_000, 2_000_000), (800_000, 900_000), (700_000, 700_000)])
@pytest.mark.parametrize("khz", [500_000, 700_000, 1_200_000, 2_000_000])
def test_frequency_by_limits(
    tmp_path: Path, folder: Path, governor: str | None, limits: tuple[int, int], khz: int
) -> None:
    kernel = FakeKernel(tmp_path / "root", WITHOUT_USERSPACE)
    kernel.begin_with(scaling_min_freq=limits[0], scaling_max_freq=limits[1])
    before = kernel.state()
    with clocks(kernel, folder) as setting:
        if governor:
            setting.set_governor(governor)
        setting.set_freq_khz(khz)
        assert kernel.get("scaling_min_freq") == kernel.get("scaling_max_freq") == str(khz)
        assert kernel.get("scaling_governor") == (governor or "schedutil")
    assert kernel.state() == before


def test_order_of_limits(tmp_path: Path, folder: Path) -> None:
    kernel = FakeKernel(tmp_path / "root", WITHOUT_USERSPACE)
    kernel.begin_with(scaling_min_freq=900_000, scaling_max_freq=1_100_000)
    with clocks(kernel, folder) as setting:
        setting.set_freq_khz(600_000)
        setting.set_freq_khz(1_900_000)
    assert [name for name, _ in kernel.writes] == [
        *("scaling_min_freq", "scaling_max_freq"),  # lowering: the lower limit goes first
        *("scaling_max_freq", "scaling_min_freq"),  # raising: the upper one makes room
        *("scaling_min_freq", "scaling_max_freq"),
    ]


def test_an_explicit_governor_is_kept(kernel: FakeKernel, folder: Path) -> None:
    with clocks(kernel, folder) as setting:
        setting.set_governor("powersave")
        setting.set_freq_khz(1_000_000)
        assert kernel.get("scaling_governor") == "powersave"
        assert kernel.get("scaling_max_freq") == "1000000"


def test_gpu(kernel: FakeKernel, folder: Path) -> None:
    before = kernel.state()
    with clocks(kernel, folder) as setting:
        assert setting.gpu_freqs_hz() == GPU_POINTS_HZ
        (applied,) = setting.set_gpu_freq_hz(600_000_000)
        assert applied.note == (
            "17000000.gpu: 612000000 Hz is its operating point closest to 600000000"
        )
        assert (kernel.gpu / "min_freq").read_text() == "612000000\n"
        assert (kernel.gpu / "max_freq").read_text() == "612000000\n"
    assert kernel.state() == before


def test_nearest_operating_point(kernel: FakeKernel, folder: Path) -> None:
    with clocks(kernel, folder) as setting:
        assert setting.freqs_khz() == POINTS_KHZ
        (near,) = setting.set_freq_khz(1_240_000)
        (exact,) = setting.set_freq_khz(1_300_000)
    assert near.note == "policy0: 1200000 kHz is its operating point closest to 1240000"
    assert exact.note is None


def test_no_list_of_frequencies(tmp_path: Path, folder: Path) -> None:
    kernel = FakeKernel(tmp_path / "root", WITHOUT_USERSPACE, listed="absent")
    with clocks(kernel, folder) as setting:
        points = setting.freqs_khz()
        assert (points[0], points[-1], len(points)) == (500_000, 2_000_000, 8)
        (applied,) = setting.set_freq_khz(1_234_567)
        assert applied.freq == 1_234_567


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda setting: setting.set_governor("turbo"),
            "governor 'turbo': policy0 knows performance, powersave, userspace, schedutil",
        ),
        (
            lambda setting: setting.set_freq_khz(2_000_001),
            "2000001 kHz: the hardware has 500000 to 2000000 kHz",
        ),
        (
            lambda setting: setting.check_freq_khz(499_999),
            "499999 kHz: the hardware has 500000 to 2000000 kHz",
        ),
        (
            lambda setting: setting.set_freq_khz(1200),
            "1200 kHz: the hardware has 500000 to 2000000 kHz",
        ),
        (
            lambda setting: setting.set_gpu_freq_hz(918_000),
            "918000 Hz: the hardware has 306000000 to 918000000 Hz",
        ),
    ],
)
def test_values_the_machine_does_not_have(
    kernel: FakeKernel, folder: Path, wrong: Callable[[ClockSettings], object], message: str
) -> None:
    before = kernel.times()
    with clocks(kernel, folder) as setting, pytest.raises(ValueError, match=r".+") as caught:
        wrong(setting)
    assert str(caught.value) == message
    assert kernel.times() == before


def test_nothing_is_written_when_nothing_changes(kernel: FakeKernel, folder: Path) -> None:
    kernel.begin_with(
        scaling_governor="userspace",
        scaling_setspeed=1_500_000,
        energy_performance_preference="balance_performance",
    )
    before, times = kernel.state(), kernel.times()
    with clocks(kernel, folder) as setting:
        setting.set_governor("userspace")
        setting._keep_governor = False
        setting.set_freq_khz(1_500_000)
    assert (kernel.state(), kernel.times(), kernel.writes) == (before, times, [])
    assert [path.name for path in folder.iterdir()] == ["clock-settings.lock"]


def test_speed_and_preference_return_with_the_governor(kernel: FakeKernel, folder: Path) -> None:
    kernel.begin_with(
        scaling_governor="userspace",
        scaling_setspeed=600_000,
        energy_performance_preference="balance_power",
    )
    before = kernel.state()
    with clocks(kernel, folder) as setting:
        setting.set_governor("performance")
        assert kernel.get("energy_performance_preference") == "performance"
    assert kernel.state() == before


def fail_while_set(setting: ClockSettings) -> None:
    with setting:
        setting.set_freq_khz(900_000)
        raise ZeroDivisionError


def test_restored_after_an_exception(kernel: FakeKernel, folder: Path) -> None:
    before = kernel.state()
    with pytest.raises(ZeroDivisionError):
        fail_while_set(clocks(kernel, folder))
    assert kernel.state() == before


def test_one_process_sets_clocks(kernel: FakeKernel, folder: Path) -> None:
    with clocks(kernel, folder):
        other = clocks(kernel, folder)
        with pytest.raises(HeldError, match=rf"^process {os.getpid()} has set the clocks"):
            other.__enter__()
        with pytest.raises(SettingsError, match="only inside the with block"):
            other.set_freq_khz(900_000)


def test_a_machine_without_cpufreq(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "sys/devices/system/cpu/cpufreq").mkdir(parents=True)
    with ClockSettings(tmp_path, folder) as setting:
        with pytest.raises(SettingsError, match="has no policy, so no CPU clock can be set here"):
            setting.set_freq_khz(1_000_000)
        with pytest.raises(SettingsError, match="no GPU clock can be set here"):
            setting.set_gpu_freq_hz(1)


def test_a_policy_that_is_offline(kernel: FakeKernel, folder: Path) -> None:
    kernel.begin_with(affected_cpus="")
    with (
        clocks(kernel, folder) as setting,
        pytest.raises(SettingsError, match=r"no policy in .* can be used: policy0"),
    ):
        setting.set_governor("performance")


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs."""


STEPS = st.one_of(
    st.tuples(st.just("governor"), st.sampled_from(["performance", "powersave", "userspace"])),
    st.tuples(st.just("freq"), st.sampled_from(POINTS_KHZ)),
    st.tuples(st.just("gpu"), st.sampled_from(GPU_POINTS_HZ)),
)


def test_a_speed_is_put_back_after_the_limits(kernel: FakeKernel, folder: Path) -> None:
    low, high = POINTS_KHZ[1], POINTS_KHZ[-1]
    kernel.begin_with(
        scaling_governor="userspace",
        scaling_min_freq=low,
        scaling_max_freq=high,
        scaling_setspeed=low,
    )
    before = kernel.state()
    with clocks(kernel, folder) as setting:
        setting.set_governor("userspace")
        setting.set_freq_khz(POINTS_KHZ[2])  # by the limits, as a governor was asked for
        setting.set_governor("performance")
    assert kernel.state() == before


@settings(max_examples=60, deadline=None)
@given(
    limits=st.tuples(st.sampled_from(POINTS_KHZ), st.sampled_from(POINTS_KHZ)).map(sorted),
    governor=st.sampled_from(["schedutil", "userspace", "performance"]),
    userspace=st.booleans(),
    steps=st.lists(STEPS, max_size=5),
    killed_at=st.none() | st.integers(0, 12),
)
def test_always_restored(
    limits: list[int],
    governor: str,
    userspace: bool,
    steps: list[tuple[str, str | int]],
    killed_at: int | None,
) -> None:
    """Whatever is set, and wherever the process is killed, the machine ends as it began."""
    root = Path(tempfile.mkdtemp())
    names = "performance powersave schedutil" + (" userspace" if userspace else "")
    governor = governor if governor in names else "schedutil"
    kernel = FakeKernel(root / "root", names)
    kernel.begin_with(
        scaling_governor=governor,
        scaling_min_freq=limits[0],
        scaling_max_freq=limits[1],
        scaling_setspeed=limits[0] if governor == "userspace" else "<unsupported>",
        energy_performance_preference="performance" if governor == "performance" else "power",
    )
    before = kernel.state()

    def write(path: Path, text: str) -> None:
        if len(kernel.writes) == killed_at:
            raise Killed
        kernel.write(path, text)

    setting = ClockSettings(kernel.root, root / "journals", write=write)
    setting.__enter__()
    try:
        for kind, value in steps:
            if kind == "governor" and str(value) in names:
                setting.set_governor(str(value))
            elif kind == "freq":
                setting.set_freq_khz(int(value))
            elif kind == "gpu":
                setting.set_gpu_freq_hz(int(value))
        setting.__exit__(None, None, None)
    except Killed:
        setting._undo.close()  # what the kernel does with the lock of a dead process
        replay_journals(root / "journals", kernel.write)
    assert kernel.state() == before
    assert not (root / "journals" / JOURNAL_NAME).exists()
    shutil.rmtree(root)
