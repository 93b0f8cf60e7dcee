// SPDX-License-Identifier: Apache-2.0
// The table of levels and the log of changes.

import { levelColour } from "./colours.js";
import { $, make, setText } from "./dom.js";
import { clockTime, count, ms, percent, percentDown } from "./format.js";

let rows = [];

export function showLevels(model) {
  const levels = model.levels;
  if (rows.length !== levels.length) {
    rows = levels.map(() => levelRow());
    $("levels").replaceChildren(...rows.map((row) => row.row));
  }
  const slowest = Math.max(...levels.map((level) => level.predicted_ms ?? 0), model.target_ms ?? 0);
  const all = model.counts.inferences;
  const active = new Set(model.last?.plan_levels ?? []);
  levels.forEach((level, at) => {
    const row = rows[at];
    const colour = levelColour(level.index, levels.length);
    const barred = !model.allowed_levels.includes(level.index);
    row.row.className = barred ? "barred" : active.has(level.index) ? "active" : "";
    row.swatch.style.background = colour;
    setText(row.index, `${level.index}`);
    setText(row.ratio, `${percent(level.ratio)} %`);
    setText(row.accuracy, level.accuracy === null ? "not recorded" : `${percentDown(level.accuracy)} %`);
    setText(row.takes, level.predicted_ms === null ? "–" : `${ms(level.predicted_ms)} ms`);
    row.fill.style.width = `${((level.predicted_ms ?? 0) / slowest) * 100}%`;
    row.fill.style.background = colour;
    row.mark.hidden = model.target_ms === null;
    row.mark.style.left = `calc(${((model.target_ms ?? 0) / slowest) * 100}% - 2px)`;
    setText(row.used, all ? `${percent(level.inferences / all)} %` : "–");
    row.used.title = `${count(level.inferences)} inferences`;
  });
}

function levelRow() {
  const index = make("span");
  const ratio = make("td");
  const swatch = make("i", { className: "swatch" });
  const fill = make("i");
  const mark = make("b", { title: "target" });
  const takes = make("span");
  const accuracy = make("td");
  const used = make("td");
  const track = make("div", { className: "track" }, fill, mark);
  const row = make(
    "tr",
    {},
    make("td", {}, swatch, index),
    ratio,
    accuracy,
    make("td", {}, make("div", { className: "takes" }, track, takes)),
    used,
  );
  return { row, index, ratio, swatch, fill, mark, takes, accuracy, used };
}

export function showRamp(model) {
  const cells = model.levels.map((level) =>
    make("i", { style: { background: levelColour(level.index, model.levels.length) } }),
  );
  $("ramp").replaceChildren(...cells);
}

let shown = null;

export function showChanges(history, model) {
  const newest = history.changes.at(-1) ?? null;
  const key = `${model.name} ${newest?.time_s} ${history.changes.length}`;
  if (key === shown) return;
  shown = key;
  const items = history.changes.toReversed().map((change) => {
    const colour = levelColour(change.level, model.levels.length);
    return make(
      "li",
      {},
      make("time", { textContent: clockTime(change.time_s) }),
      make("i", { className: "swatch", style: { background: colour } }),
      make("p", {}, make("b", { textContent: change.plan }), change.reason),
    );
  });
  const none = make("li", { className: "none", textContent: "The plan has not changed yet." });
  $("changes").replaceChildren(...(items.length ? items : [none]));
  setText($("changes-count"), `${count(model.counts.plan_changes)} in all`);
}
