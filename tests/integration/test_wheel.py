# SPDX-License-Identifier: Apache-2.0
"""The sdist holds all that a build needs, and its wheel works alone in an empty environment."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from aio.runtime.serve.page.assets import Assets

ROOT = Path(__file__).parent.parent.parent

NEEDED = ("_grpc.pyi", "_native.pyi", "py.typed", "assets/digits.aio", "serve/server.py")

# Runs in the new environment: the shipped model answers, and nothing of training is needed.
INFER = """
import sys
import numpy as np
from aio.runtime import Runtime
with Runtime.load(calibrate=False, level=0) as runtime:
    assert runtime.infer(np.zeros((1, 1, 8, 8), np.float32)).shape == (1, 10)
assert "torch" not in sys.modules
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Return what a command printed; a failure shows all of it."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the sdist, in a folder of its own, so that the checkout can't help."""
    out = tmp_path_factory.mktemp("dist")
    # A copy, as setuptools leaves its metadata beside the sources; and only what git would give.
    files = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines()
    source = tmp_path_factory.mktemp("source")
    for name in files:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "-o", out, cwd=source)
    (sdist,) = out.glob("*.tar.gz")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "-w", out)
    run(sys.executable, "-m", "pip", "wheel", *options, sdist, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.timeout(900)
def test_wheel_holds_one_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"aio"}
    for needed in (*NEEDED, *(f"serve/page/static/{name}" for name in Assets().names)):
        assert f"aio/runtime/{needed}" in names
    for module in ("_grpc", "_native"):
        found = [name for name in names if name.startswith(f"aio/runtime/{module}.")]
        assert any(name.endswith(".so") for name in found), module
    assert not [name for name in names if name.endswith((".cc", ".h", ".inc"))]


@pytest.mark.timeout(900)
def test_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    run(python, "-m", "pip", "install", "-q", "-c", constraints, f"{wheel}[serve]", cwd=tmp_path)
    run(python, "-c", INFER, cwd=tmp_path)
    assert "Open Inference Protocol" in run(python.parent / "aio-serve", "--help", cwd=tmp_path)
    assert '"levels"' in run(python.parent / "aio", "info", "--json", cwd=tmp_path)
