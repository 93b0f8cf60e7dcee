# SPDX-License-Identifier: Apache-2.0
"""Calibrations on disk: kept whole, found again, and never trusted."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aio.runtime.calibration_cache import (
    CACHE_VERSION,
    MAX_FILE_BYTES,
    CacheKey,
    default_cache_dir,
    load,
    store,
)
from aio.runtime.latency_model import LatencyModel

KEY = CacheKey(
    model_hash="ab" * 32,
    levels=2,
    layers=3,
    cpu="Cortex-A78AE",
    isa="neon",
    threads=4,
    clock_driver="cpufreq",
    max_khz=1_510_400,
    native_build="123-456",
)
MODEL = LatencyModel(
    (4.0, 1.5), (6.0e6, 2.2e6), (0.1, 0.0), ((0.5, 0.25, 0.25), (0.625, 0.375, 0.0))
)


def test_what_is_stored_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "cache"
    assert load(folder, KEY) is None
    assert store(folder, KEY, MODEL)
    assert load(folder, KEY) == MODEL
    without_clock = dataclasses.replace(MODEL, cycles=None)
    assert store(folder, KEY, without_clock)
    assert load(folder, KEY) == without_clock
    assert [path.name for path in folder.iterdir()] == [KEY.file_name]
    assert folder.stat().st_mode & 0o077 == 0


def test_a_network_without_layers(tmp_path: Path) -> None:
    key = dataclasses.replace(KEY, layers=0)
    model = dataclasses.replace(MODEL, layer_shares=((), ()))
    assert store(tmp_path, key, model)
    assert load(tmp_path, key) == model


def test_a_large_model_fits(tmp_path: Path) -> None:
    key = dataclasses.replace(KEY, layers=5000)
    shares = tuple(1 / (3 + layer) for layer in range(5000))
    model = dataclasses.replace(MODEL, layer_shares=(shares, shares))
    assert store(tmp_path, key, model)
    assert load(tmp_path, key) == model


OTHER: dict[str, Any] = {
    "model_hash": "cd" * 32,
    "levels": 3,
    "layers": 4,
    "cpu": "Cortex-A57",
    "isa": "scalar",
    "threads": 2,
    "clock_driver": "timed_loop",
    "max_khz": None,
    "native_build": "123-457",
}


@pytest.mark.parametrize("field", OTHER)
def test_every_part_of_the_key_matters(field: str, tmp_path: Path) -> None:
    assert OTHER.keys() == {item.name for item in dataclasses.fields(CacheKey)}
    store(tmp_path, KEY, MODEL)
    assert load(tmp_path, dataclasses.replace(KEY, **{field: OTHER[field]})) is None


def damaged(**changes: object) -> str:
    model = dataclasses.asdict(MODEL)
    document = {"version": CACHE_VERSION, "key": dataclasses.asdict(KEY), "model": model}
    return json.dumps({**document, **changes})


def damaged_model(**changes: object) -> str:
    return damaged(model={**dataclasses.asdict(MODEL), **changes})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", f"not of version {CACHE_VERSION}"),
        (damaged(version=0), f"not of version {CACHE_VERSION}"),
        (damaged(key={}), "another model or device"),
        (damaged(model=None), "holds no model"),
        (damaged(model={}), "expected a list of 2 numbers"),
        (damaged_model(reference_ms=[1, 2, 3]), "expected a list of 2 numbers"),
        (damaged_model(reference_ms=[1, "2"]), "expected a number, found '2'"),
        (damaged_model(reference_ms=[1, True]), "expected a number, found True"),
        (damaged_model(reference_ms=[1, -2]), "expected a time or a count, found -2"),
        (damaged_model(reference_ms=[1, 0]), "expected a time or a count, found 0"),
        (damaged_model(reference_ms=[1, float("nan")]), "expected a time or a count"),
        (damaged_model(reference_ms=[1, 10**400]), "expected a time or a count"),
        (damaged_model(cycles=[1, 0]), "expected a time or a count, found 0"),
        (damaged_model(cycles=7), "expected a list of 2 numbers"),
        (damaged_model(fixed_ms=[0.0, -1.0]), "expected a time or a count, found -1"),
        (damaged_model(layer_shares=None), "expected 2 rows"),
        (damaged_model(layer_shares=[[1, 1, 1]]), "expected 2 rows"),
        (damaged_model(layer_shares=[[1, 1, 1], [1, 1]]), "expected a list of 3 numbers"),
        (damaged_model(layer_shares=[[1, 1], [1, 1]]), "expected a list of 3 numbers"),
        (damaged_model(layer_shares=[[1, 1, 1], [0, 0, 0]]), "found zeros only"),
        (damaged_model(layer_shares=[[1, 1, 1], [1, 1, -1]]), "expected a time or a count"),
        ("[" * 100_000, "recursion"),
        ("é" * (MAX_FILE_BYTES // 2 + 1), f"more than {MAX_FILE_BYTES} bytes"),
    ],
)
def test_a_damaged_file_is_as_good_as_none(
    content: str, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / KEY.file_name).write_text(content, encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert load(tmp_path, KEY) is None
    assert reason in caplog.text
    assert KEY.file_name in caplog.text
    assert store(tmp_path, KEY, MODEL)
    assert load(tmp_path, KEY) == MODEL


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_any_content_is_survived(content: bytes, tmp_path: Path) -> None:
    (tmp_path / KEY.file_name).write_bytes(content)
    assert load(tmp_path, KEY) is None


def test_a_folder_that_cannot_be_written_is_not_fatal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file"
    file.touch()
    with caplog.at_level(logging.WARNING):
        assert not store(file / "cache", KEY, MODEL)
        assert load(file / "cache", KEY) is None
    assert "can't keep the calibration" in caplog.text
    assert "can't read the calibration" in caplog.text


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / KEY.file_name).mkdir()  # a file can't replace a folder
    assert not store(tmp_path, KEY, MODEL)
    assert [path.name for path in tmp_path.iterdir()] == [KEY.file_name]
    assert "can't keep" in caplog.text


def test_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_cache_dir({"AIO_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/x"}) == Path("/a")
    assert default_cache_dir({"XDG_CACHE_HOME": "/x"}) == Path("/x/aio")
    monkeypatch.setenv("HOME", "/home/somebody")
    expected = Path("/home/somebody/.cache/aio")
    assert default_cache_dir({}) == expected
    assert default_cache_dir({"XDG_CACHE_HOME": "relative", "AIO_CACHE_DIR": ""}) == expected


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987_654)  # nobody in /etc/passwd
    assert default_cache_dir({}) is None
