# SPDX-License-Identifier: Apache-2.0
"""MNN on the CPU at normal precision, which is fp32 on x86; its own converter reads the ONNX file.

Its native converter is called directly: the script around it installs and feeds a usage logger.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def version() -> str:
    """Return the engine's version."""
    import MNN  # noqa: PLC0415 - an extra that only comparisons need

    return str(MNN.version())


def load(model: str, threads: int, batch: int) -> Callable[[Array], Array]:
    """Return what answers."""
    import MNN  # noqa: PLC0415

    settings = {"backend": "CPU", "numThread": threads, "precision": "normal", "power": "high"}
    manager = MNN.nn.create_runtime_manager((settings,))
    with tempfile.TemporaryDirectory(dir=Path(model).parent) as folder:
        converted = Path(folder) / "model.mnn"
        _convert(model, converted)
        # Without names it takes all inputs and makes all outputs.
        net = MNN.nn.load_module_from_file(str(converted), [], [], runtime_manager=manager)

    def infer(x: Array) -> Array:
        (answer, *_) = net.forward([MNN.expr.const(x, x.shape, MNN.expr.NCHW)])
        values: Array = np.array(answer.read())
        return values

    return infer


def _convert(model: str, converted: Path) -> None:
    import _tools  # noqa: PLC0415 - a part of the package MNN

    paths = ["--modelFile", model, "--MNNModel", str(converted)]
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *paths, "--bizCode", "none"])
    if not converted.exists():
        raise RuntimeError(f"MNN can't convert {model}")
