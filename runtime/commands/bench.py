# SPDX-License-Identifier: Apache-2.0
"""`aio bench`: how fast levels and kernels are here, and whether latency stays flat."""

import argparse
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from aio.runtime.commands.printing import (
    json_text,
    markdown_table,
    megahertz,
    milliseconds,
    number,
    text_table,
)
from aio.runtime.commands.progress import progress_bar

if TYPE_CHECKING:
    from aio.runtime import Runtime
    from aio.runtime.benchmark.kernels import KernelBenchmark
    from aio.runtime.benchmark.levels import LevelBenchmark

HELP = "measure the latency of every level, of kernels against the peak, or its stability"
EXAMPLES = """\
examples:
  aio bench                             the shipped model
  aio bench resnet18.aio --threads 1    another one, on one thread
  aio bench --markdown                  the table of the README
  aio bench --kernels --layers 3x3      convolutions against the measured FMA peak
  aio bench --stability                 latency under changing clocks, policy by policy
  aio bench --stability --peers resnet18.aio mobilenet_v2.aio --output stability.json
"""
MAX_CLOCK_CHANGE = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("model", nargs="*", type=Path, help="model file (the shipped one); several for --stability")
    add("--kernels", action="store_true", help="measure single convolutions instead of a model")
    add("--layers", choices=("all", "3x3", "1x1"), default="all", help="which of them (all)")
    add("--rounds", type=int, default=15, help="rounds over the convolutions (15)")
    add("--seconds", type=float, default=3.0, help="how long to measure a model (3)")
    add("--batch", type=int, default=1, help="samples per inference (1)")
    add("--threads", type=int, help="threads of a model (as many as make sense)")
    add("--isa", help="instruction set (the best one here)")
    add("--stability", action="store_true", help="measure how flat latency is as clocks change")
    add("--quick", action="store_true", help="a rough answer about stability, in a minute")
    add("--peers", action="store_true", help="measure ONNX Runtime beside (needs the bench extra)")
    add("--cpu", type=int, help="CPU that stability is measured on (the last one)")
    add("--seed", type=int, default=0, help="of everything random in virtual time (0)")
    add("--markdown", action="store_true", help="print a Markdown table")
    add("--json", action="store_true", help="print JSON")
    add("--output", type=Path, metavar="FILE", help="also write the JSON to a file")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    for name, value in (("rounds", args.rounds), ("batch", args.batch)):
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
    if args.kernels and args.stability:
        raise ValueError("--kernels and --stability are two measurements: name one")
    if args.stability:
        return _bench_stability
    if len(args.model) > 1:
        raise ValueError(f"{len(args.model)} models: only --stability takes several")
    return _bench_kernels if args.kernels else _bench_model


def _bench_stability(args: argparse.Namespace) -> tuple[dict[str, object], str]:
    from aio.runtime.benchmark.stability.run import QUICK, Effort, measure  # noqa: PLC0415
    from aio.runtime.commands.stability_text import stability_text  # noqa: PLC0415
    from aio.runtime.device import cpu_model  # noqa: PLC0415
    from aio.runtime.shipped import SHIPPED_MODEL  # noqa: PLC0415

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
                    peers=args.peers,
                    seed=args.seed,
                    progress=progress,
                )
            )
    table = markdown_table if args.markdown else text_table
    heading = f"{cpu_model()}, one thread on CPU {cpu}; seed {args.seed}"
    text = "\n\n\n".join([heading, *[stability_text(result, table) for result in results]])
    return {"cpu": cpu_model(), "models": [asdict(result) for result in results]}, text


def _bench_model(args: argparse.Namespace) -> tuple[dict[str, object], str]:
    from aio.runtime import Runtime  # noqa: PLC0415
    from aio.runtime.benchmark.levels import bench_levels  # noqa: PLC0415

    with (
        Runtime.load(
            args.model[0] if args.model else None,
            threads=args.threads,
            isa=args.isa,
            calibrate=False,
        ) as runtime,
        progress_bar("measuring levels") as progress,
    ):
        result = bench_levels(runtime, batch=args.batch, seconds=args.seconds, progress=progress)
        table = markdown_table if args.markdown else text_table
        text = f"{_heading(runtime, result, args.batch)}\n\n{table(*_level_rows(result))}"
        return {**_environment(runtime, args.batch), **asdict(result)}, text


def _environment(runtime: "Runtime", batch: int) -> dict[str, object]:
    from aio.runtime.device import cpu_model  # noqa: PLC0415

    return {
        "model": runtime.name,
        "cpu": cpu_model(),
        "isa": runtime.isa,
        "threads": runtime.threads,
        "batch": batch,
    }


def _heading(runtime: "Runtime", result: "LevelBenchmark", batch: int) -> str:
    facts = _environment(runtime, batch)
    change = result.clock_change
    lines = [
        f"{facts['model']} on {facts['cpu']}: {facts['isa']}, {facts['threads']} threads, "
        f"batch {batch}, medians of {result.rounds} interleaved rounds",
        f"clock from {result.before.driver}: {megahertz(result.before.cpu_khz)} before, "
        f"{megahertz(result.after.cpu_khz)} after",
    ]
    if change is not None and abs(change) > MAX_CLOCK_CHANGE:
        lines.append("the clock moved: compare the speed-ups, not the latencies")
    return "\n".join(lines)


def _level_rows(result: "LevelBenchmark") -> tuple[list[str], list[list[str]]]:
    header = ["ratio", "accuracy", "MACs", "non-zero weights"]
    header += ["latency ms", "+- ms", "speed-up", "GFLOP/s"]
    rows = [
        [
            f"{level.info.ratio:.3f}",
            number(level.info.accuracy, ".4f"),
            f"{level.info.macs:,}",
            f"{level.info.nonzero_weights:,}",
            milliseconds(level.latency_ms.median),
            milliseconds(level.latency_ms.mad),
            f"{level.speedup:.2f}x",
            f"{level.gflops:.1f}",
        ]
        for level in result.results
    ]
    return header, rows


def _bench_kernels(args: argparse.Namespace) -> tuple[dict[str, object], str]:
    from aio.runtime.benchmark.kernels import SHAPES, bench_kernels  # noqa: PLC0415
    from aio.runtime.device import cpu_model  # noqa: PLC0415

    shapes = [shape for shape in SHAPES if args.layers in {"all", shape.group}]
    with progress_bar("measuring kernels") as progress:
        result = bench_kernels(args.isa, shapes=shapes, rounds=args.rounds, progress=progress)
    table = markdown_table if args.markdown else text_table
    peak = result.peak_gflops
    text = (
        f"{cpu_model()}, {result.isa}, one thread, medians of {result.rounds} interleaved rounds\n"
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
