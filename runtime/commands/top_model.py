# SPDX-License-Identifier: Apache-2.0
"""One model of a server's state as lines: the level in use, latencies, levels, changes of plan."""

import textwrap
import time
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from aio.runtime.commands.top_fit import Item, Section, packed
from aio.runtime.printing import MISSING, milliseconds, number, text_table

BARS = "▁▂▃▄▅▆▇█"
COLOURS = ("blue", "cyan", "green", "yellow", "red")  # from dense to sparse
CHANGES = 6
LEVELS_RANK, CHANGES_RANK, SPACE_RANK = 1, 3, 5

State = dict[str, Any]


def model_sections(model: State, width: int) -> list[Section]:
    """Return the parts of a look at one model; the first ones are shown whole."""
    used = _used(model)
    heading = [
        *titled(_title(model), width),
        *map(Text, packed(_in_use(model, used), width)),
        *map(Text, packed(_figures(model), width)),
        _sparkline(model, width),
    ]
    header, *rows = _levels(model, used)
    return [
        Section("", [Text()], rank=SPACE_RANK),
        Section("", heading),
        Section("levels", [header], [[row] for row in rows], max(used, default=0), LEVELS_RANK),
        Section("changes", items=_changes(model["decisions"], width), rank=CHANGES_RANK),
    ]


def titled(parts: Sequence[str], width: int) -> Item:
    """Return lines of the parts, the first one bold."""
    lines = [Text(line) for line in packed(parts, width)]
    lines[0].stylize("bold", 0, len(parts[0]))
    return lines


def _title(model: State) -> list[str]:
    counts, threads = model["counts"], model["threads"]
    return [
        model["name"],
        model["policy"],
        model["isa"],
        f"{threads} thread{'' if threads == 1 else 's'}",
        f"{counts['inferences']} inferences",
        f"{counts['plan_changes']} changes of plan",
    ]


def _used(model: State) -> list[int]:
    """Return the levels of the last inference; the sparsest one bounds its accuracy."""
    last = model["last"]
    return [] if last is None else last["levels"] or [last["level"]]


def _in_use(model: State, used: Sequence[int]) -> list[str]:
    """Say the level in use as the page does, and what the accuracy floor does."""
    levels = model["levels"]
    if used:
        level = levels[max(used)]
        accuracy = level["accuracy"]
        known = "not recorded" if accuracy is None else _percent(accuracy, 2)
        parts = [f"in use: level {max(used)}", f"{_zeros(level)} zeros", f"accuracy {known}"]
        if model["last"]["plan"] != f"level {max(used)}":
            parts.append(f"plan: {model['last']['plan']}")
    else:
        parts = ["in use: no level yet"]
    barred = len(levels) - len(model["allowed_levels"])
    if model["min_accuracy"] is not None:
        floor = _percent(model["min_accuracy"], 2)
        parts.append(f"accuracy floor {floor} bars {barred} of {len(levels)} levels")
    return parts


def _figures(model: State) -> list[str]:
    window, target_ms = model["window"], model["target_ms"]
    return [
        "no target" if target_ms is None else f"target {milliseconds(target_ms)} ms",
        *(f"{name} {milliseconds(window[f'{name}_ms'])}" for name in ("p50", "p95", "p99")),
        f"over target {_percent(window['over_target'])}",
        f"{window['per_second']:.1f} inferences/s",
    ]


def _sparkline(model: State, width: int) -> Text:
    """Return the slowest latency of each part of the recent points, coloured by level."""
    points: Sequence[Sequence[Any]] = model["points"]
    text = Text("latency ", "dim")
    if not points:
        return text.append("no request yet", "default")
    top = max(point[1] for point in points) or 1.0
    highest = f"  highest {milliseconds(top)} ms"
    columns = max(1, min(width - len(text) - len(highest), len(points)))
    for i in range(columns):
        part = points[i * len(points) // columns : (i + 1) * len(points) // columns]
        point = max(part, key=lambda point: float(point[1]))
        bar = BARS[min(len(BARS) - 1, int(point[1] / top * len(BARS)))]
        text.append(bar, _colour(point[3], len(model["levels"])))
    return text.append(highest, "dim")


def _levels(model: State, used: Sequence[int]) -> Item:
    """Return a header and a line for each level, marked in words and in colours."""
    total, levels = model["counts"]["inferences"], model["levels"]
    rows, styles = [], ["dim"]
    for level in levels:
        index = level["index"]
        barred = index not in model["allowed_levels"]
        rows.append(
            [
                " ".join(["> in use"] * (index in used) + ["x barred"] * barred),
                str(index),
                _zeros(level),
                _percent(level["accuracy"], 2),
                milliseconds(level["predicted_ms"]),
                _percent(level["inferences"] / total if total else None),
            ]
        )
        style = "dim" if barred else _colour(index, len(levels))
        styles.append(f"bold {style}" if index in used else style)
    table = text_table(["", "level", "zeros", "accuracy", "would take ms", "used"], rows)
    return [Text(*line) for line in zip(table.splitlines(), styles, strict=True)]


def _changes(decisions: Sequence[State], width: int) -> list[Item]:
    """Return the last changes, newest first, each with its whole reason."""
    if not decisions:
        return [[Text("the plan has not changed yet", "dim")]]
    last = decisions[: -CHANGES - 1 : -1]
    plan_width = max(len(decision["plan"]) for decision in last)
    items = []
    for decision in last:
        at = time.strftime("%H:%M:%S", time.localtime(decision["time_s"]))
        text = f"{at}  {decision['plan']:<{plan_width}}  {decision['reason']}"
        indent = " " * (len(at) + 2)
        lines = [Text(line) for line in textwrap.wrap(text, width, subsequent_indent=indent)]
        lines[0].stylize("dim", 0, len(at))
        items.append(lines)
    return items


def _zeros(level: State) -> str:
    return f"{100 * level['ratio']:.4g} %"


def _percent(part: float | None, digits: int = 0) -> str:
    return MISSING if part is None else f"{number(100 * part, f'.{digits}f')} %"


def _colour(level: int, levels: int) -> str:
    return COLOURS[round(level / max(levels - 1, 1) * (len(COLOURS) - 1))]
