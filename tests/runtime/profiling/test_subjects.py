# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from model_parts import small_model

from aio.runtime.profiling.subjects import Wanted, open_field, parse_subjects


def test_names() -> None:
    found = parse_subjects("fixed:0, fixed:.7,table,adaptive,ort")
    assert [spec.name for spec in found] == ["fixed:0.0", "fixed:0.7", "table", "adaptive", "ort"]


@pytest.mark.parametrize("text", ["", "fixed", "fixed:", "fixed:x", "table:1", "ort,", "Adaptive"])
def test_what_is_no_subject(text: str) -> None:
    with pytest.raises(ValueError, match="expected fixed:RATIO, table, adaptive or ort"):
        parse_subjects(text)


def test_a_field_has_one_target_and_one_calibration(tmp_path: Path) -> None:
    path = small_model().write(tmp_path / "small.aio")
    specs = parse_subjects("fixed:0.5,table,adaptive,ort")
    wanted = Wanted(path, specs, threads=1, batch=3, cache_dir=tmp_path)
    with open_field(wanted) as field:
        runtimes = [s.runtime for s in field.subjects if s.runtime is not None]
        assert [s.runtime is None for s in field.subjects] == [False, False, False, True]
        assert len({runtime.calibration for runtime in runtimes}) == 1
        assert {runtime.target_ms for runtime in runtimes} == {runtimes[0].target_ms}
        assert field.target_ms == pytest.approx(3 * runtimes[0].target_ms)
        records = [s.call() for s in field.subjects]
        assert [record is None for record in records] == [False, False, False, True]
        assert records[0] is not None
        assert (records[0].level, records[0].batch) == (1, 3)
        assert field.subjects[3].device().clock.driver
    assert all(runtime.closed for runtime in runtimes)


def test_a_batch_is_made_long_enough(tmp_path: Path) -> None:
    path = small_model().write(tmp_path / "small.aio")
    wanted = Wanted(
        path, parse_subjects("adaptive"), threads=1, batch=None, cache_dir=tmp_path, min_call_ms=5.0
    )
    with open_field(wanted) as field:
        assert field.dense_ms is not None
        one_ms = field.dense_ms / field.batch
        assert field.batch == 1 or abs(field.dense_ms - 5.0) <= 0.51 * one_ms
