# SPDX-License-Identifier: Apache-2.0
"""`aio bench`: how fast levels and kernels are here, and whether latency stays flat."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aio.runtime.commands.progress import progress_bar
from aio.runtime.model_file.ops import DEFAULT_BLOCK_HEIGHT
from aio.runtime.printing import (
    json_text,
    markdown_table,
    text_table,
)

if TYPE_CHECKING:
    from aio.runtime.benchmark.kernels import KernelBenchmark

HELP = "measure networks against the physical limit and other engines, kernels, memory, stability"
EXAMPLES = """\
examples:
  aio bench                             the shipped model
  aio bench resnet18.aio --threads 1    another one, on one thread
  aio bench --markdown                  the table of the README
  aio bench resnet18.aio --ratios 0,.7,.9 --threads 1,2 --layers
  aio bench resnet18.aio --peers --deepsparse ~/deepsparse/bin/python --chart resnet18.png
  aio bench --kernels 3x3               convolutions against the measured FMA peak
  aio bench --kernels --block-height 8  the same in blocks of 8 output channels
  aio bench resnet50.aio --memory       resident memory beside ONNX Runtime's
  aio bench --serve                     what the HTTP server adds to an inference
  aio bench net.aio --accuracy test.npz --mixed 50    accuracy of levels and of mixed plans
  aio bench --stability                 latency under changing clocks, policy by policy
  aio bench --stability resnet18.aio mobilenet_v2.aio --peers --output stability.json
"""
RATIO_TOLERANCE = 1e-3

Value = TypeVar("Value", int, float)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add(
        "model",
        nargs="*",
        type=Path,
        help="model file (the shipped one); several for --serve, --stability",
    )
    add("--levels", type=numbers(int), metavar="LIST", help="levels to measure, as 0,2,4 (all)")
    add("--ratios", type=numbers(float), metavar="LIST", help="the same by ratio, as 0,.5,.9")
    add("--threads", type=numbers(int), metavar="LIST", help="as 1,2 (as many as make sense)")
    add("--layers", action="store_true", help="also measure each layer")
    add("--seconds", type=float, default=3.0, help="how long to measure a model (3)")
    add("--batch", type=int, default=1, help="samples per inference (1)")
    add(
        "--kernels",
        nargs="?",
        const="all",
        choices=("all", "3x3", "1x1"),
        help="measure single convolutions instead of a model, all or some of them",
    )
    add(
        "--block-height",
        type=int,
        default=DEFAULT_BLOCK_HEIGHT,
        help="of --kernels: output channels of a block, 16 or 8 (16)",
    )
    add("--rounds", type=int, default=15, help="rounds over the convolutions (15)")
    add("--isa", help="instruction set (the best one here)")
    add("--memory", action="store_true", help="measure resident memory, beside ONNX Runtime's")
    add("--serve", action="store_true", help="measure what the server adds to an inference")
    add(
        "--accuracy",
        type=Path,
        metavar="FILE.npz",
        help="measure accuracy on its arrays 'images' and 'labels'",
    )
    add("--mixed", type=int, default=0, metavar="N", help="of --accuracy: plans of two levels (0)")
    add("--stability", action="store_true", help="measure how flat latency is as clocks change")
    add("--quick", action="store_true", help="a rough answer about stability, in a minute")
    add(
        "--peers",
        nargs="?",
        const="all",
        metavar="LIST",
        help="measure other engines beside: all (the default), or some of onnxruntime, openvino, "
        "ncnn, mnn, torch, deepsparse with commas; --stability knows ONNX Runtime only "
        "(needs the bench extra)",
    )
    add(
        "--deepsparse",
        type=Path,
        metavar="PYTHON",
        help="interpreter of an environment that has DeepSparse",
    )
    add("--cpu", type=int, help="CPU that stability is measured on (the last one)")
    add("--seed", type=int, default=0, help="of everything random in virtual time (0)")
    add("--markdown", action="store_true", help="print a Markdown table")
    add("--json", action="store_true", help="print JSON")
    add("--output", type=Path, metavar="FILE", help="also write the JSON to a file")
    add("--chart", type=Path, metavar="FILE.png", help="also draw latency by ratio")


def numbers(kind: Callable[[str], Value]) -> Callable[[str], tuple[Value, ...]]:
    """Return a parser of numbers of one kind with commas between them."""

    def parse(text: str) -> tuple[Value, ...]:
        values = tuple(kind(part) for part in text.split(","))
        if len(set(values)) != len(values):
            raise argparse.ArgumentTypeError(f"{text!r} names a number twice")
        return values

    parse.__name__ = "list of numbers"  # argparse says so of a bad one
    return parse


def chosen_levels(
    levels: Sequence[int] | None, ratios: Sequence[float] | None, available: Sequence[float]
) -> tuple[int, ...]:
    """Return the indices asked for by index or by ratio, densest first; all if neither is given.

    Raises:
        ValueError: both are given, or the model has no such level.
    """
    if levels is not None and ratios is not None:
        raise ValueError("--levels and --ratios say the same: name one")
    if ratios is not None:
        levels = [_level_of_ratio(ratio, available) for ratio in ratios]
    if levels is None:
        return tuple(range(len(available)))
    for level in levels:
        if not 0 <= level < len(available):
            raise ValueError(
                f"--levels has {level}, the model has levels 0 to {len(available) - 1}"
            )
    return tuple(sorted(levels))


def _level_of_ratio(ratio: float, available: Sequence[float]) -> int:
    for level, there in enumerate(available):
        if abs(ratio - there) < RATIO_TOLERANCE:
            return level
    names = ", ".join(f"{there:g}" for there in available)
    raise ValueError(f"--ratios has {ratio:g}, the model has {names}")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    counts = [("rounds", args.rounds), ("batch", args.batch)]
    counts += [("threads", threads) for threads in args.threads or ()]
    for name, value in counts:
        if value < 1:
            raise ValueError(f"--{name} is {value}, expected at least 1")
    if not 0 < args.seconds < 3600:
        raise ValueError(f"--seconds is {args.seconds}, expected more than 0 and less than 3600")
    document, text = _measurement(args)(args)
    if args.output is not None:
        args.output.write_text(json_text(document) + "\n", encoding="utf-8")
    print(json_text(document) if args.json else text)
    return 0


def _measurement(
    args: argparse.Namespace,
) -> Callable[[argparse.Namespace], tuple[dict[str, object], str]]:
    kinds = {
        "--kernels": (args.kernels is not None, _bench_kernels),
        "--memory": (args.memory, _bench_memory),
        "--serve": (args.serve, _bench_serving),
        "--accuracy": (args.accuracy is not None, _bench_accuracy),
        "--stability": (args.stability, _bench_stability),
    }
    wanted = [name for name, (asked, _) in kinds.items() if asked]
    if len(wanted) > 1:
        raise ValueError(f"{' and '.join(wanted)} are {len(wanted)} measurements: name one")
    if wanted not in (["--serve"], ["--stability"]) and len(args.model) > 1:
        raise ValueError(f"{len(args.model)} models: only --serve and --stability take several")
    if wanted != ["--kernels"] and args.block_height != DEFAULT_BLOCK_HEIGHT:
        raise ValueError("--block-height is of --kernels; a model has its own")
    if wanted and args.chart is not None:
        raise ValueError(f"--chart draws a network's levels, not {wanted[0]}")
    return kinds[wanted[0]][1] if wanted else _bench_network


def _bench_stability(args: argparse.Namespace) -> tuple[dict[str, object], str]:
    from aio.runtime.benchmark.peers.registry import PEERS, chosen_peers  # noqa: PLC0415
    from aio.runtime.benchmark.stability.run import QUICK, Effort, measure  # noqa: PLC0415
    from aio.runtime.commands.stability_text import stability_text  # noqa: PLC0415
    from aio.runtime.device import cpu_model  # noqa: PLC0415
    from aio.runtime.shipped import SHIPPED_MODEL  # noqa: PLC0415

    kinds = () if args.peers is None else chosen_peers(args.peers)
    beside = PEERS["onnxruntime"] in kinds
    if kinds and not beside:
        raise ValueError(f"--peers has {args.peers}, --stability knows onnxruntime only")
    cpus = os.sched_getaffinity(0)
    cpu = max(cpus) if args.cpu is None else args.cpu
    if cpu not in cpus:
        raise ValueError(f"--cpu is {cpu}, this process may use {sorted(cpus)}")
    results = []
    for path in args.model or [SHIPPED_MODEL]:
        with progress_bar(path.stem) as progress:
            results.append(
                measure(
                    path,
                    QUICK if args.quick else Effort(),
                    cpu=cpu,
                    peers=beside,
                    seed=args.seed,
                    progress=progress,
                )
            )
    table = markdown_table if args.markdown else text_table
    heading = f"{cpu_model()}, one thread on CPU {cpu}; seed {args.seed}"
    text = "\n\n\n".join([heading, *[stability_text(result, table) for result in results]])
    return {"cpu": cpu_model(), "models": [asdict(result) for result in results]}, text


def _bench_network(args: argparse.Namespace) -> tuple[dict[str, object], str]:
    from aio.governors import default_threads  # noqa: PLC0415
    from aio.runtime.benchmark.chart import check_chart_path, draw_chart  # noqa: PLC0415
    from aio.runtime.benchmark.network import Effort, bench_network  # noqa: PLC0415
    from aio.runtime.benchmark.peers.registry import chosen_peers  # noqa: PLC0415
    from aio.runtime.commands.network_text import network_text  # noqa: PLC0415
    from aio.runtime.device import cpu_model  # noqa: PLC0415
    from aio.runtime.model_file import read_model_file  # noqa: PLC0415
    from aio.runtime.shipped import SHIPPED_MODEL  # noqa: PLC0415

    if args.chart is not None:
        check_chart_path(args.chart)
    model = read_model_file(args.model[0] if args.model else SHIPPED_MODEL)
    ratios = [level.ratio for level in model.manifest.levels]
    effort = Effort(
        levels=chosen_levels(args.levels, args.ratios, ratios),
        threads=args.threads or (default_threads().threads,),
        batch=args.batch,
        seconds=args.seconds,
        layers=args.layers,
        peers=() if args.peers is None else chosen_peers(args.peers),
        deepsparse=args.deepsparse,
    )
    with progress_bar(f"measuring {model.manifest.name}") as progress:
        result = bench_network(model, effort, isa=args.isa, progress=progress)
    if args.chart is not None:
        draw_chart(result, cpu_model(), args.chart)
    table = markdown_table if args.markdown else text_table
    heading = (
        f"{result.model} on {cpu_model()}: {result.isa}, batch {result.batch}, "
        f"medians of {result.rounds} interleaved rounds"
    )
    text = f"{heading}\n\n{network_text(result, table)}"
    return {"cpu": cpu_model(), **asdict(result)}, text


def _bench_memory(args: argparse.Namespace) -> tuple[dict[str, object], str]:
    from aio.runtime.benchmark.memory import bench_memory  # noqa: PLC0415
    from aio.runtime.commands.memory_text import memory_text  # noqa: PLC0415
    from aio.runtime.model_file import read_model_file  # noqa: PLC0415
    from aio.runtime.shipped import SHIPPED_MODEL  # noqa: PLC0415

    threads = args.threads or (1,)
    if len(threads) > 1:
        raise ValueError(f"--threads has {len(threads)} numbers, --memory takes one")
    model = read_model_file(args.model[0] if args.model else SHIPPED_MODEL)
    with progress_bar(f"measuring {model.manifest.name}") as progress:
        result = bench_memory(model, threads=threads[0], progress=progress)
    return asdict(result), memory_text(result, markdown_table if args.markdown else text_table)


def _bench_serving(args: argparse.Namespace) -> tuple[dict[str, object], str]:
    from aio.runtime.benchmark.serving import bench_serving  # noqa: PLC0415
    from aio.runtime.commands.serving_text import serving_text  # noqa: PLC0415
    from aio.runtime.device import cpu_model  # noqa: PLC0415
    from aio.runtime.shipped import SHIPPED_MODEL  # noqa: PLC0415

    threads = args.threads or (1,)
    if len(threads) > 1:
        raise ValueError(f"--threads has {len(threads)} numbers, --serve takes one")
    results = []
    for path in args.model or [SHIPPED_MODEL]:
        with progress_bar(path.stem) as progress:
            results.append(
                bench_serving(path, threads=threads[0], seconds=args.seconds, progress=progress)
            )
    table = markdown_table if args.markdown else text_table
    text = "\n\n\n".join([cpu_model(), *[serving_text(result, table) for result in results]])
    return {"cpu": cpu_model(), "models": [asdict(result) for result in results]}, text


def _bench_accuracy(args: argparse.Namespace) -> tuple[dict[str, object], str]:
    from aio.runtime.benchmark.accuracy import measure_accuracy, read_labelled  # noqa: PLC0415
    from aio.runtime.model_file import read_model_file  # noqa: PLC0415
    from aio.runtime.shipped import SHIPPED_MODEL  # noqa: PLC0415

    images, labels = read_labelled(args.accuracy)
    result = measure_accuracy(
        read_model_file(args.model[0] if args.model else SHIPPED_MODEL),
        images,
        labels,
        mixed=args.mixed,
        seed=args.seed,
        threads=(args.threads or (1,))[0],
    )
    rows = [
        [f"{level}", f"{ratio:.2f}", f"{found:.2%}", "-" if said is None else f"{said:.2%}"]
        for level, (ratio, found, said) in enumerate(
            zip(result.ratios, result.accuracy, result.recorded, strict=True)
        )
    ]
    table = markdown_table if args.markdown else text_table
    text = f"{result.model}: {result.images} images, {result.isa}\n\n"
    text += table(["level", "ratio", "accuracy", "in the file"], rows)
    if result.mixed:
        found = [plan.accuracy for plan in result.mixed]
        text += (
            f"\n\n{len(found)} plans of two adjacent levels: "
            f"{min(found):.2%} to {max(found):.2%}, mean {sum(found) / len(found):.2%}"
        )
    return asdict(result), text


def _bench_kernels(args: argparse.Namespace) -> tuple[dict[str, object], str]:
    from aio.runtime.benchmark.kernels import SHAPES, bench_kernels  # noqa: PLC0415
    from aio.runtime.device import cpu_model  # noqa: PLC0415

    shapes = [shape for shape in SHAPES if args.kernels in {"all", shape.group}]
    with progress_bar("measuring kernels") as progress:
        result = bench_kernels(
            args.isa,
            shapes=shapes,
            block_height=args.block_height,
            rounds=args.rounds,
            progress=progress,
        )
    table = markdown_table if args.markdown else text_table
    peak = result.peak_gflops
    text = (
        f"{cpu_model()}, {result.isa}, blocks of {result.block_height}, one thread, "
        f"medians of {result.rounds} interleaved rounds\n"
        f"FMA peak in the same rounds: {peak.median:.1f} GFLOP/s (+- {peak.mad:.1f})\n"
        "useful GFLOP/s, as the direct algorithm counts them, and percent of the peak, by density\n"
        f"(Winograd needs a quarter of the operations)\n\n{table(*_kernel_rows(result))}"
    )
    return {"cpu": cpu_model(), **asdict(result)}, text


def _kernel_rows(result: "KernelBenchmark") -> tuple[list[str], list[list[str]]]:
    densities = [density.density for density in result.layers[0].densities]
    header = ["layer", *[f"{density:g}" for density in densities], "kernel"]
    rows = [
        [
            layer.shape.label,
            *[
                f"{density.gflops.median:.1f} {density.of_peak.median:.0%}"
                for density in layer.densities
            ],
            layer.kernel,
        ]
        for layer in result.layers
    ]
    return header, rows
