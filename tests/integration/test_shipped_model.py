# SPDX-License-Identifier: Apache-2.0
"""The shipped model through `Runtime`: what its file claims is what it does."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aio.models.data.digits import load_split
from aio.runtime import Runtime, cli
from aio.runtime.shipped import EXAMPLE_REQUEST, SHIPPED_MODEL


def test_accuracy_of_every_level_is_the_recorded_one() -> None:
    split = load_split()
    with Runtime.load(calibrate=False) as runtime:
        assert len(runtime.levels) >= 8
        for level in runtime.levels:
            answers = runtime.infer(split.held_out_images, level=level.index).argmax(axis=1)
            accuracy = float(np.mean(answers == split.held_out_labels))
            assert level.accuracy == pytest.approx(accuracy, abs=1e-6)


def test_size_and_ladder() -> None:
    assert SHIPPED_MODEL.stat().st_size < 1_000_000
    with Runtime.load(calibrate=False) as runtime:
        ratios = [level.ratio for level in runtime.levels]
        assert ratios[0] == 0.0
        assert ratios[-1] == 0.95
        macs = [level.macs for level in runtime.levels]
        assert macs == sorted(macs, reverse=True)


def test_the_example_is_answered_without_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert EXAMPLE_REQUEST.exists()
    assert cli.main(["infer", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    x = np.array(json.loads(EXAMPLE_REQUEST.read_text())["inputs"][0]["data"], np.float32)
    split = load_split()
    (index,) = np.flatnonzero((split.held_out_images.reshape(-1, 64) == x).all(axis=1))
    best = document["outputs"][0]["top"][0][0]
    assert best["label"] == str(split.held_out_labels[index])


def test_commands_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    assert "digits" in capsys.readouterr().out
    assert cli.main(["doctor"]) == 0
    assert "ok    shipped model: digits" in capsys.readouterr().out
    assert cli.main(["bench", "--seconds", "0.1", "--markdown"]) == 0
    assert "| 0.950 |" in capsys.readouterr().out
