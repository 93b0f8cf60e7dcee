# SPDX-License-Identifier: Apache-2.0
"""ncnn on the CPU, fp32; Winograd, sgemm and packed layouts are on by default.

pnnx, of the same project, converts. ncnn has no batch axis: samples run one after the other.
"""

import subprocess
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def version() -> str:
    """Return the engine's version."""
    import ncnn  # noqa: PLC0415 - an extra that only comparisons need

    return str(ncnn.__version__)


def load(model: str, threads: int, batch: int) -> Callable[[Array], Array]:
    """Return what answers; the ONNX file has to be of this batch."""
    import ncnn  # noqa: PLC0415

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    with tempfile.TemporaryDirectory(dir=Path(model).parent) as folder:
        _convert(model, Path(folder))
        for load_part, end in ((net.load_param, "param"), (net.load_model, "bin")):
            if load_part(f"{folder}/model.ncnn.{end}") != 0:
                raise RuntimeError(f"ncnn can't load the {end} file that pnnx made")
    source, output = net.input_names()[0], net.output_names()[0]

    def infer(x: Array) -> Array:
        answers = []
        for sample in x:
            with net.create_extractor() as extractor:
                extractor.input(source, ncnn.Mat(sample))
                _, answer = extractor.extract(output)
                answers.append(np.array(answer))
        return np.stack(answers)

    return infer


def _convert(model: str, folder: Path) -> None:
    spec = find_spec("pnnx")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'pnnx'", name="pnnx")
    link = folder / "model.onnx"  # pnnx writes beside what it reads
    link.symlink_to(Path(model).resolve())
    program = Path(spec.origin).with_name("pnnx")  # the module itself would import torch
    subprocess.run(
        [program, link.name, "fp16=0"], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
