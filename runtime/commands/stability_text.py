# SPDX-License-Identifier: Apache-2.0
"""The figures of `aio bench --stability` as tables, what is emulated labelled as such."""

from collections.abc import Callable, Sequence

from aio.runtime.benchmark.stability import scenarios
from aio.runtime.benchmark.stability.figures import Stability
from aio.runtime.benchmark.stability.neighbour import NeighbourResult
from aio.runtime.benchmark.stability.pace_cost import PaceCost
from aio.runtime.benchmark.stability.realtime import SPEEDS, ThievesResult
from aio.runtime.benchmark.stability.run import ModelStability
from aio.runtime.printing import MISSING, milliseconds, number

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
SHOWN_AFTER_STEP = (1, 2, 3, 4, 5, 8, 12)
WITHIN = 0.05


def stability_text(result: ModelStability, table: Table) -> str:
    """Return everything about one model."""
    parts = [
        f"{result.path}: target {milliseconds(result.target_ms)} ms, "
        "what the densest level takes here at full clock",
        _governors(result, table),
        _hidden_steps(result, table),
        _halved(result, table),
        _costs(result.costs, table),
    ]
    if result.thieves is not None:
        parts.append(_thieves(result.thieves, table))
    if result.neighbour is not None:
        parts.append(_neighbour(result.neighbour, table))
    parts += [f"not measured: {reason}" for reason in result.missing]
    return "\n\n".join(parts)


def _governors(result: ModelStability, table: Table) -> str:
    header = ["contestant", "governor", "clocks", "mean ms", "spread", "CV", "p99 / target"]
    header += ["worst / target", "plan changes per clock change"]
    rows = [
        [
            contestant,
            governor,
            str(s.clocks),
            milliseconds(s.mean_ms),
            f"{s.spread:.1%}",
            f"{s.cv:.1%}",
            f"{s.p99_ms / s.target_ms:.2f}",
            number(s.worst_of_target, ".2f"),
            _changes(s),
        ]
        for contestant, by_governor in result.governors.items()
        for governor, s in by_governor.items()
    ]
    count = next(iter(next(iter(result.governors.values())).values())).requests
    return (
        f"Emulated {scenarios.BOARD} in virtual time, ladder of a {scenarios.SPAN:g}x span, "
        f"{count:,} requests each, {scenarios.NOISE:.0%} noise.\n"
        "spread: (max - min) / mean over the mean latencies of the clocks\n\n" + table(header, rows)
    )


def _changes(s: Stability) -> str:
    per_change = s.changes_per_clock_change
    ratio = MISSING if per_change is None else f"{per_change:.2f}"
    return f"{ratio} ({s.plan_changes} / {s.clock_changes})"


def _hidden_steps(result: ModelStability, table: Table) -> str:
    header = ["step", "contestant", *[str(n) for n in SHOWN_AFTER_STEP], "within 5 % from"]
    rows = [
        [
            step,
            contestant,
            *[f"{latencies[n - 1]:.2f}" for n in SHOWN_AFTER_STEP],
            _settled(latencies),
        ]
        for step, by_contestant in result.hidden_steps.items()
        for contestant, latencies in by_contestant.items()
    ]
    return (
        "Emulated, no sensor shows it: latency / target of the n-th inference after a step, median "
        "of trials\n\n" + table(header, rows)
    )


def _settled(latencies: Sequence[float]) -> str:
    """Return the first inference from which on all are near the target."""
    for first in range(len(latencies)):
        if all(abs(latency - 1.0) <= WITHIN for latency in latencies[first:]):
            return f"inference {first + 1}"
    return "never"


def _halved(result: ModelStability, table: Table) -> str:
    header = ["adaptive", "p50", "p95", "p99", "max"]
    rows = [
        [name, *[f"{_quantile(values, q):.3f}" for q in (0.5, 0.95, 0.99, 1.0)]]
        for name, values in result.halved.items()
    ]
    count = len(next(iter(result.halved.values())))
    return (
        f"Emulated, the clock halves in the middle of an inference, at a random layer, {count:,} "
        "times: latency / target\n\n" + table(header, rows)
    )


def _quantile(values: Sequence[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(q * len(ordered)), len(ordered) - 1)]


def _costs(costs: Sequence[PaceCost], table: Table) -> str:
    rows = [
        [
            str(cost.level),
            f"{cost.without_us.median:.1f}",
            f"{cost.overhead:+.2%}",
            f"{cost.standard_error:.2%}",
        ]
        for cost in costs
    ]
    header = ["level", "without us", "cost", "standard error"]
    return (
        "Measured: what holding the time against the plan costs, in pairs of runs with and without"
        "\n\n" + table(header, rows)
    )


def _thieves(result: ThievesResult, table: Table) -> str:
    header = ["subject", *[f"{speed:g}" for speed in SPEEDS], "CV", "max / min"]
    rows = []
    for name, live in result.subjects.items():
        medians = [live.by_speed[speed].p50_ms for speed in SPEEDS]
        cells = [
            f"{live.by_speed[speed].p50_ms / result.target_ms:.2f} "
            f"({live.by_speed[speed].p95_ms / result.target_ms:.2f})"
            for speed in SPEEDS
        ]
        rows.append([name, *cells, f"{live.overall.cv:.1%}", f"{max(medians) / min(medians):.2f}"])
    return (
        "Measured in real time under clock thieves (an emulated clock): median (p95) latency / "
        f"target of {_call(result)}, by speed\n\n{table(header, rows)}\n{_errors(result)}"
    )


def _neighbour(result: NeighbourResult, table: Table) -> str:
    header = ["subject", "requests", "p50 ms", "p95 ms", "p99 ms", "CV"]
    rows = [
        [
            name,
            str(s.requests),
            milliseconds(s.p50_ms),
            milliseconds(s.p95_ms),
            milliseconds(s.p99_ms),
            f"{s.cv:.1%}",
        ]
        for name, s in result.subjects.items()
    ]
    return (
        "Measured beside stress-ng coming and going on the same core, nothing emulated: target of "
        f"{_call(result)}\n\n{table(header, rows)}\n{_errors(result)}"
    )


def _call(result: ThievesResult | NeighbourResult) -> str:
    samples = "one sample" if result.batch == 1 else f"a batch of {result.batch}"
    return f"{milliseconds(result.target_ms)} ms for {samples}"


def _errors(result: ThievesResult | NeighbourResult) -> str:
    error = result.prediction_error
    if error is None:
        return "prediction error: not known"
    return (
        f"prediction error of the adaptive policy, last {error.count} calls: "
        f"median {error.median:.1%}, p95 {error.p95:.1%}"
    )
