# SPDX-License-Identifier: Apache-2.0
"""The ONNX model answers what the runtime answers, level by level."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from model_parts import ModelParts, activation_model, later_model, small_model
from reference import evaluate

from aio.runtime import Runtime
from aio.runtime.benchmark.onnx_model import to_onnx
from aio.runtime.benchmark.peers import OnnxRuntimePeer
from aio.runtime.model_file import read_model_file
from aio.runtime.shipped import SHIPPED_MODEL

MADE: dict[str, Callable[[], ModelParts]] = {"small": small_model, "activations": activation_model}


@pytest.fixture(params=["shipped", *MADE])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "shipped":
        return SHIPPED_MODEL
    return MADE[request.param]().write(tmp_path / "made.aio")


def test_answers_are_equal_at_every_level(path: Path) -> None:
    model = read_model_file(path)
    with Runtime.load(path, threads=1, calibrate=False) as runtime:
        x = np.random.default_rng(0).random((3, *runtime.inputs[0].shape), dtype=np.float32)
        for level in range(len(runtime.levels)):
            peer = OnnxRuntimePeer(model, level, threads=1, batch=3)
            expected = runtime.infer(x, level=level)
            np.testing.assert_allclose(peer.infer(x), expected, rtol=1e-4, atol=1e-4)
            assert peer.version


def test_operators_of_version_2(tmp_path: Path) -> None:
    parts = later_model()
    model = read_model_file(parts.write(tmp_path / "later.aio"))
    rng = np.random.default_rng(0)
    inputs = {
        spec.name: rng.standard_normal((3, *spec.shape), dtype=np.float32)
        for spec in model.manifest.inputs
    }
    for level in range(len(model.manifest.levels)):
        session = onnxruntime.InferenceSession(to_onnx(model, level, batch=3))
        found = session.run([output.node for output in model.manifest.outputs], inputs)
        expected = evaluate(parts, list(inputs.values()), level)
        for answer, value in zip(found, expected.values(), strict=True):
            np.testing.assert_allclose(answer, value.exact, rtol=1e-4, atol=1e-4)


def test_levels_differ(tmp_path: Path) -> None:
    model = read_model_file(small_model().write(tmp_path / "small.aio"))
    x = np.ones((1, *model.manifest.input.shape), np.float32)
    dense, sparse = (OnnxRuntimePeer(model, level, threads=1).infer(x) for level in (0, 2))
    assert np.abs(dense - sparse).max() > 1e-3
