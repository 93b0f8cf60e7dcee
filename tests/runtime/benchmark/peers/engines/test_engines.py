# SPDX-License-Identifier: Apache-2.0
"""The real engines of the extra, each in its process, answer what we answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from model_parts import ModelParts, activation_model, grouped_model, small_model

from aio.runtime import Runtime
from aio.runtime.benchmark.onnx_model import to_onnx
from aio.runtime.benchmark.peers.process import PeerProcess
from aio.runtime.benchmark.peers.registry import PEERS
from aio.runtime.model_file import read_model_file
from aio.runtime.shipped import SHIPPED_MODEL

KINDS = {key: kind for key, kind in PEERS.items() if not kind.sparse}
MODELS: dict[str, Callable[[], ModelParts]] = {
    "small": small_model,
    "activations": activation_model,
    "groups": grouped_model,
}
# The average pooling of the small model pads two sides only.
BEYOND = {("ncnn", "small")}
CASES = [(key, made) for key in KINDS for made in (*MODELS, "digits") if (key, made) not in BEYOND]
BATCH = 2


@pytest.mark.parametrize(("key", "made"), CASES)
def test_answers_are_ours(key: str, made: str, tmp_path: Path) -> None:
    write = MODELS.get(made)
    path = SHIPPED_MODEL if write is None else write().write(tmp_path / "made.aio")
    model = read_model_file(path)
    with (
        Runtime.load(model.path, threads=1, calibrate=False) as runtime,
        PeerProcess(Path(sys.executable), KINDS[key].engine, 1, BATCH, tmp_path) as process,
    ):
        assert process.version
        x = np.random.default_rng(0).random((BATCH, *runtime.inputs[0].shape), dtype=np.float32)
        for level in (0, 1):
            onnx = tmp_path / f"{level}.onnx"
            onnx.write_bytes(to_onnx(model, level, BATCH))
            answer = process.answer(process.load(onnx), x)
            expected = runtime.infer(x, level=level)
            np.testing.assert_allclose(answer.reshape(expected.shape), expected, 1e-3, 1e-3)
