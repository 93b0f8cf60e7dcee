# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest
from model_parts import later_model, small_model

from aio.runtime import cli


@pytest.fixture
def path(tmp_path: Path) -> str:
    parts = small_model()
    parts.manifest["provenance"] = {"command": "train\u202e", "a\u202eb": [1, {"deep": None}]}
    return str(parts.write(tmp_path / "small.aio"))


def test_text(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", path, "--nodes"]) == 0
    text = capsys.readouterr().out
    lines = [line.split() for line in text.splitlines()]
    assert ["weights", "7,510,", "6,970", "of", "them", "prunable"] in lines
    assert ["0", "0.000", "0.9000", "7,510", "181,710"] in lines
    assert ["down", "conv2d", "average", "33x3x1", "2,640", "533", "7,920"] in lines
    assert text.isascii()


def test_json(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", path, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["name"] == "small"
    assert document["inputs"] == [{"name": "x", "shape": [3, 11, 9]}]
    assert [level["metrics"]["accuracy"] for level in document["levels"]] == [0.9, 0.8, 0.7]
    assert document["nodes"][0]["output_shape"] == [20, 11, 9]
    assert document["nodes"][0]["sparse"] is False
    assert "macs" not in document["nodes"][1]
    assert len(document["sha256"]) == 64


def test_several_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(later_model().write(tmp_path / "later.aio"))]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for line in (["x", "3x9x7"], ["vector", "5"], ["gate", "40x1x1"]):
        assert ["input", *line] in lines


def test_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.aio"
    path.write_bytes(b"nonsense")
    assert cli.main(["info", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"aio info: error: {path}: header length is ")
