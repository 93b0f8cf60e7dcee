# SPDX-License-Identifier: Apache-2.0
"""The queue runs real processes here, which write results without training."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from aio.models import ModelError
from aio.models.experiments import queue
from aio.models.experiments.plan import Plan, Run
from aio.models.settings import TrainSettings

PLAN = Plan(TrainSettings(epochs=1, ratios=(0.0, 0.5)), (0,), ("dense", "scratch_e", "joint"))
WRITE = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('{}')"


def writing(folder: Path, failing: str = "") -> queue.Command:
    def command(run: Run) -> Sequence[str]:
        if run.name == failing:
            return [sys.executable, "-c", "import sys; print('it broke'); sys.exit(3)"]
        return [sys.executable, "-c", WRITE, str(folder / f"{run.name}.json")]

    return command


@pytest.mark.parametrize("jobs", [1, 2])
def test_all_runs_are_done_in_order(tmp_path: Path, jobs: int) -> None:
    said: list[str] = []
    assert queue.work(PLAN, tmp_path, jobs, writing(tmp_path), said.append) == []
    assert all(queue.is_done(run, tmp_path) for run in PLAN.runs())
    dense, tuned = (
        said.index(next(s for s in said if s.startswith(w)))
        for w in ("dense-seed0: done", "joint-seed0: begun")
    )
    assert dense < tuned
    assert any("min left" in line for line in said)


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    (tmp_path / "dense-seed0.json").write_text("{}")
    (tmp_path / "joint-seed0.json").write_text("{ torn")  # the disk was full
    said: list[str] = []
    queue.work(PLAN, tmp_path, 1, writing(tmp_path), said.append)
    begun = [line for line in said if "begun" in line]
    assert begun == ["joint-seed0: begun", "scratch_e-0.5-seed0: begun"]


def test_a_run_that_fails_stops_only_what_needs_it(tmp_path: Path) -> None:
    said: list[str] = []
    failed = queue.work(PLAN, tmp_path, 1, writing(tmp_path, "dense-seed0"), said.append)
    assert failed == ["dense-seed0", "joint-seed0"]
    assert queue.is_done(Run("scratch_e", 0, 0.5), tmp_path)
    assert any("exit code 3, see" in line for line in said)
    assert "it broke" in (tmp_path / "dense-seed0.log").read_text()


def test_two_queues_do_not_share_a_folder(tmp_path: Path) -> None:
    def inner(run: Run) -> Sequence[str]:
        with pytest.raises(ModelError, match="another aio evaluate works through"):
            queue.work(PLAN, tmp_path, 1, writing(tmp_path))
        return writing(tmp_path)(run)

    assert queue.work(PLAN, tmp_path, 1, inner) == []


def test_no_jobs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="jobs 0 is too small"):
        queue.work(PLAN, tmp_path, 0, writing(tmp_path))
