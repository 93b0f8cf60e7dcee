# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_parts import ModelBuilder, small_model
from reference import masked_weight

from aio.runtime import ModelFileError
from aio.runtime.model_file import read_model_file


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(outputs=st.integers(1, 50), inputs=st.integers(200, 300), seed=st.integers(0, 9))
def test_counts_are_those_of_the_masks(
    outputs: int, inputs: int, seed: int, tmp_path: Path
) -> None:
    builder = ModelBuilder((inputs, 3, 2), (0.0, 0.25, 0.75), seed=seed)
    builder.conv("c", "x", (outputs, inputs, 2, 1))
    parts = builder.finish(["c"])
    model = read_model_file(parts.write(tmp_path / "m.aio"))
    for level in range(3):
        kept = np.count_nonzero(masked_weight(parts, "c", level))
        assert model.nonzero_weights(level) == kept
        assert model.macs(level) == kept * 2 * 2
    assert model.prunable_weights == 2 * inputs * outputs


def test_dense_layers_count_but_are_not_prunable(tmp_path: Path) -> None:
    model = read_model_file(small_model().write(tmp_path / "m.aio"))
    assert model.layers[0].node == "stem"
    assert model.layers[0].prunable_weights == 0
    assert model.layers[0].nonzero_weights == (540, 540, 540)
    assert model.nonzero_weights(0) == model.prunable_weights + 540


def test_ratio_may_be_off_by_half_a_block_per_layer(tmp_path: Path) -> None:
    path = tmp_path / "m.aio"
    builder = ModelBuilder((100, 1, 1), (0.0, 0.5))
    builder.conv("c", "x", (16, 100, 1, 1))
    parts = builder.finish(["c"])
    for ratio, good in ((0.486, True), (0.514, True), (0.484, False), (0.516, False)):
        parts.manifest["levels"][1]["ratio"] = ratio
        parts.write(path)
        if good:
            assert read_model_file(path).manifest.levels[1].ratio == ratio
        else:
            with pytest.raises(ModelFileError, match=r"prune 0\.5000 .* may be 0\.0150"):
                read_model_file(path)


def test_work_of_groups_smaller_than_a_block_is_limited(tmp_path: Path) -> None:
    # Their blocks compute the zeros between groups too: 1.1e11 products, but 16 times the work.
    path = tmp_path / "m.aio"
    builder = ModelBuilder((2048, 96, 96), (0.0,))
    builder.conv("c", "x", (1024, 2, 77, 77), padding=(38, 38, 38, 38), groups=1024)
    with pytest.raises(ModelFileError, match="multiply-accumulates, the limit is"):
        read_model_file(builder.finish(["c"]).write(path))
    builder = ModelBuilder((1024, 96, 96), (0.0,))
    builder.conv("c", "x", (1024, 1, 77, 77), padding=(38, 38, 38, 38), groups=1024)
    assert read_model_file(builder.finish(["c"]).write(path)).macs(0) == 1024 * 77**2 * 96**2


def test_work_is_limited(tmp_path: Path) -> None:
    builder = ModelBuilder((64, 1024, 1024), (0.0,))
    builder.conv("c", "x", (64, 64, 17, 17), padding=(8, 8, 8, 8))
    with pytest.raises(ModelFileError, match="multiply-accumulates, the limit is"):
        read_model_file(builder.finish(["c"]).write(tmp_path / "m.aio"))
