# SPDX-License-Identifier: Apache-2.0
"""The profile as one HTML file that needs nothing else, readable on light and on dark.

Needs plotly, whose script is inside the file.
"""

import html
import json

import plotly.graph_objects as go
import plotly.io
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from aio.runtime.profiling.charts import bands, boundaries, colours, cumulative, series
from aio.runtime.profiling.result import Profile
from aio.runtime.profiling.text import profile_text

FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --text: #1c1c1c; --back: #ffffff; --warn: #fff3cd; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --text: #e6e6e6; --back: #16181c; --warn: #4a3b00; }} }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back);
  max-width: 1100px; margin: 2em auto; padding: 0 1em; }}
pre {{ overflow-x: auto; font-size: 12px; line-height: 1.35; }}
.emulated {{ background: var(--warn); padding: .6em 1em; border-radius: 6px; }}
h2 {{ font-size: 1.15em; margin-top: 2em; }}
</style><script>{script}</script></head><body>
<h1>{title}</h1>
{emulated}
{charts}
<h2>Figures</h2><pre>{table}</pre>
<h2>Environment</h2><details><summary>{machine}</summary><pre>{environment}</pre></details>
<script>
const dark = window.matchMedia("(prefers-color-scheme: dark)");
function colour() {{
  const text = dark.matches ? "#e6e6e6" : "#1c1c1c";
  const grid = dark.matches ? "#3a3d44" : "#dddddd";
  for (const chart of document.querySelectorAll(".plotly-graph-div")) {{
    const change = {{ "font.color": text }};
    for (const axis of Object.keys(chart._fullLayout).filter(k => /^[xy]axis[0-9]*$/.test(k))) {{
      change[axis + ".gridcolor"] = grid;
      change[axis + ".linecolor"] = text;
    }}
    Plotly.relayout(chart, change);
  }}
}}
dark.addEventListener("change", colour);
colour();
</script></body></html>
"""
CLEAR = "rgba(0,0,0,0)"
TARGET = {"line_dash": "dash", "line_color": "#888888", "annotation_text": "target"}


def html_report(profile: Profile) -> str:
    """Return the report."""
    figures = {
        "Latency against frequency": _frequency(profile),
        "Clock, level and latency in time": _time(profile),
        "Distribution": _distribution(profile),
    }
    charts = "".join(
        f"<h2>{title}</h2>"
        + plotly.io.to_html(
            figure,
            config={"displayModeBar": False},  # it covers titles where there is no pointer
            include_plotlyjs=False,
            full_html=False,
            div_id=f"chart{k}",
        )
        for k, (title, figure) in enumerate(figures.items())
    )
    environment = profile.environment
    return FRAME.format(
        title=html.escape(f"aio profile: {profile.model}"),
        script=get_plotlyjs(),
        emulated=_banner(profile),
        charts=charts,
        table=html.escape(profile_text(profile)),
        machine=html.escape(f"{environment['cpu']}, kernel {environment['kernel']}"),
        environment=html.escape(json.dumps(environment, indent=2, default=str)),
    )


def _banner(profile: Profile) -> str:
    words = []
    if profile.emulated:
        what = html.escape(profile.emulated)
        words.append(f"<b>Emulated.</b> {what}. No measurement of the board.")
    if profile.recording.interrupted:
        cause = html.escape(profile.recording.interrupted)
        words.append(f"<b>Partial.</b> Interrupted by {cause}.")
    return "".join(f'<p class="emulated">{text}</p>' for text in words)


def _layout(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        template="none",
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        height=height,
        margin={"l": 70, "r": 20, "t": 40, "b": 60},
        legend={"orientation": "h", "y": 1.08},
    )
    return figure


def _frequency(profile: Profile) -> go.Figure:
    figure, colour = go.Figure(), colours(profile)
    for band in bands(profile):
        own = {"legendgroup": band.subject, "mode": "lines"}
        edge = {**own, "line_width": 0, "showlegend": False, "hoverinfo": "skip"}
        figure.add_scatter(x=band.mhz, y=band.low_ms, **edge)
        shade = _faint(colour[band.subject])
        figure.add_scatter(x=band.mhz, y=band.high_ms, fill="tonexty", fillcolor=shade, **edge)
        figure.add_scatter(
            x=band.mhz,
            y=band.p50_ms,
            name=band.subject,
            line_color=colour[band.subject],
            **{**own, "mode": "lines+markers"},
        )
    _mark_target(figure, profile)
    figure.update_xaxes(title=f"{_emulated(profile)}CPU clock (MHz)")
    figure.update_yaxes(title="latency of a call (ms), median and p5 to p95", rangemode="tozero")
    return _layout(figure, 460)


def _time(profile: Profile) -> go.Figure:
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.04)
    colour = colours(profile)
    for one in series(profile):
        rows = (one.latency_ms, one.mhz, one.ratio)
        for row, values in enumerate(rows, start=1):
            figure.add_trace(
                go.Scattergl(
                    x=one.seconds,
                    y=values,
                    mode="markers",
                    marker={"size": 3, "color": colour[one.subject]},
                    name=one.subject,
                    legendgroup=one.subject,
                    showlegend=row == 1,
                ),
                row=row,
                col=1,
            )
    for second, label in boundaries(profile):
        figure.add_vline(x=second, line_width=1, line_color="#888888")
        figure.add_annotation(
            x=second, y=1, yref="y domain", text=label, showarrow=False, xanchor="left", yshift=10
        )
    figure.update_yaxes(title="latency (ms)", type="log", row=1, col=1)
    figure.update_yaxes(title=f"{_emulated(profile)}clock (MHz)", row=2, col=1)
    figure.update_yaxes(title="pruning ratio", row=3, col=1)
    figure.update_xaxes(title="time (s)", row=3, col=1)
    return _layout(figure, 720)


def _distribution(profile: Profile) -> go.Figure:
    visits = profile.recording.visits
    labels = [visit.point.label for visit in visits]
    figure = make_subplots(
        rows=1, cols=max(len(visits), 1), shared_yaxes=True, subplot_titles=labels
    )
    colour = colours(profile)
    for index in range(len(visits)):
        for info in profile.subjects:
            values = [sample.latency_ms for sample in profile.steady(info.name, index)]
            if not values:
                continue
            x, y = cumulative(values)
            figure.add_trace(
                go.Scatter(
                    x=x,
                    y=y,
                    mode="lines",
                    line={"color": colour[info.name], "shape": "hv"},
                    name=info.name,
                    legendgroup=info.name,
                    showlegend=index == 0,
                ),
                row=1,
                col=index + 1,
            )
    figure.update_xaxes(title="latency (ms)", type="log")
    figure.update_yaxes(title="part of the calls", col=1)
    return _layout(figure, 400).update_layout(legend_y=-0.25)


def _mark_target(figure: go.Figure, profile: Profile) -> None:
    if profile.target_ms is not None:
        figure.add_hline(y=profile.target_ms, **TARGET)


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"


def _emulated(profile: Profile) -> str:
    return "emulated " if profile.emulated else ""
