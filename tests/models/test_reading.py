# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aio.models import AllInOne, ModelError
from aio.models.allocation import ranked
from aio.models.reading import add_ratios
from aio.models.reading import read_model as read_file
from aio.models.writer import write_model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.Conv2d(32, 40, 3), nn.BatchNorm2d(40), nn.Conv2d(40, 64, 3),
        nn.Conv2d(64, 4, 1),
    )  # fmt: skip
    model = AllInOne(net, (0.0, 0.5, 0.9), allocation=ranked).eval()
    path = tmp_path / "net.aio"
    model.export(path, torch.zeros(1, 3, 9, 9), metrics={"accuracy": [0.9, 0.8, 0.7]})
    return path


def test_what_is_read_is_written_again(
    path: Path, read_model: Callable[[Path], tuple[dict[str, Any], dict[str, Tensor]]]
) -> None:
    again = path.with_name("again.aio")
    write_model(read_file(path), again)
    (manifest, tensors), (expected, values) = read_model(again), read_model(path)
    assert manifest == expected
    assert tensors.keys() == values.keys()
    assert all(torch.equal(tensors[name], values[name]) for name in values)


def kept(content_path: Path) -> list[list[int]]:
    content = read_file(content_path)
    layers = [node for node in content.nodes if "score" in node.tensors]
    return [
        [int((n.tensors["score"] > limit).sum()) for limit in n.tensors["threshold"]]
        for n in layers
    ]


def test_added_levels_nest_and_old_ones_stay(path: Path) -> None:
    before = kept(path)
    content, added = add_ratios(read_file(path), (0.7, 0.95))
    assert content.ratios == (0.0, 0.5, 0.7, 0.9, 0.95)
    assert added == [2, 4]
    new = path.with_name("new.aio")
    write_model(content, new)
    for old, counts in zip(before, kept(new), strict=True):
        assert [counts[0], counts[1], counts[3]] == old
        assert counts == sorted(counts, reverse=True)
    assert content.metrics == {}
    weights = 0.0
    total = 0
    for node in content.nodes:
        if "score" in node.tensors:
            rows = np.repeat(node.tensors["score"] > node.tensors["threshold"][2], 16, axis=0)
            weights += rows[: node.tensors["weight"].shape[0]].sum()
            total += node.tensors["weight"].size
    assert weights / total == pytest.approx(0.3, abs=0.01)


def test_ratios_that_are_there_are_refused(path: Path) -> None:
    with pytest.raises(ModelError, match=r"the model has \[0.0, 0.5, 0.9\] already"):
        add_ratios(read_file(path), (0.5,))


@pytest.mark.parametrize("content", [b"", b"\x08" + bytes(7) + b"{}      ", bytes(100)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.aio"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"x.aio is not a model file"):
        read_file(path)
