# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

from aio.runtime.benchmark.peers.registry import PEERS, chosen_peers, interpreter, missing_reason


def test_peers_by_name() -> None:
    assert chosen_peers("all") == tuple(PEERS.values())
    assert [kind.name for kind in chosen_peers("ncnn,onnxruntime")] == ["ncnn", "ONNX Runtime"]


def test_a_model_is_not_taken_for_a_peer() -> None:
    with pytest.raises(ValueError, match=r"--peers has 'resnet18.aio', known are all, onnxruntime"):
        chosen_peers("resnet18.aio")


def test_deepsparse_has_an_environment_of_its_own() -> None:
    python = Path("/somewhere/python")
    assert interpreter(PEERS["deepsparse"], python) == python
    assert interpreter(PEERS["deepsparse"], None) is None
    assert interpreter(PEERS["mnn"], python) == Path(sys.executable)
    assert "--deepsparse" in missing_reason(PEERS["deepsparse"], "deepsparse")
    assert "aio-runtime[bench]" in missing_reason(PEERS["mnn"], "MNN")


@pytest.mark.parametrize("kind", PEERS.values(), ids=PEERS)
def test_every_peer_has_a_module(kind: object) -> None:
    engine = getattr(kind, "engine")  # noqa: B009
    module = import_module(f"aio.runtime.benchmark.peers.engines.{engine}")
    assert callable(module.version)
    assert callable(module.load)
