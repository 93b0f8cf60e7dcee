# SPDX-License-Identifier: Apache-2.0
"""`aio infer`: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from model_parts import ModelBuilder, later_model, small_model
from reference import evaluate

from aio.runtime import cli


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(small_model().write(tmp_path / "small.aio"))


@pytest.fixture
def sample(tmp_path: Path) -> str:
    x = np.random.default_rng(3).standard_normal((2, 3, 11, 9), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    return str(tmp_path / "x.npy")


def test_text(path: str, sample: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["infer", path, "--input", sample, "--level", "1", "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (expected,) = evaluate(small_model(), [np.load(sample)], 1).values()
    for row, logits in enumerate(expected.exact):
        first, second = np.argsort(-logits)[:2]
        scores = f"({first} {logits[first]:.3f}, {second} {logits[second]:.3f})"
        assert lines[row] == f"sample {row}: {first}    {scores}"
    assert lines[2].startswith("level 1 (ratio 0.50), ")
    assert lines[3] == "reason: level given by the caller"


def test_several_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = later_model()
    path, inputs = str(parts.write(tmp_path / "later.aio")), str(tmp_path / "inputs.npz")
    rng = np.random.default_rng(3)
    arrays = {
        spec["name"]: rng.standard_normal((2, *spec["shape"]), dtype=np.float32)
        for spec in parts.manifest["inputs"]
    }
    np.savez(inputs, allow_pickle=False, **arrays)
    assert cli.main(["infer", path, "--input", inputs, "--level", "1", "--json"]) == 0
    answers = {a["name"]: a for a in json.loads(capsys.readouterr().out)["outputs"]}
    for name, value in evaluate(parts, list(arrays.values()), 1).items():
        found = np.reshape(answers[name]["data"], answers[name]["shape"])
        assert (np.abs(found - value.exact) <= value.error).all()


def test_json_and_output_file(
    path: str, sample: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "answer"
    arguments = ["infer", path, "--input", sample, "--json", "--level", "0"]
    assert cli.main([*arguments, "--output", str(output)]) == 0
    document = json.loads(capsys.readouterr().out)
    (answer,) = document["outputs"]
    assert (answer["name"], answer["shape"]) == ("head_out", [2, 10])
    saved = np.load(output)
    assert saved.ravel().tolist() == answer["data"]
    assert [len(best) for best in answer["top"]] == [3, 3]
    assert answer["top"][0][0]["index"] == saved[0].argmax()
    assert document["inference"]["level"] == 0
    assert document["inference"]["latency_ms"] > 0
    assert document["inference"]["reason"] == "level given by the caller"
    assert (document["policy"], document["stats"]["inferences"]) == ("adaptive", 1)


def test_the_governor_is_asked_as_told(
    path: str, sample: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--policy", "table", "--no-replan", "--target-ms", "1e9"]
    options += ["--battery-target-ms", "1e9"]
    assert cli.main(["infer", path, "--input", sample, "--json", *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["policy"] == "table"
    assert document["inference"]["target_ms"] == 1e9
    assert document["inference"]["replans"] == 0
    (decision,) = document["stats"]["decisions"]
    assert decision["reason"] == document["inference"]["reason"]
    assert decision["plan"] == document["inference"]["plan"] == "level 0"
    assert document["stats"]["plan_changes"] == 1


@pytest.mark.parametrize("command", ["infer", "serve"])
def test_help_shows_what_can_be_told_to_the_governor(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    shown = capsys.readouterr().out
    for option in ("--target-ms", "--battery-target-ms", "--policy", "--no-replan"):
        assert option in shown
    assert "adaptive" in shown
    assert "table" in shown


def test_images_as_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = ModelBuilder((1, 4, 4), (0.0,))
    builder.conv("c", "x", (2, 1, 3, 3), sparse=False)
    path = builder.finish(["c"]).write(tmp_path / "image.aio")
    np.save(tmp_path / "x.npy", np.ones((1, 4, 4)))
    assert cli.main(["infer", str(path), "--input", str(tmp_path / "x.npy")]) == 0
    assert capsys.readouterr().out.startswith("c_out: 2x2x2, from ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--input is missing: the example digit only fits the shipped model"),
        (["--input", "SAMPLE", "--level", "9"], "level=9: the model has levels 0 to 2"),
        (["--input", "SAMPLE", "--top", "0"], "--top is 0, expected at least 1"),
        (["--input", "SAMPLE", "--threads", "0"], "threads=0: expected 1 to 1024"),
        (
            ["--input", "SAMPLE", "--policy", "x"],
            "policy='x': expected one of adaptive, table, fixed",
        ),
        (["--input", "SAMPLE", "--battery-target-ms", "0"], "battery_target_ms=0.0: expected more"),
        (["--input", "MODEL"], "small.aio: neither .npy, .npz nor JSON"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    message: str,
    path: str,
    sample: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    named = {"SAMPLE": sample, "MODEL": path}
    assert cli.main(["infer", path, *[named.get(item, item) for item in arguments]]) == 2
    assert message in capsys.readouterr().err


def test_missing_input(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["infer", path, "--input", "/nowhere.npy"]) == 1
    assert "No such file or directory: '/nowhere.npy'" in capsys.readouterr().err
