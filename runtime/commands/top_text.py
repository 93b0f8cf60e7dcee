# SPDX-License-Identifier: Apache-2.0
"""A server's state as lines for a terminal. What is not known is a word, never 0."""

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from aio.runtime.commands.top_fit import Item, Section, fitted, listed
from aio.runtime.commands.top_model import model_sections, titled
from aio.runtime.printing import megahertz, text_table

UNREADABLE = "not readable here"
LIMITED = "limited by heat"
CLOCKS_RANK, READINGS_RANK = 2, 4  # between those of a model

State = dict[str, Any]
Reading = tuple[str, str]  # of what, and what it is


def look(state: State, width: int, height: int | None = None) -> Text:
    """Return what `aio top` shows of one state.

    Args:
        state: as the server answers.
        width: cells of a line.
        height: lines there are; None is as many as needed.
    """
    models = [model_sections(model, width) for model in state["models"]]
    top = [Section("", _head(state, width)), *_device(state["device"], width)]
    sections = [*top, *(section for model in models for section in model)]
    if height is None:
        height = sum(section.most for section in sections)
    shown = len(models)
    # One line is for the names of what else has no room.
    while shown > 1 and sum(section.least for section in sections if not section.rank) >= height:
        shown -= 1
        sections = [*top, *(section for model in models[:shown] for section in model)]
        sections.append(Section("", [_more_models(len(models) - shown)]))
    lines = fitted(sections, height)
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines)


def _more_models(count: int) -> Text:
    return Text(
        f"+ {count} more {'model' if count == 1 else 'models'}; --model NAME shows one", "dim"
    )


def _head(state: State, width: int) -> Item:
    server, queue = state["server"], state["queue"]
    parts = [
        f"{server['name']} {server['version']}",
        server["state"],
        f"up {server['uptime_s']:.0f} s",
        f"queue {queue['length']} of {queue['limit']}",
    ]
    if not state["models"]:
        parts.append(f"no model is loaded; the server is {server['state']}")
    return titled(parts, width)


def _device(device: State | None, width: int) -> list[Section]:
    if device is None:
        return []
    clocks = list(_clocks(device))
    names = [LIMITED, *(name for name, _ in clocks)]
    readings = list(_readings(device, width - max(map(len, names)) - 2))
    rows = [*clocks, *readings]
    lines = [Text(line) for line in text_table(rows[0], rows[1:], left=2).splitlines()]
    for line, (name, _) in zip(lines, rows, strict=True):
        line.stylize("dim", 0, len(name))
    items = [[line] for line in lines]
    return [
        Section("clocks", items=items[: len(clocks)], rank=CLOCKS_RANK),
        Section("readings", items=items[len(clocks) :], rank=READINGS_RANK),
    ]


def _clocks(device: State) -> Iterator[Reading]:
    clock = device["clock"]
    for policy in clock["policies"]:
        reading = _clock(policy["cur_khz"], policy["max_khz"])
        yield policy["name"], f"{reading}  {policy['governor'] or ''}".rstrip()
    if not clock["policies"]:
        yield f"CPU by {clock['driver']}", _clock(clock["cpu_khz"], clock["max_khz"])
    for gpu in device["gpus"]:
        heat = "" if gpu["celsius"] is None else f"  {gpu['celsius']:.0f} °C"
        yield gpu["name"], _clock(gpu["cur_khz"], gpu["max_khz"]) + heat


def _readings(device: State, width: int) -> Iterator[Reading]:
    warm = [f"{zone['celsius']:.0f} °C {zone['name']}" for zone in _known(device, "celsius")]
    yield "heat", listed(warm, width) or UNREADABLE
    power = [f"{rail['watts']:.2f} W {rail['name']}" for rail in _known(device, "watts")]
    yield "power", listed(power, width) or UNREADABLE
    if device["throttled"] is not None:
        yield LIMITED, "yes" if device["throttled"] else "no"
    if device["power"]["source"] is not None:
        yield "runs on", "mains" if device["power"]["source"] == "ac" else "battery"


def _known(device: State, unit: str) -> list[State]:
    group = "temperatures" if unit == "celsius" else "rails"
    return [item for item in device[group] if item[unit] is not None]


def _clock(cur_khz: int | None, max_khz: int | None) -> str:
    if cur_khz is None:
        return UNREADABLE
    return megahertz(cur_khz) + ("" if max_khz is None else f" of {megahertz(max_khz)}")
