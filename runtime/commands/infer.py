# SPDX-License-Identifier: Apache-2.0
"""`aio infer`: one answer on the command line, with the level it came from and why."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from aio.runtime.commands.options import add_governor_options, governor_options
from aio.runtime.printing import json_text, megahertz, milliseconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aio.runtime import InferenceRecord, TensorInfo

HELP = "run a model on one input and say which level answered"
EXAMPLES = """\
examples:
  aio infer                                    a handwritten digit, by the shipped model
  aio infer --level 3                          the same at level 3
  aio infer resnet18.aio --input x.npy --top 5
  aio infer --target-ms 0.05 --policy table    hold 50 us by whole levels
  aio infer stereo.aio --input pair.npz        several inputs: an array of each one's name
  curl ... | aio infer resnet18.aio --input -  a V2 request, .npy or .npz from standard input
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("model", nargs="?", type=Path, help="model file (the shipped one)")
    add(
        "--input",
        metavar="FILE",
        help=".npy, .npz or V2 JSON request, - is standard input (a digit)",
    )
    add("--output", type=Path, metavar="FILE", help="write the first output as .npy")
    add("--level", type=int, help="use this level, 0 is the densest (follow the clock)")
    add_governor_options(parser)
    add("--threads", type=int, help="threads to compute with (as many as make sense)")
    add("--top", type=int, default=3, metavar="K", help="classes to show (3)")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Load the model, answer, print."""
    from aio.runtime import InputError, Runtime  # noqa: PLC0415
    from aio.runtime.requests import read_inputs  # noqa: PLC0415
    from aio.runtime.shipped import EXAMPLE_REQUEST  # noqa: PLC0415

    if args.input is None and args.model is not None:
        raise InputError("--input is missing: the example digit only fits the shipped model")
    if args.top < 1:
        raise InputError(f"--top is {args.top}, expected at least 1")
    with Runtime.load(args.model, threads=args.threads, **governor_options(args)) as runtime:
        source = str(EXAMPLE_REQUEST) if args.input is None else args.input
        x = read_inputs(source, runtime.inputs)
        outputs, record = runtime.run(x, level=args.level)
        if args.output is not None:
            _save(args.output, outputs[runtime.outputs[0].name])
        if args.json:
            document = _document(runtime.name, runtime.outputs, outputs, record, args.top)
            governor = {"policy": runtime.policy, "stats": runtime.stats().as_dict()}
            print(json_text(document | governor))
            return 0
        for info in runtime.outputs:
            print(_answer(info, outputs[info.name], args.top))
    print(_how(record))
    return 0


def _save(path: Path, values: "NDArray[np.float32]") -> None:
    import numpy as np  # noqa: PLC0415

    with path.open("wb") as file:  # np.save would append .npy to the name
        np.save(file, values)


def _document(
    name: str,
    infos: "tuple[TensorInfo, ...]",
    outputs: "dict[str, NDArray[np.float32]]",
    record: "InferenceRecord",
    top: int,
) -> dict[str, object]:
    return {
        "model": name,
        "outputs": [
            {
                "name": info.name,
                "shape": list(outputs[info.name].shape),
                "data": outputs[info.name].ravel().tolist(),
                "top": [
                    [{"index": i, "label": label, "score": score} for i, label, score in best]
                    for best in _top(info, outputs[info.name], top)
                ],
            }
            for info in infos
        ],
        "inference": record.as_dict(),
    }


def _top(
    info: "TensorInfo", values: "NDArray[np.float32]", top: int
) -> list[list[tuple[int, str, float]]]:
    """Return per sample the best classes, best first; nothing for outputs that are images."""
    if len(info.shape) != 1:
        return []
    labels = info.labels or tuple(str(i) for i in range(info.shape[0]))
    rows = values.reshape(-1, info.shape[0])
    return [
        [(int(i), labels[i], float(row[i])) for i in (-row).argsort(kind="stable")[:top]]
        for row in rows
    ]


def _answer(info: "TensorInfo", values: "NDArray[np.float32]", top: int) -> str:
    best = _top(info, values, top)
    if not best and len(info.shape) != 1:
        shape = "x".join(str(side) for side in values.shape)
        return f"{info.name}: {shape}, from {values.min():.4g} to {values.max():.4g}"
    lines = []
    for sample, classes in enumerate(best):
        prefix = f"sample {sample}: " if len(best) > 1 else ""
        others = ", ".join(f"{label} {score:.3f}" for _, label, score in classes)
        lines.append(f"{prefix}{classes[0][1]}    ({others})")
    return "\n".join(lines)


def _how(record: "InferenceRecord") -> str:
    return (
        f"{record.plan} (ratio {record.ratio:.2f}), {milliseconds(record.latency_ms)} ms, "
        f"predicted {milliseconds(record.predicted_ms)} ms, clock {megahertz(record.cpu_khz)}\n"
        f"reason: {record.reason}"
    )
