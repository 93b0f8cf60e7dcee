# SPDX-License-Identifier: Apache-2.0
"""What `aio bench --memory` measured, as text."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio.runtime.benchmark.memory import MemoryBenchmark

_MB = 1e6


def memory_text(
    result: "MemoryBenchmark", table: Callable[[Sequence[str], Sequence[Sequence[str]]], str]
) -> str:
    """Return the processes as a table, MB (10^6 bytes)."""
    header = ["process", "models", "levels", "weights MB", "before MB", "RSS MB", "peak RSS MB"]
    header.append("peak over ours")
    ours = result.results[0].peak_rss_bytes
    rows = [
        [
            process.name,
            str(process.models),
            str(process.levels),
            *[
                f"{size / _MB:.1f}"
                for size in (
                    process.weight_bytes,
                    process.start_rss_bytes,
                    process.rss_bytes,
                    process.peak_rss_bytes,
                )
            ],
            f"{process.peak_rss_bytes / ours:.2f}x",
        ]
        for process in result.results
    ]
    dense = result.dense_weight_bytes
    lines = [
        f"{result.model}: resident memory of a process that serves it, {result.threads} thread(s)",
        f"weights of one dense fp32 model: {dense / _MB:.1f} MB; packed for all levels here: "
        f"{result.results[0].weight_bytes / dense:.2f}x",
        "",
        table(header, rows),
    ]
    if result.missing is not None:
        lines += ["", f"ONNX Runtime: not measured: {result.missing}"]
    return "\n".join(lines)
