# SPDX-License-Identifier: Apache-2.0
"""A server's state as tables for a terminal. What is not known is a word, never 0."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aio.runtime.printing import MISSING, megahertz, milliseconds, number

UNREADABLE = "not readable here"
BARS = "▁▂▃▄▅▆▇█"
COLOURS = ("blue", "cyan", "green", "yellow", "red")  # from dense to sparse
CHANGES = 6
WIDTH = 60

State = dict[str, Any]


def screen(state: State) -> RenderableType:
    """Return everything `aio top` shows of one state."""
    parts: list[RenderableType] = [_head(state)]
    if not state["models"]:
        parts.append(Text(f"no model is loaded; the server is {state['server']['state']}"))
    parts.append(_clocks(state["device"]))
    for model in state["models"]:
        parts += [Text(), *_model(model)]
    return Group(*parts)


def _head(state: State) -> Text:
    server, queue = state["server"], state["queue"]
    return Text.assemble(
        (f"{server['name']} {server['version']}", "bold"),
        f"  {server['state']}  up {server['uptime_s']:.0f} s",
        f"  queue {queue['length']} of {queue['limit']}",
    )


def _clocks(device: State | None) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for name, reading in _readings(device):
        table.add_row(Text(name, "dim"), Text(reading))
    return table


def _readings(device: State | None) -> Iterator[tuple[str, str]]:
    if device is None:
        return
    clock = device["clock"]
    for policy in clock["policies"]:
        reading = _clock(policy["cur_khz"], policy["max_khz"])
        yield policy["name"], f"{reading}  {policy['governor'] or ''}".rstrip()
    if not clock["policies"]:
        yield f"CPU by {clock['driver']}", _clock(clock["cpu_khz"], clock["max_khz"])
    for gpu in device["gpus"]:
        heat = "" if gpu["celsius"] is None else f"  {gpu['celsius']:.0f} °C"
        yield gpu["name"], _clock(gpu["cur_khz"], gpu["max_khz"]) + heat
    warm = [f"{zone['celsius']:.0f} °C {zone['name']}" for zone in _known(device, "celsius")]
    yield "heat", ", ".join(warm) or UNREADABLE
    power = [f"{rail['watts']:.2f} W {rail['name']}" for rail in _known(device, "watts")]
    yield "power", ", ".join(power) or UNREADABLE
    if device["throttled"] is not None:
        yield "limited by heat", "yes" if device["throttled"] else "no"
    if device["power"]["source"] is not None:
        yield "runs on", "mains" if device["power"]["source"] == "ac" else "battery"


def _known(device: State, unit: str) -> list[State]:
    group = "temperatures" if unit == "celsius" else "rails"
    return [item for item in device[group] if item[unit] is not None]


def _clock(cur_khz: int | None, max_khz: int | None) -> str:
    if cur_khz is None:
        return UNREADABLE
    return megahertz(cur_khz) + ("" if max_khz is None else f" of {megahertz(max_khz)}")


def _model(model: State) -> list[RenderableType]:
    window, counts = model["window"], model["counts"]
    target_ms = model["target_ms"]
    target = "no target" if target_ms is None else f"target {milliseconds(target_ms)} ms"
    figures = [
        target,
        *(f"{name} {milliseconds(window[f'{name}_ms'])}" for name in ("p50", "p95", "p99")),
        f"over target {_percent(window['over_target'])}",
        f"{window['per_second']:.1f} inferences/s",
    ]
    title = f"  {model['policy']}, {model['isa']}, {model['threads']} threads"
    total = f", {counts['inferences']} inferences, {counts['plan_changes']} changes of plan"
    return [
        Text.assemble((model["name"], "bold"), title, total),
        Text("  ".join(figures)),
        _sparkline(model),
        _levels(model),
        _changes(model["decisions"]),
    ]


def _sparkline(model: State) -> Text:
    """Return the slowest latency of each part of the recent points, coloured by level."""
    points: Sequence[Sequence[Any]] = model["points"]
    text = Text("latency ", "dim")
    if not points:
        return text.append("no request yet", "default")
    columns = min(WIDTH, len(points))
    parts = [
        points[i * len(points) // columns : (i + 1) * len(points) // columns]
        for i in range(columns)
    ]
    slowest = [max(part, key=lambda point: float(point[1])) for part in parts]
    top = max(point[1] for point in slowest) or 1.0
    for point in slowest:
        bar = BARS[min(len(BARS) - 1, int(point[1] / top * len(BARS)))]
        text.append(bar, _colour(point[3], len(model["levels"])))
    return text.append(f"  highest {milliseconds(top)} ms", "dim")


def _levels(model: State) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
    for name in ("level", "zeros", "accuracy", "would take ms", "used"):
        table.add_column(name, justify="right")
    total = model["counts"]["inferences"]
    last = model["last"]
    for level in model["levels"]:
        index = level["index"]
        style = _colour(index, len(model["levels"]))
        if index not in model["allowed_levels"]:
            style = "dim strike"
        elif last is not None and index in last["levels"]:
            style = f"bold {style}"
        table.add_row(
            str(index),
            _percent(level["ratio"]),
            _percent(level["accuracy"], 2),
            milliseconds(level["predicted_ms"]),
            _percent(level["inferences"] / total if total else None),
            style=style,
        )
    return table


def _changes(decisions: Sequence[State]) -> RenderableType:
    if not decisions:
        return Text("the plan has not changed yet", "dim")
    table = Table.grid(padding=(0, 2))
    for decision in decisions[: -CHANGES - 1 : -1]:
        at = time.strftime("%H:%M:%S", time.localtime(decision["time_s"]))
        table.add_row(Text(at, "dim"), Text(decision["plan"]), Text(decision["reason"]))
    return table


def _percent(part: float | None, digits: int = 0) -> str:
    return MISSING if part is None else f"{number(100 * part, f'.{digits}f')} %"


def _colour(level: int, levels: int) -> str:
    return COLOURS[round(level / max(levels - 1, 1) * (len(COLOURS) - 1))]
