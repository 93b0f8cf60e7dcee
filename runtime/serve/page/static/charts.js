// SPDX-License-Identifier: Apache-2.0
// Latency, ratio and clocks over one time axis, drawn by uPlot.

import { cssColour, dark, levelColour } from "./colours.js";
import { $, make } from "./dom.js";
import { clockTime, mhz, ms, percent } from "./format.js";
import { clocksOf } from "./history.js";

const AXIS = 56; // width of the y axes, so that the plots stand above each other
// uPlot scales only whole pixels for dense screens.
const FONT = "12px Inter, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, system-ui, sans-serif";
const CLOCKS = [2, 0.5, 3.2, 1.2, 3.9];
const HEADROOM = 1.15;
const HOLDS_S = 2; // how long the ratio of an inference is shown when none follows

export class Charts {
  constructor() {
    this.spanS = 60;
    this.history = null;
    this.model = null;
    this.clocks = [];
    this.skewS = 0; // of the server's clock against this one
    this.hovered = null; // index of the tick under the cursor
    this.plots = [];
    dark.addEventListener("change", () => this.build());
    new ResizeObserver(() => this.resize()).observe($("latency-chart"));
  }

  show(history, model, snapshot) {
    const clocks = clocksOf(snapshot.device);
    const changed =
      model.levels.length !== this.model?.levels.length ||
      clocks.map((clock) => clock.name).join() !== this.clocks.map((clock) => clock.name).join();
    Object.assign(this, { history, model, clocks });
    this.skewS = snapshot.time_s - Date.now() / 1000;
    this.clockError = snapshot.device?.clock.error ?? null;
    if (changed || this.plots.length === 0) this.build();
    this.draw();
  }

  build() {
    if (this.model === null) return;
    this.plots.forEach((plot) => plot.destroy());
    this.plots = [this.latency(), this.ratio(), this.clock()];
    this.draw();
  }

  resize() {
    for (const plot of this.plots) {
      const box = plot.root.parentElement;
      if (box.clientWidth) plot.setSize({ width: box.clientWidth, height: box.clientHeight });
    }
  }

  draw() {
    if (this.plots.length === 0) return;
    const ticks = this.history.ticks;
    const [latency, ratio, clock] = this.plots;
    const times = ticks.map((tick) => tick.time);
    const column = (name) => ticks.map((tick) => tick[name]);
    latency.setData([times, column("p95"), column("p50"), column("target")]);
    ratio.setData([times, column("ratio")]);
    clock.setData([times, ...this.clocks.map(({ name }) => ticks.map((tick) => tick.clocks[name] ?? null))]);
    this.empty("latency-chart", this.history.points.length ? "" : "No request yet");
    const unread = this.clockError ? `CPU clock not readable here: ${this.clockError}` : "No clock readable here";
    this.empty("clock-chart", this.clocks.length ? "" : unread);
    this.readouts();
  }

  empty(id, text) {
    const box = $(id);
    let note = box.querySelector(".empty");
    if (!text) note?.remove();
    else if (note) note.textContent = text;
    else box.append(make("p", { className: "empty", textContent: text }));
  }

  range() {
    const now = Date.now() / 1000 + this.skewS;
    return [now - this.spanS, now];
  }

  options(id, axes, series, scale, hooks = {}) {
    const box = $(id);
    const line = { stroke: cssColour("quiet"), font: FONT, ticks: { show: false } };
    const grid = { stroke: cssColour("grid"), width: 1 };
    return [
      {
        width: box.clientWidth,
        height: box.clientHeight,
        padding: [6, 4, axes.labelled ? 0 : 4, 0],
        legend: { show: false },
        cursor: {
          y: false,
          points: { show: false },
          drag: { x: false, y: false },
          sync: { key: "aio", setSeries: false },
        },
        scales: { x: { time: false, range: () => this.range() }, y: scale },
        axes: [
          {
            ...line,
            grid,
            space: 90,
            size: axes.labelled ? 24 : 2,
            gap: 4,
            incrs: [5, 10, 15, 30, 60, 120, 300],
            values: axes.labelled ? (_, splits) => splits.map(clockTime) : () => [],
          },
          { ...line, grid, size: AXIS, gap: 6, space: axes.space ?? 34, values: axes.values, incrs: axes.incrs },
        ],
        series: [{}, ...series],
        hooks: {
          ...hooks,
          setCursor: [(plot) => this.hover(plot.cursor.idx, plot.cursor.left)],
        },
      },
      [[], ...series.map(() => [])],
      box,
    ];
  }

  latency() {
    const series = [
      { stroke: cssColour("p95"), width: 1.5, points: { show: false } },
      { stroke: cssColour("p50"), width: 2, points: { show: false } },
      { stroke: cssColour("target"), width: 1.5, dash: [6, 4], points: { show: false } },
    ];
    const scale = { range: () => [0, this.ceiling()] };
    const hooks = { drawAxes: [(plot) => this.points(plot)] };
    const axes = { values: (_, splits) => splits.map((value) => (value >= 10 ? value.toFixed(0) : `${+value.toPrecision(3)}`)) };
    return new uPlot(...this.options("latency-chart", axes, series, scale, hooks));
  }

  /** The top of the latency axis: what nearly all points need; the few above lie on the edge. */
  ceiling() {
    const visible = this.visible().map((point) => point[1]).sort((a, b) => a - b);
    const target = this.model.target_ms ?? 0;
    const most = visible[Math.floor(visible.length * 0.985)] ?? 0;
    return Math.max(target * 1.4, most * HEADROOM) || 1;
  }

  visible() {
    const from = this.range()[0];
    const points = this.history.points;
    let first = points.length;
    while (first > 0 && points[first - 1][0] >= from) first--;
    return points.slice(first);
  }

  clip(plot, paint) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    paint(ctx, bbox);
    ctx.restore();
  }

  points(plot) {
    const levels = this.model.levels.length;
    const colours = this.model.levels.map((level) => levelColour(level.index, levels));
    const size = 3.4 * devicePixelRatio;
    const top = plot.scales.y.max;
    this.clip(plot, (ctx, bbox) => {
      ctx.globalAlpha = 0.75;
      for (const [time, latency, , level] of this.visible()) {
        const x = plot.valToPos(time, "x", true);
        const y = latency > top ? bbox.top + size / 2 : plot.valToPos(latency, "y", true);
        ctx.fillStyle = colours[level];
        ctx.fillRect(x - size / 2, y - size / 2, size, size);
      }
    });
  }

  ratio() {
    const series = [{ stroke: "transparent", points: { show: false } }];
    const hooks = { drawAxes: [(plot) => this.steps(plot)] };
    const axes = { values: (_, splits) => splits.map((value) => percent(value)), incrs: [0.25, 0.5], space: 18 };
    return new uPlot(...this.options("ratio-chart", axes, series, { range: [0, 1] }, hooks));
  }

  steps(plot) {
    const levels = this.model.levels.length;
    const ground = plot.valToPos(0, "y", true);
    const at = (time) => Math.round(plot.valToPos(time, "x", true));
    this.clip(plot, (ctx) => {
      for (const { from, until, level, ratio } of runs(this.visible())) {
        const x = at(from);
        const width = Math.max(1, at(until) - x);
        const y = plot.valToPos(ratio, "y", true);
        ctx.fillStyle = levelColour(level, levels);
        ctx.globalAlpha = 0.22;
        ctx.fillRect(x, y, width, ground - y);
        ctx.globalAlpha = 1;
        ctx.fillRect(x, y - devicePixelRatio, width, 2 * devicePixelRatio);
      }
    });
  }

  clock() {
    const stepped = uPlot.paths.stepped({ align: 1 });
    const series = this.clocks.map((_, at) => ({
      stroke: this.clockColour(at),
      width: 2,
      points: { show: false },
      paths: stepped,
    }));
    const axes = { labelled: true, values: (_, splits) => splits.map(mhz), space: 26 };
    const scale = { range: (_, __, most) => [0, this.clockTop(most)] };
    return new uPlot(...this.options("clock-chart", axes, series, scale));
  }

  clockTop(most) {
    return 1.06 * Math.max(most ?? 0, ...this.clocks.map((clock) => clock.max ?? 0)) || 1e6;
  }

  clockColour(at) {
    return levelColour(CLOCKS[at % CLOCKS.length], 5);
  }

  hover(index, left) {
    this.hovered = left >= 0 ? (index ?? null) : null;
    this.readouts();
  }

  readouts() {
    const ticks = this.history.ticks;
    const tick = ticks[this.hovered ?? ticks.length - 1];
    if (!tick) return;
    const at = this.hovered === null ? [] : [clockTime(tick.time)];
    const line = (colour, label, value, dashed = false) => {
      const mark = make("i", { className: dashed ? "dashed" : "", style: { borderColor: colour } });
      return make("span", {}, mark, `${label} `, make("em", { textContent: value }));
    };
    $("latency-readout").replaceChildren(
      ...at,
      line(cssColour("p50"), "p50", ms(tick.p50)),
      line(cssColour("p95"), "p95", ms(tick.p95)),
      line(cssColour("target"), "target", tick.target === null && !tick.gap ? "none" : ms(tick.target), true),
    );
    const level = tick.level === null ? "–" : `${percent(tick.ratio)} % at level ${tick.level}`;
    $("ratio-readout").replaceChildren(make("em", { textContent: level }));
    $("clock-readout").replaceChildren(
      ...this.clocks.map(({ name }, i) => line(this.clockColour(i), name, mhz(tick.clocks[name]))),
    );
  }
}

/** Return the times in which the level stayed the same. */
function runs(points) {
  const found = [];
  for (const [time, , , level, ratio] of points) {
    const last = found.at(-1);
    if (last) last.until = Math.min(last.until, time);
    if (last?.level === level && last.until === time) last.until = time + HOLDS_S;
    else found.push({ from: time, until: time + HOLDS_S, level, ratio });
  }
  return found;
}
