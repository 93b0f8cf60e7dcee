# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import weakref
from pathlib import Path

import numpy as np
import pytest
from model_parts import small_model

from aio.runtime import ModelFileError
from aio.runtime.model_file import read_model_file
from aio.runtime.model_file.ops import ConvAttrs, LinearAttrs, PoolAttrs


def test_everything_is_read(tmp_path: Path) -> None:
    parts = small_model()
    path = parts.write(tmp_path / "m.aio")
    model = read_model_file(path)
    manifest = model.manifest
    assert (manifest.name, manifest.producer) == ("small", "tests 1")
    assert (manifest.input.name, manifest.input.shape) == ("x", (3, 11, 9))
    assert manifest.outputs[0].labels == tuple("0123456789")
    assert [level.accuracy for level in manifest.levels] == [0.9, 0.8, 0.7]
    assert [level.ratio for level in manifest.levels] == [0.0, 0.5, 0.8]
    assert manifest.provenance == {"seed": 0}
    attrs = {node.name: node.attrs for node in manifest.nodes}
    assert attrs["down"] == ConvAttrs((2, 1), (0, 0, 0, 0), (1, 2), 16, 1)
    assert attrs["average"] == PoolAttrs((1, 2), (0, 1, 1, 0), (2, 2), count_include_pad=False)
    assert attrs["pool"] == PoolAttrs((2, 2), (1, 1, 1, 1), (3, 3))
    assert attrs["head"] == LinearAttrs(16)
    assert model.shapes["head"] == (10,)
    assert model.size_bytes == path.stat().st_size
    assert model.content_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    for name, weights in model.weights.items():
        assert (weights.weight == parts.tensors[f"{name}.weight"]).all()
        assert (weights.score is None) == (name == "stem")


def test_accuracy_is_none_when_nobody_measured(tmp_path: Path) -> None:
    model = read_model_file(small_model(accuracies=None).write(tmp_path / "m.aio"))
    assert model.manifest.levels[0].accuracy is None


def test_optional_attributes_have_defaults(tmp_path: Path) -> None:
    parts = small_model()
    del parts.node("body")["attrs"]["dilation"]
    del parts.node("body")["attrs"]["groups"]
    model = read_model_file(parts.write(tmp_path / "m.aio"))
    attrs = next(node.attrs for node in model.manifest.nodes if node.name == "body")
    assert attrs == ConvAttrs((1, 1), (1, 1, 1, 1), (1, 1), 16, 1)


@pytest.mark.parametrize("height", [8, 4])
def test_block_height_is_of_the_layer(height: int, tmp_path: Path) -> None:
    parts = small_model(block_height=height)
    parts.node("head")["attrs"]["weight_type"] = "f32"
    model = read_model_file(parts.write(tmp_path / "m.aio"))
    heights = {name: weights.block_height for name, weights in model.weights.items()}
    assert heights == {"stem": 16, "body": height, "point": height, "down": height, "head": height}
    (down,) = [layer for layer in model.layers if layer.node == "down"]
    kept = parts.tensors["down.score"] > parts.tensors["down.threshold"][1]
    rows = np.repeat(kept, height, axis=0)[:33]
    assert down.nonzero_weights[1] == rows.sum()


def test_paths_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_model().write(tmp_path / "m.aio")
    monkeypatch.chdir(tmp_path)
    assert read_model_file("m.aio").path == Path("m.aio")
    assert read_model_file(str(tmp_path / "m.aio")).manifest.name == "small"
    with pytest.raises(ModelFileError, match=r"^n\.aio: No such file or directory$"):
        read_model_file("n.aio")


def test_weights_can_be_taken_once(tmp_path: Path) -> None:
    model = read_model_file(small_model().write(tmp_path / "m.aio"))
    weight = weakref.ref(model.weights["stem"].weight)
    taken = model.take_weights()
    assert "stem" in taken
    assert not model.weights
    taken.clear()
    assert weight() is None  # nothing else holds it
    assert model.nonzero_weights(0) > model.nonzero_weights(2)
