# SPDX-License-Identifier: Apache-2.0
import importlib.util
from pathlib import Path

import pytest

from aio.models import ModelError
from aio.models.run_log import RunLog
from aio.models.trainer import EpochResult


def test_epochs_that_are_run_again_replace_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = RunLog(path)
    for epoch in (1, 2, 3):
        log.add(EpochResult(epoch, 1.0 / epoch, 2.0 / epoch))
    RunLog(path).add(EpochResult(2, 0.25, 0.75))  # resumed from the checkpoint of epoch 1
    header, *rows = (line.split(",") for line in path.read_text().splitlines())
    assert header == ["epoch", "dense_loss", "sparse_loss", "seconds"]
    assert [row[:3] for row in rows] == [["1", "1", "2"], ["2", "0.25", "0.75"]]


@pytest.mark.parametrize("installed", [importlib.util.find_spec("tensorboard") is not None])
def test_tensorboard_is_written_or_named(tmp_path: Path, installed: bool) -> None:
    if installed:
        RunLog(None, tmp_path).add(EpochResult(1, 1.0, 1.0))
        assert list(tmp_path.glob("events*"))
    else:
        with pytest.raises(ModelError, match="pip install tensorboard"):
            RunLog(None, tmp_path)
