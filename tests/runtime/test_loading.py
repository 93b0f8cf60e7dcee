# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_machine import RASPBERRY_PI_4, FakeMachine
from model_parts import small_model

from aio.runtime import InputError, Runtime, _native


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return small_model().write(tmp_path / "small.aio")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_the_second_load_uses_the_cache(
    path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), Runtime.load(path, cache_dir=cache, threads=1):
        assert len(list(cache.iterdir())) == 1
    assert f"from {cache}" not in caplog.text
    with caplog.at_level(logging.INFO), Runtime.load(path, cache_dir=cache, threads=1) as runtime:
        assert runtime.levels[0].predicted_ms
    assert f"calibration of {path}: from {cache}" in caplog.text
    assert len(list(cache.iterdir())) == 1


def test_what_changes_the_speed_is_calibrated_apart(path: Path, cache: Path) -> None:
    Runtime.load(path, cache_dir=cache, threads=1).close()
    Runtime.load(path, cache_dir=cache, threads=2).close()
    Runtime.load(path, cache_dir=cache, threads=1, isa="scalar").close()
    small_model(seed=1).write(path)
    Runtime.load(path, cache_dir=cache, threads=1).close()
    assert len(list(cache.iterdir())) == 4


def test_the_hardware_maximum_is_part_of_the_key(
    path: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = FakeMachine(tmp_path / "root", RASPBERRY_PI_4)
    monkeypatch.setenv("AIO_SYSFS_ROOT", str(machine.root))
    Runtime.load(path, cache_dir=cache, threads=1).close()
    machine.set_khz(900_000)
    Runtime.load(path, cache_dir=cache, threads=1).close()
    assert len(list(cache.iterdir())) == 1
    (machine.policy(0) / "cpuinfo_max_freq").write_text("1800000\n")
    Runtime.load(path, cache_dir=cache, threads=1).close()
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_or_unwritable_cache_is_not_fatal(
    path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Runtime.load(path, cache_dir=cache, threads=1).close()
    (file,) = cache.iterdir()
    file.write_text("garbage")
    with Runtime.load(path, cache_dir=cache, threads=1) as runtime:
        assert runtime.levels[0].predicted_ms
    assert "ignoring the damaged calibration" in caplog.text
    assert file.read_text() != "garbage"
    with Runtime.load(path, cache_dir="/proc/nowhere", threads=1) as runtime:
        assert runtime.levels[0].predicted_ms
    assert "can't keep the calibration in /proc/nowhere" in caplog.text


def test_without_a_calibration(path: Path, cache: Path) -> None:
    with Runtime.load(path, cache_dir=cache, calibrate=False, threads=1) as runtime:
        assert [level.predicted_ms for level in runtime.levels] == [None] * 3
        assert runtime.target_ms == math.inf
        outputs, record = runtime.run([[[0.0] * 9] * 11] * 3)
        assert outputs["head_out"].shape == (10,)
        assert (record.level, record.predicted_ms) == (0, None)
        assert record.reason.startswith("not calibrated")
    with pytest.raises(InputError, match="a target needs a calibration"):
        Runtime.load(path, cache_dir=cache, calibrate=False, target_ms=5)
    Runtime.load(path, cache_dir=cache, threads=1).close()
    with Runtime.load(path, cache_dir=cache, threads=1, calibrate=False, target_ms=5) as runtime:
        assert runtime.levels[0].predicted_ms


@pytest.mark.parametrize("isa", _native.supported_isas())
def test_every_isa_can_be_asked_for(isa: str, path: Path) -> None:
    with Runtime.load(path, isa=isa) as runtime:
        assert runtime.isa == isa


def test_threads_given_and_found(path: Path) -> None:
    with Runtime.load(path, threads=3) as runtime:
        assert runtime.threads == 3
        assert "given" in runtime.threads_reason
    with Runtime.load(path) as runtime:
        assert 1 <= runtime.threads <= len(os.sched_getaffinity(0))


def test_neither_torch_nor_training_is_imported(path: Path) -> None:
    code = (
        "import sys; from aio.runtime import Runtime; Runtime.load(sys.argv[1]).close();"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'sklearn') "
        "or m.startswith('aio.models')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
