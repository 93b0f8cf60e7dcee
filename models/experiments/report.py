# SPDX-License-Identifier: Apache-2.0
"""What the runs of a comparison gave: means over seeds, confidence intervals, a chart."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aio.models.experiments.plan import METHODS, Plan
from aio.models.experiments.queue import is_done

# Of Student's t, 0.975, by degrees of freedom; beyond ten the normal's is near enough.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_T_MANY = 1.96


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and half of its 95 % confidence interval, None for one seed."""

    mean: float
    half_width: float | None
    seeds: int


@dataclass(frozen=True)
class Row:
    """A method at a ratio, everything through the executor.

    `minus_joint` is the accuracy less that of the joint model, pair by pair of the same seed.
    """

    method: str
    ratio: float
    accuracy: Estimate
    minus_joint: Estimate | None
    worst_torch_difference: float
    macs: int
    latency_ms: float
    model_bytes: float


@dataclass(frozen=True)
class Comparison:
    """All rows, and accuracies of plans that mix two levels: below and above what both have."""

    rows: tuple[Row, ...]
    mixed_plans: int
    mixed_inside: int
    missing: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean and confidence interval of values of different seeds."""
    count = len(values)
    mean = sum(values) / count
    if count == 1:
        return Estimate(mean, None, 1)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    t = _T[count - 2] if count - 2 < len(_T) else _T_MANY
    return Estimate(mean, t * deviation / math.sqrt(count), count)


def compare(plan: Plan, folder: Path) -> Comparison:
    """Return the results of all runs of a plan that are done."""
    runs = plan.runs()
    done = [run for run in runs if is_done(run, folder)]
    found: dict[tuple[str, float], dict[int, dict[str, Any]]] = defaultdict(dict)
    plans = inside = 0
    for run in done:
        result = json.loads((folder / f"{run.name}.json").read_text(encoding="utf-8"))
        for level in result["levels"]:
            found[run.method, level["ratio"]][run.seed] = level | {"bytes": result["bytes"]}
        if run.method == "joint":
            plans += len(result["mixed"])
            inside += sum(_between(mix, result["levels"]) for mix in result["mixed"])
    rows = [_row(method, ratio, seeds, found) for (method, ratio), seeds in found.items()]
    order = list(METHODS)
    return Comparison(
        rows=tuple(sorted(rows, key=lambda row: (row.ratio, order.index(row.method)))),
        mixed_plans=plans,
        mixed_inside=inside,
        missing=tuple(run.name for run in runs if run not in done),
    )


def as_text(comparison: Comparison) -> str:
    """Return a Markdown table, a row per method and ratio."""
    lines = [
        "| ratio | method | accuracy % | less the joint model | MACs | latency ms | bytes |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in comparison.rows:
        less = "" if row.minus_joint is None else _points(row.minus_joint, sign="+")
        lines.append(
            f"| {row.ratio:.2f} | {row.method} | {_points(row.accuracy)} | {less} "
            f"| {row.macs:,} | {row.latency_ms:.3f} | {row.model_bytes:,.0f} |"
        )
    lines.append("")
    lines += [f"{name}: {text}" for name, text in METHODS.items()]
    worst = max((row.worst_torch_difference for row in comparison.rows), default=0.0)
    lines.append(f"accuracies are at most {100 * worst:.3f} points from those in torch")
    sizes = {row.method: row.model_bytes for row in comparison.rows if row.ratio == 0}
    if {"joint", "dense"} <= sizes.keys():
        levels = sum(row.method == "joint" for row in comparison.rows)
        times = sizes["joint"] / sizes["dense"]
        lines.append(
            f"the file of all {levels} ratios is {times:.3f} times the dense model file, where "
            f"a file for each ratio would be {levels} times"
        )
    if comparison.mixed_plans:
        lines.append(
            f"{comparison.mixed_inside} of {comparison.mixed_plans} plans that mix two adjacent "
            "levels are between both, or within a point"
        )
    if comparison.missing:
        lines.append(f"not done: {', '.join(comparison.missing)}")
    return "\n".join(lines)


def draw(comparison: Comparison, path: Path) -> None:
    """Write the chart of accuracy by ratio, a line per method."""
    import matplotlib as mpl  # noqa: PLC0415 - of the bench extra

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axis = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    for method in METHODS:
        rows = [row for row in comparison.rows if row.method == method]
        if rows:
            axis.errorbar(
                [row.ratio for row in rows],
                [100 * row.accuracy.mean for row in rows],
                yerr=[100 * (row.accuracy.half_width or 0.0) for row in rows],
                marker="o",
                capsize=3,
                label=method,
                linewidth=2.5 if method == "joint" else 1.2,
            )
    axis.set_xlabel("pruning ratio")
    axis.set_ylabel("accuracy through the executor, %")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _row(
    method: str,
    ratio: float,
    seeds: dict[int, dict[str, Any]],
    found: dict[tuple[str, float], dict[int, dict[str, Any]]],
) -> Row:
    joint = found.get(("joint", ratio), {})
    pairs = [seeds[s]["accuracy"] - joint[s]["accuracy"] for s in seeds if s in joint]
    values = list(seeds.values())
    return Row(
        method=method,
        ratio=ratio,
        accuracy=estimate([value["accuracy"] for value in values]),
        minus_joint=estimate(pairs) if pairs and method != "joint" else None,
        worst_torch_difference=max(abs(v["accuracy"] - v["accuracy_torch"]) for v in values),
        macs=round(sum(value["macs"] for value in values) / len(values)),
        latency_ms=sorted(value["latency_ms"] for value in values)[len(values) // 2],
        model_bytes=sum(value["bytes"] for value in values) / len(values),
    )


def _between(mixed: dict[str, Any], levels: Sequence[dict[str, Any]]) -> bool:
    ends = [levels[mixed["level"] + i]["accuracy"] for i in (0, 1)]
    accuracy = float(mixed["accuracy"])
    return bool(min(ends) - 0.01 <= accuracy <= max(ends) + 0.01)


def _points(value: Estimate, sign: str = "") -> str:
    mean = format(100 * value.mean, f"{sign}.2f")
    return mean if value.half_width is None else f"{mean} +- {100 * value.half_width:.2f}"
