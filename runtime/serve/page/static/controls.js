// SPDX-License-Identifier: Apache-2.0
// Target and accuracy floor: what is in force, and asking for something else.

import { $, setText } from "./dom.js";
import { ms, percent } from "./format.js";
import { ask } from "./server.js";

const SLIDER = 1000;
let model = null;
let busy = false;

export function setUpControls() {
  const fields = {
    target: { key: "target_ms", toWire: (value) => value, fromSlider: targetAt },
    accuracy: { key: "min_accuracy", toWire: (value) => value / 100, fromSlider: (part) => 100 * accuracyAt(part) },
  };
  for (const [id, { key, toWire, fromSlider }] of Object.entries(fields)) {
    const field = $(id);
    const slider = $(`${id}-slider`);
    field.addEventListener("change", () => change(key, field.value === "" ? null : toWire(Number(field.value))));
    slider.addEventListener("input", () => {
      field.value = short(fromSlider(slider.value / SLIDER), id);
    });
    slider.addEventListener("change", () => change(key, toWire(Number(field.value))));
    $(`${id}-reset`).addEventListener("click", () => change(key, null));
  }
  $("controls").addEventListener("submit", (event) => event.preventDefault());
}

async function change(key, value) {
  busy = true;
  try {
    const answer = await ask("/control", { model: model.name, [key]: value });
    busy = false;
    $("control-error").textContent = "";
    document.activeElement?.blur();
    showControls({ ...model, ...answer });
  } catch (error) {
    $("control-error").textContent = error.message;
  } finally {
    busy = false;
  }
}

/** Show what is in force, but not over what somebody is typing or dragging. */
export function showControls(now) {
  model = now;
  const given = now.given_target_ms !== null;
  const battery = now.battery_target_ms === null ? "" : `; ${ms(now.battery_target_ms)} ms on battery`;
  setText($("target-hint"), now.target_ms === null ? "no target" : `${ms(now.target_ms)} ms in force, ${given ? "given" : "default"}${battery}`);
  const allowed = now.allowed_levels;
  const floor = now.min_accuracy === null ? "no floor" : `${percent(now.min_accuracy, 2)} % in force`;
  setText($("accuracy-hint"), `${floor}, ${allowed.length} of ${now.levels.length} levels`);
  if (busy) return;
  put("target", now.target_ms === null ? "" : short(now.target_ms, "target"), targetPart(now.target_ms));
  put("accuracy", now.min_accuracy === null ? "" : short(now.min_accuracy * 100, "accuracy"), accuracyPart(now.min_accuracy));
}

function put(id, text, part) {
  const touched = [$(id), $(`${id}-slider`)].includes(document.activeElement);
  if (touched) return;
  if ($(id).value !== text) $(id).value = text;
  $(`${id}-slider`).value = Math.round(part * SLIDER);
}

function short(value, id) {
  return id === "accuracy" ? `${+value.toFixed(2)}` : `${+value.toPrecision(3)}`;
}

// The slider goes, in equal ratios, from what the sparsest level takes to four times the densest.
function ends() {
  const known = model.levels.map((level) => level.predicted_ms).filter((value) => value > 0);
  if (known.length === 0) return [0.1, 1000];
  return [Math.min(...known) / 1.5, Math.max(...known) * 4];
}

function targetAt(part) {
  const [low, high] = ends();
  return low * (high / low) ** part;
}

function targetPart(value) {
  const [low, high] = ends();
  return value === null ? 1 : Math.min(1, Math.max(0, Math.log(value / low) / Math.log(high / low)));
}

// From just below the least accurate level, which is no floor at all, to the most accurate one.
function accuracies() {
  const known = model.levels.map((level) => level.accuracy).filter((value) => value !== null);
  if (known.length === 0) return [0, 1];
  const [low, high] = [Math.min(...known), Math.max(...known)];
  return [Math.max(0, low - Math.max(0.001, (high - low) / 10)), high];
}

function accuracyAt(part) {
  const [low, high] = accuracies();
  return Math.floor((low + part * (high - low)) * 1e4) / 1e4;
}

function accuracyPart(value) {
  const [low, high] = accuracies();
  return value === null || high <= low ? 0 : Math.min(1, Math.max(0, (value - low) / (high - low)));
}
