# SPDX-License-Identifier: Apache-2.0
"""A network's benchmark as a picture: latency by ratio, the limit, and other engines."""

from pathlib import Path
from typing import Any

from aio.runtime.benchmark.network_results import NetworkBenchmark, PeerResult, ThreadsResult

OURS, LIMIT = "#1f6fb4", "#555555"
PEERS = ("#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#a6761d", "#66a61e")
PANEL_INCHES, LEGEND_INCHES, HEIGHT_INCHES, DPI = 4.4, 1.9, 3.8, 160


def check_chart_path(path: Path) -> None:
    """Refuse a file whose name does not say that it is a PNG.

    Raises:
        ValueError: it does not.
        ModuleNotFoundError: matplotlib is not installed.
    """
    import matplotlib as mpl  # noqa: PLC0415 - an extra; asked for before minutes are spent

    mpl.use("Agg")
    if path.suffix.lower() != ".png":
        raise ValueError(f"--chart is {path}, expected a name that ends in .png")


def draw_chart(result: NetworkBenchmark, cpu: str, path: Path) -> None:
    """Write the picture, one panel per number of threads."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    panels = len(result.results)
    figure, axes = plt.subplots(
        1,
        panels,
        figsize=(PANEL_INCHES * panels + LEGEND_INCHES, HEIGHT_INCHES),
        layout="constrained",
        squeeze=False,
    )
    for axis, threads in zip(axes[0], result.results, strict=True):
        _draw(axis, threads)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9)
    figure.suptitle(f"{result.model}, batch {result.batch}, {cpu} ({result.isa})", fontsize=10)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def _draw(axis: Any, threads: ThreadsResult) -> None:
    ratios = [level.ratio for level in threads.levels]
    latencies = [level.latency_ms for level in threads.levels]
    axis.errorbar(
        ratios,
        [latency.median for latency in latencies],
        yerr=[latency.mad for latency in latencies],
        color=OURS,
        marker="o",
        markersize=5,
        capsize=3,
        linewidth=2,
        label="this runtime",
        zorder=3,
    )
    axis.plot(
        ratios,
        [level.limit_ms.median for level in threads.levels],
        color=LIMIT,
        linestyle="--",
        linewidth=1.2,
        label="limit, direct algorithm",
    )
    names = list(dict.fromkeys(peer.name for peer in threads.peers))
    for name, colour in zip(names, PEERS, strict=False):
        _draw_peer(axis, [peer for peer in threads.peers if peer.name == name], colour)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("pruning ratio")
    axis.set_ylabel("latency, ms (median)")
    axis.set_title(f"{threads.threads} thread{'s' if threads.threads > 1 else ''}", fontsize=10)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_peer(axis: Any, peers: list[PeerResult], colour: str) -> None:
    """Draw an engine by ratio if it ran several, else as a line across."""
    label = f"{peers[0].name} {peers[0].version}"
    if peers[0].sparse:
        values = [peer.latency_ms.median for peer in peers]
        axis.plot([peer.ratio for peer in peers], values, ".:", color=colour, label=label)
    else:
        axis.axhline(peers[0].latency_ms.median, color=colour, linewidth=1.2, label=label)
