# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path
from typing import Any

import pytest

from aio.models.experiments.plan import Plan, Run
from aio.models.experiments.report import as_text, compare, draw, estimate
from aio.models.settings import TrainSettings

PLAN = Plan(TrainSettings(ratios=(0.0, 0.5)), (0, 1), ("joint", "magnitude"))
JOINT = {0: (0.90, 0.88), 1: (0.92, 0.90)}
MAGNITUDE = {0: (0.90, 0.70), 1: (0.92, 0.76)}


def write(folder: Path, run: Run, accuracy: tuple[float, ...], mixed: list[Any]) -> None:
    levels = [
        {"ratio": r, "accuracy": a, "accuracy_torch": a, "macs": 100, "latency_ms": 1.0}
        for r, a in zip((0.0, 0.5), accuracy, strict=True)
    ]
    result = {"levels": levels, "mixed": mixed, "bytes": 1000}
    (folder / f"{run.name}.json").write_text(json.dumps(result))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in (0, 1):
        inside = {"level": 0, "cut": 3, "accuracy": JOINT[seed][1] - 0.009}
        outside = {"level": 0, "cut": 2, "accuracy": JOINT[seed][1] - 0.02}
        write(tmp_path, Run("joint", seed), JOINT[seed], [inside, outside])
        write(tmp_path, Run("magnitude", seed), MAGNITUDE[seed], [])
    return tmp_path


def test_methods_are_set_beside_the_joint_model(folder: Path) -> None:
    found = compare(PLAN, folder)
    (row,) = (row for row in found.rows if row.method == "magnitude" and row.ratio == 0.5)
    assert row.accuracy.mean == pytest.approx(0.73)
    assert row.minus_joint is not None
    assert row.minus_joint.mean == pytest.approx(-0.16)
    assert row.minus_joint.half_width == pytest.approx(12.706 * 0.02)  # of -0.18 and -0.14
    assert (found.mixed_inside, found.mixed_plans) == (2, 4)
    assert found.missing == ("dense-seed0", "dense-seed1")
    text = as_text(found)
    assert "| 0.50 | joint | 89.00 +- 12.71 |" in text
    assert "not done: dense-seed0, dense-seed1" in text


def test_a_chart_is_drawn(folder: Path) -> None:
    path = folder / "chart.png"
    draw(compare(PLAN, folder), path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_intervals_are_students() -> None:
    assert estimate([0.5]).half_width is None
    assert estimate([1.0, 2.0, 3.0]).mean == 2.0
    assert estimate([1.0, 2.0, 3.0]).half_width == pytest.approx(4.303 / 3**0.5)
    assert estimate([0.0, 1.0] * 10).half_width == pytest.approx(1.96 * 0.5130 / 20**0.5, rel=1e-3)
