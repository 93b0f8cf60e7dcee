# SPDX-License-Identifier: Apache-2.0
"""What `aio bench --serve` measured, as text."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio.runtime.benchmark.serving import ServingResult

_MIB = 1024 * 1024


def serving_text(
    result: "ServingResult", table: Callable[[Sequence[str], Sequence[Sequence[str]]], str]
) -> str:
    """Return the ways to an answer as a table, ms."""
    rows = [
        [
            way.name,
            *(f"{ms:.3f}" for ms in (way.p50_ms, way.p95_ms)),
            _added(way.added_ms),
            f"{way.row_p50_ms:.3f}",
            _added(way.row_added_ms),
        ]
        for way in result.ways
    ]
    lines = [
        f"{result.model}: {result.isa}, {result.threads} thread(s), {result.cpus} CPUs, request of "
        f"{result.request_bytes} bytes, {result.calls} calls of each in turns, about as many "
        "in a row",
        f"resident memory of the server after them: {result.rss_bytes / _MIB:.1f} MiB",
        "",
        table(["way", "p50 ms", "p95 ms", "over infer", "in a row", "over infer"], rows),
    ]
    return "\n".join(lines)


def _added(ms: float | None) -> str:
    return "-" if ms is None else f"{ms:+.3f}"
