# SPDX-License-Identifier: Apache-2.0
"""`aio evaluate`: a whole comparison of a tiny network, each run a process, and what it prints."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from aio.models import ModelError
from aio.models.commands import evaluate, train
from aio.models.experiments import queue
from aio.models.experiments.plan import METHODS, Plan, load_plan

TINY = """
from torch import nn

def make():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )
"""
SETTINGS = ["--dataset", "digits", "--network", "tiny_net_of_a_test:make", "--epochs", "1",
            "--ratios", "0,0.5,0.9", "--threads", "1"]  # fmt: skip


@pytest.fixture(autouse=True)
def _tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny_net_of_a_test.py").write_text(TINY)
    monkeypatch.chdir(tmp_path)


def call(*words: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return evaluate.run(parser.parse_args(words))


def test_every_method_is_judged_through_the_executor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["study", *SETTINGS, "--seeds", "3", "--alone", "0.9", "--jobs", "2", "--json"]
    assert call(*words, "--chart", "study.png") == 0
    printed = capsys.readouterr()
    found: dict[str, Any] = json.loads(printed.out)
    assert "joint-seed3: done" in printed.err
    rows = {(row["method"], row["ratio"]): row for row in found["rows"]}
    everywhere = {"joint", "slimmable", "magnitude"}
    wanted = {(method, ratio) for method in everywhere for ratio in (0.0, 0.5, 0.9)}
    alone = {(method, 0.9) for method in ("scratch_e", "scratch_b", "finetune")}
    assert set(rows) == wanted | alone | {("dense", 0.0)}
    for row in rows.values():
        # A float rounded otherwise may turn one of 359 images around.
        assert row["worst_torch_difference"] <= 1.01 / 359
        assert row["latency_ms"] > 0
    assert rows["slimmable", 0.9]["macs"] <= rows["joint", 0.9]["macs"] < rows["dense", 0.0]["macs"]
    assert rows["joint", 0.9]["model_bytes"] < 2 * rows["dense", 0.0]["model_bytes"]
    assert found["mixed_plans"] == 50
    assert found["missing"] == []
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")

    assert call("study", "--report") == 0
    table = capsys.readouterr().out
    assert all(f"| 0.90 | {method} |" in table for method in set(METHODS) - {"dense"})
    with pytest.raises(ModelError, match="settings of its own: leave yours out to go on"):
        call("study", "--epochs", "2")


def test_aio_train_begins_a_comparison_with_its_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[Plan] = []

    def begin(plan: Plan, *_: object) -> list[str]:
        begun.append(plan)
        return []

    monkeypatch.setattr(queue, "work", begin)
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    assert train.run(parser.parse_args([*SETTINGS, "--seed", "5", "--evaluate", "study"])) == 0
    assert begun == [load_plan(Path("study"))]
    assert begun[0].settings.ratios == (0.0, 0.5, 0.9)
    assert begun[0].settings.network == "tiny_net_of_a_test:make"
    assert "not done: dense-seed0" in capsys.readouterr().out


def test_lists_that_are_none_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for option, text in (("--seeds", "a"), ("--alone", "0.5,x")):
        with pytest.raises(SystemExit):
            call("study", option, text)
        assert f"{text!r} is not a list of" in capsys.readouterr().err
    with pytest.raises(ModelError, match="holds no comparison; name a --dataset to begin one"):
        call("study", "--report")
