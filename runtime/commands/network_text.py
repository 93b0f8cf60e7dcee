# SPDX-License-Identifier: Apache-2.0
"""What `aio bench` measured of a network, as text."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aio.runtime.printing import milliseconds, number

if TYPE_CHECKING:
    from aio.runtime.benchmark.network_results import (
        LayerResult,
        LevelResult,
        NetworkBenchmark,
        ThreadsResult,
    )

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]

WINOGRAD_NOTE = (
    "The limit counts operations as the direct algorithm needs them; layers that Winograd's\n"
    "algorithm computes need a quarter of the multiplications and may exceed 100 %. The limit of\n"
    "the algorithm used does not count its transforms."
)


def network_text(result: "NetworkBenchmark", table: Table) -> str:
    """Return the levels by number of threads, with their layers if those were measured."""
    parts = [_threads_text(threads, table, result) for threads in result.results]
    parts += [
        f"{peer.name}, {peer.threads} thread(s): not measured: {peer.reason}"
        for peer in result.absent
    ]
    if any(_winograd(level) for threads in result.results for level in threads.levels):
        parts.append(WINOGRAD_NOTE)
    return "\n\n".join(parts)


def _threads_text(threads: "ThreadsResult", table: Table, result: "NetworkBenchmark") -> str:
    few = result.results[0].threads
    lines = [f"{threads.threads} thread(s): {_rates(threads)}", "", table(*_levels(threads, few))]
    for level in threads.levels:
        if level.layers:
            lines += ["", f"level {level.level}, ratio {level.ratio:g}, by layer:", ""]
            lines.append(table(*_layers(level.layers)))
    if threads.peers:
        lines += ["", "other engines, and their time over ours at each ratio:", ""]
        lines.append(table(*_peers(threads)))
    return "\n".join(lines)


def _rates(threads: "ThreadsResult") -> str:
    peaks = [level.peak_gflops.median for level in threads.levels]
    rates = [level.bandwidth_gbs.median for level in threads.levels]
    return (
        f"FMA peak {_span(peaks)} GFLOP/s, bandwidth {_span(rates)} GB/s "
        "(of as many bytes as a level touches)"
    )


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low} to {high}"


def _winograd(level: "LevelResult") -> bool:
    return level.algorithm_limit_ms.median < level.limit_ms.median


def _levels(threads: "ThreadsResult", few: int) -> tuple[list[str], list[list[str]]]:
    header = ["ratio", "accuracy", "MACs", "non-zero weights", "latency ms", "+- ms", "speed-up"]
    header += ["GFLOP/s", "limit ms", "% of limit", "% of algorithm's"]
    scaling = threads.threads != few
    if scaling:
        header += [f"over {few} thread(s)", "while near", "hand-over ns"]
    rows = []
    for level in threads.levels:
        row = [
            f"{level.ratio:.3f}",
            number(level.accuracy, ".4f"),
            f"{level.macs:,}",
            f"{level.nonzero_weights:,}",
            milliseconds(level.latency_ms.median),
            milliseconds(level.latency_ms.mad),
            f"{level.speedup.median:.2f}x",
            f"{level.gflops.median:.1f}",
            milliseconds(level.limit_ms.median),
            f"{100 * level.of_limit.median:.0f}",
            f"{100 * level.of_algorithm_limit.median:.0f}" if _winograd(level) else "",
        ]
        rows.append([*row, *_scaling(level)] if scaling else row)
    return header, rows


def _scaling(level: "LevelResult") -> list[str]:
    near, handover = level.near_thread_speedup, level.handover_ns
    return [
        f"{level.thread_speedup.median:.2f}x",
        "" if near is None else f"{near.median:.2f}x",
        "" if handover is None else f"{handover.median:.0f}",
    ]


def _layers(layers: "Sequence[LayerResult]") -> tuple[list[str], list[list[str]]]:
    header = ["layer", "kernel", "output", "density", "ms", "GFLOP/s", "% of limit", "% of time"]
    rows = [
        [
            layer.name,
            layer.kernel or layer.op,
            "x".join(map(str, layer.output_shape)),
            number(layer.density, ".3f"),
            milliseconds(layer.latency_ms.median),
            f"{layer.gflops.median:.1f}",
            f"{100 * layer.of_limit.median:.0f}",
            f"{100 * layer.share.median:.1f}",
        ]
        for layer in layers
    ]
    return header, rows


def _peers(threads: "ThreadsResult") -> tuple[list[str], list[list[str]]]:
    header = ["engine", "ratio", "latency ms", "+- ms", "max error"]
    header += [f"/ {level.ratio:g}" for level in threads.levels]
    rows = [
        [
            f"{peer.name} {peer.version}",
            f"{peer.ratio:g}",
            milliseconds(peer.latency_ms.median),
            milliseconds(peer.latency_ms.mad),
            f"{peer.max_error:.1e}",
            *[f"{over.median:.2f}x" for over in peer.over_ours],
        ]
        for peer in threads.peers
    ]
    return header, rows
