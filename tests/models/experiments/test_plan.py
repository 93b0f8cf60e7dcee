# SPDX-License-Identifier: Apache-2.0
import dataclasses
from pathlib import Path

import pytest

from aio.models import ModelError
from aio.models.experiments.plan import METHODS, Plan, Run, load_plan
from aio.models.experiments.runner import settings_of
from aio.models.settings import TrainSettings

SETTINGS = TrainSettings(epochs=4, ratios=(0.0, 0.5, 0.9))


def test_every_method_runs_for_every_seed_after_what_it_needs() -> None:
    plan = Plan(SETTINGS, (0, 7))
    runs = plan.runs()
    assert len(runs) == 2 * (4 + 3 * 2)  # four methods of all ratios, three of two ratios each
    assert {run.method for run in runs} == set(METHODS)
    names = [run.name for run in runs]
    assert len(set(names)) == len(names)
    for run in runs:
        assert run.needs is None or names.index(run.needs) < names.index(run.name)
    assert Run("finetune", 7, 0.5).needs == "dense-seed7"


def test_what_is_needed_is_added() -> None:
    plan = Plan(SETTINGS, (0,), ("magnitude",))
    assert [run.name for run in plan.runs()] == ["dense-seed0", "magnitude-seed0"]


def test_settings_differ_in_what_the_method_says(tmp_path: Path) -> None:
    plan = Plan(SETTINGS, (3,))
    (tmp_path / "dense-seed3.pt").touch()

    def settings(method: str, ratio: float | None = None) -> TrainSettings:
        return settings_of(plan, Run(method, 3, ratio), tmp_path)

    assert settings("joint").ratios == (0.0, 0.5, 0.9)
    assert settings("dense").ratios == (0.0,)
    assert settings("scratch_e", 0.9).ratios == (0.9,)
    assert settings("scratch_e", 0.9).epochs == 4
    assert settings("scratch_b", 0.9).epochs == 8  # never more than twice
    started = {m for m in METHODS if settings(m, 0.9).initial_weights}
    assert started == {"joint", "finetune", "slimmable", "magnitude"}
    low = Plan(TrainSettings(epochs=10, ratios=(0.0, 0.3)))
    assert low.epochs(Run("scratch_b", 0, 0.3)) == 14  # 10 / 0.7
    for run in plan.runs():
        found = settings_of(plan, run, tmp_path)
        assert (found.seed, found.dense_epochs) == (3, 0)


def test_a_plan_may_permute_and_start_from_a_trained_network(tmp_path: Path) -> None:
    (tmp_path / "dense-seed3.pt").touch()
    plan = Plan(dataclasses.replace(SETTINGS, permute=True, initial_weights="net.pt"), (3,))
    found = {run.method: settings_of(plan, run, tmp_path) for run in plan.runs()}
    assert [method for method in found if found[method].permute] == ["joint"]
    assert found["dense"].initial_weights == "net.pt"
    assert found["joint"].initial_weights == str(tmp_path / "dense-seed3.pt")
    assert found["scratch_e"].initial_weights == found["scratch_b"].initial_weights == ""


def test_a_run_says_which_one_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the run dense-seed3 has to be done first"):
        settings_of(Plan(SETTINGS, (3,)), Run("joint", 3), tmp_path)


def test_a_plan_is_read_back(tmp_path: Path) -> None:
    plan = Plan(SETTINGS, (1, 2), ("joint", "scratch_e"), (0.9,))
    assert [run.name for run in plan.runs()][:2] == ["dense-seed1", "joint-seed1"]
    plan.save(tmp_path)
    assert load_plan(tmp_path) == plan


def test_bad_plans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no method 'magic', there are: joint, dense"):
        Plan(SETTINGS, (0,), ("magic",))
    with pytest.raises(ModelError, match=r"seeds \[0, 0\]"):
        Plan(SETTINGS, (0, 0))
    with pytest.raises(ModelError, match=r"ratio 0.7 can't be trained alone: .* has 0.5, 0.9"):
        Plan(SETTINGS, alone=(0.7,))
    with pytest.raises(ModelError, match="needs ratio 0"):
        Plan(TrainSettings(ratios=(0.5,)))
    with pytest.raises(ModelError, match="holds no comparison; name a --dataset"):
        load_plan(tmp_path)
    (tmp_path / "plan.json").write_text("[1]")
    with pytest.raises(ModelError, match=r"plan.json is damaged"):
        load_plan(tmp_path)
