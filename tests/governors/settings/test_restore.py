# SPDX-License-Identifier: Apache-2.0
"""Journals: killed processes, other boots, garbage, writes that fail; with real signals."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_kernel import FakeKernel

from aio.governors.settings import (
    ClockSettings,
    HeldError,
    SettingsError,
    default_journal_dir,
    replay_journals,
)
from aio.governors.settings.attributes import change, write_attribute
from aio.governors.settings.journal import Entry, Journal, read_journal
from aio.governors.settings.restore import JOURNAL_NAME, restore

# Sets clocks in a process of its own, says so, and then does what the argument says.
HOLDER = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fake_kernel import FakeKernel
from aio.governors.settings import ClockSettings

root, folder, how = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
count = 0

def write(path, text):
    global count
    count += 1
    if how == "killed in a write" and count == 3:
        path.write_text("")  # as after opening with O_TRUNC, a moment before the write
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "signal while restoring" and count == 4:
        os.kill(os.getpid(), signal.SIGTERM)
    path.write_text(text)

with ClockSettings(root, folder, write=write) as clocks:
    clocks.set_governor("performance")
    clocks.set_freq_khz(1_000_000)
    print("set", flush=True)
    if how == "signal while restoring":
        sys.exit(7)
    time.sleep(600)
"""
SUPPORT = Path(__file__).parents[2] / "support"


def holder(kernel: FakeKernel, folder: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, *map(str, (SUPPORT, kernel.root, folder)), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def is_set(process: subprocess.Popen[str]) -> bool:
    assert process.stdout is not None
    return process.stdout.readline() == "set\n"


def test_sigkill_and_the_next_start(kernel: FakeKernel, folder: Path) -> None:
    before = kernel.state()
    with holder(kernel, folder, "waits") as process:
        assert is_set(process)
        assert kernel.get("scaling_max_freq") == "1000000"
        with pytest.raises(HeldError, match=rf"^process {process.pid} has set the clocks"):
            replay_journals(folder)
        process.kill()
    assert kernel.state() != before
    with ClockSettings(kernel.root, folder) as clocks:
        policy = kernel.policy
        assert clocks.replayed == (
            f"{policy / 'scaling_min_freq'} = 500000",
            f"{policy / 'scaling_max_freq'} = 2000000",
            f"{policy / 'scaling_governor'} = schedutil",
        )
        assert kernel.state() == before
    assert replay_journals(folder) == ()


def test_sigkill_in_the_middle_of_a_write(kernel: FakeKernel, folder: Path) -> None:
    before = kernel.state()
    with holder(kernel, folder, "killed in a write") as process:
        assert not is_set(process)
    assert process.returncode == -signal.SIGKILL
    assert b"" in kernel.state().values()
    assert len(replay_journals(folder)) == 3
    assert kernel.state() == before


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_restore(kernel: FakeKernel, folder: Path, signum: signal.Signals) -> None:
    before = kernel.state()
    with holder(kernel, folder, "waits") as process:
        assert is_set(process)
        process.send_signal(signum)
        code = process.wait(60)
    assert kernel.state() == before
    assert not (folder / JOURNAL_NAME).exists()
    assert code == (-signum if signum == signal.SIGINT else 128 + signum)


def test_a_signal_while_restoring(kernel: FakeKernel, folder: Path) -> None:
    before = kernel.state()
    with holder(kernel, folder, "signal while restoring") as process:
        assert is_set(process)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert kernel.state() == before


def test_handlers_are_given_back(kernel: FakeKernel, folder: Path) -> None:
    found = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    with ClockSettings(kernel.root, folder):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)] == found


def leave_behind(kernel: FakeKernel, folder: Path) -> Path:
    """Change a setting as a process would that was killed then; return its journal."""
    folder.mkdir(mode=0o700)
    journal = Journal(folder / JOURNAL_NAME)
    path = kernel.policy / "scaling_governor"
    journal.note(path, path.read_text())
    path.write_text("performance\n")
    return journal.path


def test_another_boot(kernel: FakeKernel, folder: Path) -> None:
    path = leave_behind(kernel, folder)
    header, *entries = path.read_text().splitlines()
    other = json.loads(header) | {"boot_id": "ab" * 16}
    path.write_text("\n".join([json.dumps(other), *entries]) + "\n")
    before = kernel.times()
    assert replay_journals(folder) == ()
    assert kernel.times() == before  # the settings did not survive the boot either
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "[]",
        '{"version": 2}',
        '{"version": 1, "boot_id": "xyz"}',
        '{"version": 1, "boot_id": ""}\n{"path": "/etc/shadow", "previous": "x"}',
        '{"version": 1, "boot_id": ""}\n{"path": "scaling_governor", "previous": "x"}',
        '{"version": 1, "boot_id": ""}\n{"path": "/a/../scaling_governor", "previous": "x"}',
        '{"version": 1, "boot_id": ""}\n{"previous": "x"}',
        '{"version": 1, "boot_id": ""}\n{"path": 1}',
    ],
)
def test_journals_that_are_none(folder: Path, text: str) -> None:
    folder.mkdir(mode=0o700)
    path = folder / JOURNAL_NAME
    path.write_text(text)
    with pytest.raises(SettingsError, match="is no journal of clock settings") as caught:
        replay_journals(folder)
    assert str(path) in str(caught.value)
    assert path.read_text() == text


def test_a_journal_of_another_user(
    kernel: FakeKernel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = leave_behind(kernel, folder)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 999_999)
    with pytest.raises(SettingsError, match="it is not believed"):
        read_journal(path)


def test_a_policy_that_went_away(kernel: FakeKernel, folder: Path) -> None:
    path = leave_behind(kernel, folder)
    kernel.machine.remove_policy(0)
    assert replay_journals(folder) == ()
    assert not path.exists()


def test_what_can_t_be_restored_stays_in_the_journal(kernel: FakeKernel, folder: Path) -> None:
    path = leave_behind(kernel, folder)

    def refuse(path: Path, _: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    setting = kernel.policy / "scaling_governor"
    message = (
        f"clocks are still set: {setting} can't be set to schedutil: permission denied; "
        "run it as root (sudo), or give this user the right to write there"
    )
    with pytest.raises(SettingsError) as caught:
        replay_journals(folder, refuse)
    assert str(caught.value) == message
    assert read_journal(path) == [Entry(setting, "schedutil\n")]
    with pytest.raises(SettingsError, match="clocks are still set"):
        ClockSettings(kernel.root, folder, write=refuse).__enter__()
    assert replay_journals(folder) == (f"{setting} = schedutil",)
    assert kernel.get("scaling_governor") == "schedutil"


def test_leaving_the_block_tells_what_could_not_be_restored(
    kernel: FakeKernel, folder: Path
) -> None:
    def only_once(path: Path, text: str) -> None:
        if kernel.writes:
            raise OSError(errno.EBUSY, "Device or resource busy", str(path))
        kernel.write(path, text)

    setting = ClockSettings(kernel.root, folder, write=only_once).__enter__()
    setting.set_governor("performance")
    with pytest.raises(SettingsError, match=r"could not be put back.*busy.*aio profile --restore"):
        setting.__exit__(None, None, None)
    assert len(replay_journals(folder)) == 1


def test_limits_of_which_one_can_t_be_read(kernel: FakeKernel, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    journal = Journal(folder / JOURNAL_NAME)
    low, high = (kernel.policy / name for name in ("scaling_min_freq", "scaling_max_freq"))
    journal.note(low, "500000\n")
    journal.note(high, "2000000\n")
    high.unlink()
    high.mkdir()
    problems = restore(journal).problems
    assert len(problems) == 1
    assert problems[0] == f"{high} can't be read: is a directory"
    assert journal.entries == [Entry(high, "2000000\n")]
    odd = Journal(folder / "odd")
    odd.note(low, "many\n")
    odd.note(high, "2000000\n")
    assert len(restore(odd, kernel.write).problems) == 2


def test_journal_that_can_t_be_written(kernel: FakeKernel, folder: Path) -> None:
    before = kernel.state()
    with ClockSettings(kernel.root, folder) as clocks:
        (folder / f"{JOURNAL_NAME}.new").mkdir()
        with pytest.raises(SettingsError, match=r"is not changed, as the journal .* can't be"):
            clocks.set_governor("performance")
    assert kernel.state() == before


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EACCES, "run it as root"),
        (errno.EPERM, "run it as root"),
        (errno.EROFS, "containers see /sys read-only"),
        (errno.EBUSY, "another part of the kernel holds it"),
        (errno.EINVAL, "the kernel does not take this value here"),
        (errno.ENODEV, "were its CPUs switched off?"),
        (errno.ENOSPC, "no space left on device"),
    ],
)
def test_writes_that_fail(kernel: FakeKernel, folder: Path, code: int, remedy: str) -> None:
    def fail(_: Path, __: str) -> None:
        raise OSError(code, os.strerror(code))

    before = kernel.state()
    with ClockSettings(kernel.root, folder, write=fail) as clocks:
        with pytest.raises(SettingsError) as caught:
            clocks.set_governor("performance")
        path = kernel.policy / "scaling_governor"
        assert str(caught.value).startswith(f"{path} can't be set to performance: ")
        assert remedy in str(caught.value)
    assert kernel.state() == before
    assert not (folder / JOURNAL_NAME).exists()


def break_(kernel: FakeKernel, kind: str) -> Path:
    """Put something in the place of the governor's file that can't be written."""
    path = kernel.policy / "scaling_governor"
    path.unlink()
    if kind == "a folder":
        path.mkdir()
    elif kind == "a full device":
        path.symlink_to("/dev/full")
    return path


def test_no_room_to_write(kernel: FakeKernel) -> None:
    path = break_(kernel, "a full device")
    with pytest.raises(OSError, match="No space left"):
        write_attribute(path, "performance\n")


def test_writing_makes_no_files(kernel: FakeKernel) -> None:
    path = break_(kernel, "nothing")
    with pytest.raises(FileNotFoundError):
        write_attribute(path, "performance\n")
    assert not path.exists()


def test_attributes_that_can_t_be_read(kernel: FakeKernel, folder: Path) -> None:
    path = break_(kernel, "a folder")
    with (
        ClockSettings(kernel.root, folder) as clocks,
        pytest.raises(SettingsError, match=f"{path} can't be read: is a directory"),
    ):
        clocks.set_governor("performance")
    kernel.put(kernel.policy / "scaling_min_freq", "<unknown>")
    with (
        ClockSettings(kernel.root, folder) as clocks,
        pytest.raises(SettingsError, match="reads '<unknown>', no frequency"),
    ):
        clocks.set_freq_khz(1_000_000)


def ignoring(kernel: FakeKernel) -> Callable[[Path, str], None]:
    """Return a writer that behaves like a firmware cap: the limit is taken, but lower."""

    def write(path: Path, text: str) -> None:
        capped = "1200000\n" if path.name == "scaling_max_freq" else text
        kernel.write(path, capped)

    return write


def test_a_value_the_kernel_does_not_take(tmp_path: Path, folder: Path) -> None:
    kernel = FakeKernel(tmp_path / "root", "performance schedutil")
    kernel.begin_with(scaling_max_freq=1_200_000)
    before = kernel.state()
    with ClockSettings(kernel.root, folder, write=ignoring(kernel)) as clocks:
        with pytest.raises(SettingsError) as caught:
            clocks.set_freq_khz(1_800_000)
        assert str(caught.value) == (
            f"{kernel.policy / 'scaling_max_freq'} reads '1200000' after 1800000 was written: "
            "the kernel did not take it; a limit of firmware, heat or another program may hold"
        )
    assert kernel.state() == before


def test_drivers_without_a_list_may_round(tmp_path: Path, kernel: FakeKernel) -> None:
    path = kernel.policy / "scaling_max_freq"

    def rounding(path: Path, _: str) -> None:
        kernel.put(path, 1_204_000)

    assert change(rounding, path, "1200000", slack=0.01)
    kernel.put(path, 2_000_000)
    with pytest.raises(SettingsError, match="did not take it"):
        change(rounding, path, "1200000")
    assert tmp_path.exists()


def test_words_are_not_rounded(kernel: FakeKernel) -> None:
    path = kernel.policy / "scaling_governor"
    with pytest.raises(SettingsError, match="did not take it"):
        change(lambda path, _: kernel.put(path, "other"), path, "performance", slack=0.01)


def test_a_gpu_that_only_kgsl_shows(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "sys/class/kgsl/kgsl-3d0").mkdir(parents=True)
    (tmp_path / "sys/class/kgsl/kgsl-3d0/gpuclk").write_text("500000000\n")
    with (
        ClockSettings(tmp_path, folder) as clocks,
        pytest.raises(SettingsError, match="no GPU clock can be set here: kgsl-3d0 has no devfreq"),
    ):
        clocks.gpu_freqs_hz()


def test_gpu_without_a_list(kernel: FakeKernel, folder: Path) -> None:
    (kernel.gpu / "available_frequencies").unlink()
    with (
        ClockSettings(kernel.root, folder) as clocks,
        pytest.raises(SettingsError, match="lists no frequencies, so none can be set"),
    ):
        clocks.set_gpu_freq_hz(306_000_000)


def test_where_journals_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "session"))
    monkeypatch.delenv("AIO_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_journal_dir() == Path("/run/aio")  # also in a session of root's own
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_journal_dir() == tmp_path / "session/aio"
    monkeypatch.setenv("AIO_RUNTIME_DIR", str(tmp_path))
    assert default_journal_dir() == tmp_path
    assert replay_journals() == ()
    assert list(tmp_path.iterdir()) == []
