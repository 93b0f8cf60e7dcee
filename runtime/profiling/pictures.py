# SPDX-License-Identifier: Apache-2.0
"""The charts as PNG, for papers. Needs matplotlib."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from aio.runtime.profiling.charts import bands, boundaries, boxes, colours, series
from aio.runtime.profiling.result import Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 200
STYLE: Any = {  # matplotlib's own type lists every key
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}
MARK: dict[str, Any] = {"color": "0.35", "linestyle": "--", "linewidth": 1}


def draw(profile: Profile, which: str) -> bytes:
    """Return a chart: frequency, time or distribution."""
    with mpl.rc_context(STYLE):
        figure = CHARTS[which](profile)
        figure.suptitle(_title(profile), fontsize=8, color="0.3")
        FigureCanvasAgg(figure)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI)
    return content.getvalue()


def _title(profile: Profile) -> str:
    head, _, emulated = profile.title.partition("; ")
    return f"{head}\n{emulated}" if emulated else head


def _frequency(profile: Profile) -> Figure:
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    colour = colours(profile)
    for band in bands(profile):
        axes.fill_between(
            band.mhz, band.low_ms, band.high_ms, color=colour[band.subject], alpha=0.15, lw=0
        )
        axes.plot(band.mhz, band.p50_ms, "o-", ms=4, color=colour[band.subject], label=band.subject)
    _mark_target(axes, profile)
    axes.set(xlabel=f"{_emulated(profile)}CPU clock (MHz)", ylabel="latency of a call (ms)")
    axes.set_ylim(bottom=0)
    _legend(figure, axes, "median; shaded: 5th to 95th percentile")
    return figure


def _time(profile: Profile) -> Figure:
    figure = Figure(figsize=(8.0, 5.6), layout="constrained")
    rows: list[Axes] = list(figure.subplots(3, 1, sharex=True))
    colour = colours(profile)
    for one in series(profile):
        style: dict[str, Any] = {"ls": "", "marker": ".", "ms": 2.5, "color": colour[one.subject]}
        rows[0].plot(one.seconds, one.latency_ms, label=one.subject, **style)
        rows[1].plot(one.seconds, np.array(one.mhz, float), **style)
        if any(ratio is not None for ratio in one.ratio):
            rows[2].plot(one.seconds, np.array(one.ratio, float), **style)
    _mark_target(rows[0], profile)
    for second, label in boundaries(profile):
        for axes in rows:
            axes.axvline(second, color="0.6", lw=0.8)
        rows[0].annotate(
            label, (second, 1.0), xycoords=("data", "axes fraction"), fontsize=7, va="bottom"
        )
    rows[0].set(ylabel="latency (ms)", yscale="log")
    rows[1].set(ylabel=f"{_emulated(profile)}clock (MHz)")
    rows[2].set(ylabel="pruning ratio", xlabel="time (s)", ylim=(-0.05, 1.0))
    rows[0].yaxis.set_major_formatter(ScalarFormatter())
    rows[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    rows[0].yaxis.set_minor_formatter(NullFormatter())
    handles, labels = rows[0].get_legend_handles_labels()
    where: dict[str, Any] = {"loc": "outside lower center", "ncols": min(len(labels), 5)}
    figure.legend(handles, labels, fontsize=8, markerscale=3, **where)
    return figure


def _distribution(profile: Profile) -> Figure:
    found, colour = boxes(profile), colours(profile)
    labels = list(dict.fromkeys(box.point for box in found))
    figure = Figure(figsize=(max(6.4, 1.4 * len(labels)), 4.0), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(profile.subjects)
    for place, info in enumerate(profile.subjects):
        own = [box for box in found if box.subject == info.name]
        stats = [
            {"whislo": b.p1_ms, "q1": b.p25_ms, "med": b.p50_ms, "q3": b.p75_ms, "whishi": b.p99_ms}
            for b in own
        ]
        if not stats:
            continue
        drawn = axes.bxp(
            stats,
            positions=[labels.index(b.point) + (place + 0.5) * width - 0.4 for b in own],
            widths=0.8 * width,
            showfliers=False,
            patch_artist=True,
            medianprops={"color": "black"},
        )
        for patch in drawn["boxes"]:
            patch.set(facecolor=colour[info.name], alpha=0.75)
        drawn["boxes"][0].set_label(info.name)
    _mark_target(axes, profile)
    axes.set_xticks(range(len(labels)), labels)
    axes.set(ylabel="latency of a call (ms)", ylim=(0, None))
    axes.set_xlabel(f"{_emulated(profile)}governor or clock")
    _legend(figure, axes, "box: quartiles; whiskers: 1st and 99th percentile")
    return figure


def _mark_target(axes: "Axes", profile: Profile) -> None:
    if profile.target_ms is not None:
        axes.axhline(profile.target_ms, label="target", **MARK)


def _legend(figure: Figure, axes: "Axes", title: str) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        where: dict[str, Any] = {"loc": "outside lower center", "ncols": min(len(labels), 5)}
        figure.legend(handles, labels, title=title, title_fontsize=8, fontsize=8, **where)
    else:
        axes.text(0.5, 0.5, "no clock is known here", ha="center", transform=axes.transAxes)


def _emulated(profile: Profile) -> str:
    return "emulated " if profile.emulated else ""


CHARTS: dict[str, Callable[[Profile], Figure]] = {
    "frequency": _frequency,
    "time": _time,
    "distribution": _distribution,
}
