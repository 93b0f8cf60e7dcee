# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from aio.runtime.profiling.onnx_file import OnnxFile


def network(path: Path, kind: int, shape: list[int | str]) -> Path:
    source = helper.make_tensor_value_info("x", kind, shape)
    target = helper.make_tensor_value_info("y", kind, shape)
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "g", [source], [target])
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.INT64, TensorProto.DOUBLE])
def test_any_shape_gets_an_input(tmp_path: Path, kind: int) -> None:
    file = OnnxFile(network(tmp_path / "n.onnx", kind, ["batch", 3, "width"]), 1, batch=2)
    file.call()
    assert file._inputs["x"].shape == (2, 3, 1)


def test_a_type_that_can_t_be_made_up(tmp_path: Path) -> None:
    path = network(tmp_path / "n.onnx", TensorProto.STRING, [1])
    with pytest.raises(ValueError, match=r"input x is a tensor\(string\), known are"):
        OnnxFile(path, 1)
