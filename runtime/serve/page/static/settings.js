// SPDX-License-Identifier: Apache-2.0
// Target and accuracy floor: how each is written, what is allowed, and where it is on its slider.

import { ms, percentDown } from "./format.js";

const LEAST_MS = 0.001;
const STEPS = 1000;
const PARTS = 100; // accuracies are set in hundredths of a percent

/** Return what was typed as a number, with a point or a comma; NaN if it is none. */
export function parse(text) {
  const plain = text.trim().replace(",", ".");
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : NaN;
}

export const TARGET = {
  id: "target",
  key: "target_ms",
  name: "Latency target",
  example: "1.5",
  current: (model) => model.target_ms,
  toWire: (value) => value,
  text: (value) => `${+value.toPrecision(4)}`,
  said: (value) => `${ms(value)} ms`,
  step: (value) => 10 ** Math.floor(Math.log10(value) - 1),
  wrong(value) {
    if (value === Infinity) return "too large a number";
    return value < LEAST_MS ? `must be at least ${LEAST_MS} ms` : "";
  },
  hint(model) {
    if (model.target_ms === null) return "no target";
    const battery = model.battery_target_ms === null ? "" : `; ${ms(model.battery_target_ms)} ms on battery`;
    return `${ms(model.target_ms)} ms in force, ${model.given_target_ms === null ? "default" : "given"}${battery}`;
  },
  // In equal ratios, from what the sparsest level takes to four times the densest.
  scale(model) {
    const known = model.levels.map((level) => level.predicted_ms).filter((value) => value > 0);
    return known.length ? [Math.min(...known) / 1.5, Math.max(...known) * 4] : [0.1, 1000];
  },
  places: () => [0, STEPS],
  atPlace: (place, [low, high]) => low * (high / low) ** (place / STEPS),
  placeOf: (value, [low, high]) => (value === null ? STEPS : (Math.log(value / low) / Math.log(high / low)) * STEPS),
};

export const FLOOR = {
  id: "accuracy",
  key: "min_accuracy",
  name: "Accuracy floor",
  example: "95.5",
  current: (model) => (model.min_accuracy === null ? null : model.min_accuracy * 100),
  // Rounded, so that a decimal becomes the same number that an accuracy of that decimal is.
  toWire: (value) => +(value / 100).toFixed(8),
  text: (value) => `${+value.toFixed(4)}`,
  said: (value) => `${FLOOR.text(value)} %`,
  step: () => 0.1,
  wrong(value, model) {
    if (!(value >= 0 && value <= 100)) return "goes from 0 to 100 %";
    const known = accuracies(model);
    if (known.length === 0) return "needs recorded accuracies, and this model has none";
    const best = Math.max(...known);
    return FLOOR.toWire(value) > best ? `can't be met: the best level has ${percentDown(best)} %` : "";
  },
  hint(model) {
    const floor = model.min_accuracy === null ? "no floor" : `${FLOOR.current(model).toFixed(2)} % in force`;
    return `${floor}, ${model.allowed_levels.length} of ${model.levels.length} levels`;
  },
  // From just below the least accurate level, which is no floor at all, to the most accurate one.
  scale(model) {
    const known = accuracies(model);
    if (known.length === 0) return [0, 100 * PARTS];
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const least = Math.max(0, low - Math.max(0.001, (high - low) / 10));
    return [Math.floor(least * 100 * PARTS), Math.round(percentDown(high) * PARTS)];
  },
  places: (scale) => scale,
  atPlace: (place) => place / PARTS,
  placeOf: (value, [least]) => (value === null ? least : value * PARTS),
};

function accuracies(model) {
  return model.levels.map((level) => level.accuracy).filter((value) => value !== null);
}
