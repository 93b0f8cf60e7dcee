# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from aio.models import ExportError
from aio.models.manifest import Model, Node, Output
from aio.models.writer import write_model


def content(**changes: object) -> Model:
    weight = np.arange(12, dtype=np.float64).reshape(3, 4)
    values: dict[str, object] = {
        "name": "tiny",
        "producer": "a test",
        "inputs": {"x": (1, 2, 2)},
        "outputs": [Output("y", "fc", ("ä", "b", "c"))],
        "ratios": (0.0, 0.5),
        "metrics": {"accuracy": [1.0, 0.5]},
        "nodes": [
            Node("flat", "flatten", ["x"]),
            Node("fc", "linear", ["flat"], {}, {"weight": weight, "bias": np.ones((2, 3))}),
        ],
        "provenance": {"seed": 0},
    }
    return Model(**{**values, **changes})  # type: ignore[arg-type]


def test_safetensors_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "m.aio"
    size = write_model(content(), path)
    assert size == path.stat().st_size
    tensors = load_file(path)
    assert {name: value.dtype for name, value in tensors.items()} == {
        "fc.weight": np.float32,
        "fc.bias": np.float32,
    }
    assert np.array_equal(tensors["fc.weight"], np.arange(12).reshape(3, 4))


def test_layout_is_as_documented(tmp_path: Path) -> None:
    path = tmp_path / "m.aio"
    write_model(content(), path)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    header = json.loads(data[8 : 8 + length])
    manifest = json.loads(header.pop("__metadata__")["manifest"])
    assert manifest == content().manifest()
    assert manifest["levels"][1] == {"ratio": 0.5, "metrics": {"accuracy": 0.5}}
    assert manifest["outputs"] == [{"name": "y", "node": "fc", "labels": ["ä", "b", "c"]}]
    ends = [0] + [entry["data_offsets"][1] for entry in header.values()]
    assert [entry["data_offsets"][0] for entry in header.values()] == ends[:-1]
    assert len(data) == 8 + length + ends[-1]


def test_same_content_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_model(content(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "no spaces"}, "name 'no spaces'"),
        ({"name": ""}, "name ''"),
        ({"name": "a" * 65}, "up to 64"),
        ({"metrics": {"accuracy": [1.0]}}, "1 values for 2 levels"),
        ({"metrics": {"accuracy": [1.0, 1.5]}}, "accuracy 1.5"),
        ({"metrics": {"loss": [1.0, float("nan")]}}, "'loss' holds nan"),
    ],
)
def test_unusable_content_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        content(**changes)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_numbers_that_float32_lacks_are_refused(tmp_path: Path, value: float) -> None:
    node = Node("fc", "linear", ["x"], {}, {"weight": np.full((3, 4), value)})
    with pytest.raises(ExportError, match="fc: weight holds"):
        write_model(content(nodes=[node]), tmp_path / "m.aio")
    assert list(tmp_path.iterdir()) == []


def test_a_threshold_may_be_minus_infinity(tmp_path: Path) -> None:
    tensors = {"weight": np.ones((3, 4)), "threshold": np.array([-np.inf, 0.0])}
    write_model(content(nodes=[Node("fc", "linear", ["x"], {}, tensors)]), tmp_path / "m.aio")
    assert load_file(tmp_path / "m.aio")["fc.threshold"].tolist() == [-np.inf, 0.0]


def test_provenance_must_be_json(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="JSON"):
        write_model(content(provenance={"path": Path()}), tmp_path / "m.aio")
