# SPDX-License-Identifier: Apache-2.0
"""The repository keeps its own rules: one-way imports, one version, licences, tests that assert."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("runtime", "governors", "models")
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
NATIVE = sorted(p for end in ("*.cc", "*.h", "*.inc") for p in (ROOT / "csrc").rglob(end))

# Which packages of ours each package may import.
MAY_IMPORT = {"runtime": {"governors"}, "governors": set(), "models": set()}
# Layers of csrc, lowest first; a file includes only from its own layer and those below.
LAYERS = ("base", "kernels", "executor", "grpc", "bindings")


def imported(path: Path) -> set[str]:
    """Return every module a file imports, also inside functions."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def test_imports_go_one_way() -> None:
    wrong = []
    for path in SOURCES:
        package = path.relative_to(ROOT).parts[0]
        for module in imported(path):
            parts = module.split(".")
            if parts[0] == "aio" and len(parts) > 1 and parts[1] != package:
                wrong += [f"{path}: {module}"] if parts[1] not in MAY_IMPORT[package] else []
    assert not wrong


# Runs in a process of its own, where torch is measured beside the runtime.
TORCH_PEER = ROOT / "runtime" / "benchmark" / "peers" / "engines" / "torch_engine.py"


def test_inference_never_imports_torch() -> None:
    allowed = {TORCH_PEER, *(ROOT / "models").rglob("*.py")}
    assert not [p for p in SOURCES if p not in allowed and "torch" in imported(p)]
    by_name = "aio.runtime.benchmark.peers.engines.torch_engine"
    assert not [p for p in SOURCES if by_name in imported(p)]
    loaded = "import sys, aio.runtime, aio.governors; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


def test_native_includes_go_one_way() -> None:
    wrong = []
    for path in NATIVE:
        layer = LAYERS.index(path.relative_to(ROOT / "csrc").parts[0])
        for target in re.findall(r'#include "csrc/(\w+)/', path.read_text()):
            wrong += [f"{path}: {target}"] if LAYERS.index(target) > layer else []
    assert not wrong


def test_only_bindings_know_python() -> None:
    outside = [p for p in NATIVE if "bindings" not in p.parts]
    assert outside
    assert not [p for p in outside if re.search(r"pybind11|Python\.h", p.read_text())]


def test_every_source_names_its_licence() -> None:
    header = "SPDX-License-Identifier: Apache-2.0"
    assert not [p for p in (*SOURCES, *TESTS, *NATIVE) if header not in p.read_text()[:200]]


def test_every_module_says_what_it_is() -> None:
    assert not [
        p for p in SOURCES if p.stat().st_size and not ast.get_docstring(ast.parse(p.read_text()))
    ]


def test_version_is_the_same_everywhere() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    changes = re.search(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version
    assert changes
    assert version[1] == changes[1]


def asserts(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a test can fail: asserts, expects an error, or calls a checking helper."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rsplit(".", 1)[-1]
            if name in {"raises", "warns", "fail"} or re.match(r"_?(check|assert|expect)", name):
                return True
    return False


@pytest.mark.parametrize("path", TESTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_test_can_fail(path: Path) -> None:
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]
    assert functions
    assert not [function.name for function in functions if not asserts(function)]
