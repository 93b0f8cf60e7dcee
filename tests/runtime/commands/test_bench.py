# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest
from model_parts import small_model

from aio.runtime import cli


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(small_model().write(tmp_path / "small.aio"))


def test_levels(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", path, "--seconds", "0.01", "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("small on ")
    assert lines[2].startswith("1 thread(s): FMA peak ")
    rows = [line.split() for line in lines[5:8]]
    assert [row[:3] for row in rows] == [
        ["0.000", "0.9000", "181,710"],
        ["0.500", "0.8000", "117,950"],
        ["0.800", "0.7000", "79,129"],
    ]
    assert rows[0][6] == "1.00x"


def test_levels_by_index_and_by_ratio(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for choice in (["--levels", "2,0"], ["--ratios", "0,.8"]):
        assert cli.main(["bench", path, "--seconds", "0.01", *choice, "--json"]) == 0
        (threads,) = json.loads(capsys.readouterr().out)["results"]
        found.append([(level["level"], level["ratio"]) for level in threads["levels"]])
    assert found[0] == found[1] == [(0, 0.0), (2, 0.8)]


def test_threads_and_layers(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", path, "--seconds", "0.01", "--threads", "1,2", "--layers"]
    assert cli.main([*arguments, "--levels", "1"]) == 0
    text = capsys.readouterr().out
    assert "1 thread(s): " in text
    assert "2 thread(s): " in text
    assert text.count("over 1 thread(s)") == 1
    assert text.count("level 1, ratio 0.5, by layer:") == 2
    assert text.count("\nbody ") == 2


def test_markdown_and_json(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    arguments = ["bench", path, "--seconds", "0.01", "--batch", "2", "--output", str(file)]
    assert cli.main([*arguments, "--markdown"]) == 0
    assert capsys.readouterr().out.count("\n| ") == 5
    assert cli.main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads(file.read_text())
    assert (document["model"], document["batch"]) == ("small", 2)
    assert document["rounds"] >= 5
    first = document["results"][0]["levels"][0]
    assert first["speedup"]["median"] == 1.0
    assert first["latency_ms"]["count"] == document["rounds"]


def test_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "--kernels", "1x1", "--rounds", "1"]
    assert cli.main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["peak_gflops"]["median"] > 0
    assert len(document["layers"]) == 4
    for layer in document["layers"]:
        assert layer["shape"]["kernel"] == 1
        assert [item["density"] for item in layer["densities"]] == [1.0, 0.5, 0.3, 0.2, 0.1, 0.05]
        assert all(item["gflops"]["median"] > 0 for item in layer["densities"])
        assert document["isa"] in layer["kernel"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "--rounds is 0, expected at least 1"),
        (["--batch", "-1"], "--batch is -1, expected at least 1"),
        (["--seconds", "nan"], "--seconds is nan, expected more than 0"),
        (["--kernels", "--isa", "altivec"], "altivec"),
        (["--kernels", "--block-height", "4"], "blocks of 4 output channels, only for 16 and 8"),
        (["--block-height", "8"], "--block-height is of --kernels; a model has its own"),
        (["--isa", "altivec"], "altivec"),
        (["--levels", "0,3"], "--levels has 3, the model has levels 0 to 2"),
        (["--ratios", "0.3"], "--ratios has 0.3, the model has 0, 0.5, 0.8"),
        (["--levels", "0", "--ratios", "0"], "name one"),
        (["--threads", "0"], "--threads is 0, expected at least 1"),
        (["--peers", "tflite"], "--peers has 'tflite', known are all, onnxruntime"),
        (["--stability", "--peers", "m.aio"], "--peers has 'm.aio', known are all"),
        (["--stability", "--peers", "mnn"], "--stability knows onnxruntime only"),
        (["--chart", "levels.pdf"], "expected a name that ends in .png"),
        (["--memory", "--threads", "1,2"], "--threads has 2 numbers, --memory takes one"),
        (["--memory", "--chart", "a.png"], "--chart draws a network's levels, not --memory"),
        (["--memory", "--kernels"], "--kernels and --memory are 2 measurements: name one"),
        (["other.aio"], "2 models: only --serve and --stability take several"),
    ],
)
def test_wrong_usage(
    arguments: list[str], message: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", path, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_peers_chart_and_output(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chart, file = tmp_path / "chart.png", tmp_path / "bench.json"
    arguments = ["bench", path, "--seconds", "0.01", "--levels", "0,2", "--threads", "1"]
    arguments += ["--peers", "onnxruntime,deepsparse", "--chart", str(chart)]
    assert cli.main([*arguments, "--output", str(file)]) == 0
    text = capsys.readouterr().out
    assert "\nONNX Runtime " in text
    assert "DeepSparse, 1 thread(s): not measured: " in text
    assert chart.read_bytes().startswith(b"\x89PNG")
    document = json.loads(file.read_text())
    assert [peer["name"] for peer in document["results"][0]["peers"]] == ["ONNX Runtime"]
    assert [peer["name"] for peer in document["absent"]] == ["DeepSparse"]


def test_serve(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", path, "--serve", "--seconds", "0.1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    ways = ["infer", "HTTP", "HTTP,", "echo", "echo,", "infer,", "gRPC", "echo,"]
    assert [line.split()[0] for line in lines[-len(ways) :]] == ways


def test_memory(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", path, "--memory"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("small: resident memory of a process that serves it, 1 thread(s)")
    assert text.count("\nONNX Runtime ") == 2
    assert cli.main(["bench", path, "--memory", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) == 3
