# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document is true: schemathesis calls all it describes, rightly and wrongly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openapi_hooks
import pytest
from model_parts import ModelBuilder
from serve_process import ServeProcess, environment, serve_process

EXAMPLES = 10  # random requests of each operation, besides those that cover its description
CONFIG = """
warnings = false

[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", 503]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("openapi")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServeProcess]:
    builder = ModelBuilder(openapi_hooks.SHAPE, (0.0, 0.5))
    builder.node("flat", "flatten", ["x"])
    builder.linear("head", "flat", (16, openapi_hooks.SIZE))
    model = builder.finish(["head"], name="small").to_bytes()
    models = folder / "models"
    for name in ("small", openapi_hooks.UNLOADED):
        (models / name / "1").mkdir(parents=True)
        (models / name / "1" / "model.aio").write_bytes(model)
    (models / "broken.aio").write_bytes(b"not a model")
    control = "--model-repository", models, "--model-control", "explicit"
    with serve_process(environment(folder), *control) as server:
        yield server


def test_schemathesis_finds_nothing(server: ServeProcess, folder: Path) -> None:
    tool = Path(sys.executable).with_name("schemathesis")
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    document = f"http://{server.address}/openapi.json"
    fixed = "--generation-deterministic", "--max-examples", str(EXAMPLES), "--no-color"
    phases = "--checks", "all", "--phases", "examples,coverage,fuzzing"
    run = subprocess.run(
        [str(tool), "--config-file", str(config), "run", document, *phases, *fixed],
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": openapi_hooks.__name__,
            "PYTHONPATH": str(Path(openapi_hooks.__file__).parent),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "No issues found" in run.stdout
    assert server.process.poll() is None
    tensor = {"name": "x", "shape": [1, *openapi_hooks.SHAPE], "datatype": "FP32"}
    good = json.dumps({"inputs": [{**tensor, "data": [1, 2, 3, 4]}]}).encode()
    status, body = server.request("POST", "/v2/models/small/infer", good)
    assert status == 200
    assert len(json.loads(body)["outputs"][0]["data"]) == 16
    assert "Traceback" not in server.logged()
