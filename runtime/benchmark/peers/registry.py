# SPDX-License-Identifier: Apache-2.0
"""The engines that can be measured beside ours."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PeerKind:
    """An engine: how users name it, its own name, the module that runs it, and what it gains.

    One that is `sparse` skips zeros, so it gets the model of every level; others one dense model.
    """

    key: str
    name: str
    engine: str
    sparse: bool = False


DEEPSPARSE = "deepsparse"
PEERS = {
    kind.key: kind
    for kind in (
        PeerKind("onnxruntime", "ONNX Runtime", "onnxruntime_engine"),
        PeerKind("openvino", "OpenVINO", "openvino_engine"),
        PeerKind("ncnn", "ncnn", "ncnn_engine"),
        PeerKind("mnn", "MNN", "mnn_engine"),
        PeerKind("torch", "torch", "torch_engine"),
        PeerKind(DEEPSPARSE, "DeepSparse", "deepsparse_engine", sparse=True),
    )
}


def chosen_peers(text: str) -> tuple[PeerKind, ...]:
    """Return the kinds that a list with commas names, "all" for every one.

    Raises:
        ValueError: a name is not known.
    """
    if text == "all":
        return tuple(PEERS.values())
    kinds = []
    for key in text.split(","):
        if key not in PEERS:
            raise ValueError(
                f"--peers has {key!r}, known are all, {', '.join(PEERS)}; "
                "name models before --peers, or write --peers=all"
            )
        kinds.append(PEERS[key])
    return tuple(kinds)


def interpreter(kind: PeerKind, deepsparse: Path | None) -> Path | None:
    """Return the Python that has an engine; None if nobody said where."""
    return deepsparse if kind.key == DEEPSPARSE else Path(sys.executable)


def missing_reason(kind: PeerKind, module: str) -> str:
    """Return why an engine can't be measured and what helps."""
    if kind.key == DEEPSPARSE:
        return f"no module {module} in the environment that --deepsparse names"
    return f"the module {module} is not installed: pip install 'aio-runtime[bench]'"


def names(kinds: Sequence[PeerKind]) -> str:
    """Return the engines' names with commas between them."""
    return ", ".join(kind.name for kind in kinds)
