// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them. What is not known is a word, never 0.

export const MISSING = "not readable here";

/** Return a latency with three significant digits, without its unit. */
export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value >= 1 ? value.toFixed(2) : value.toFixed(3);
}

export function mhz(khz) {
  return khz === null || khz === undefined ? "–" : (khz / 1000).toFixed(0);
}

export function percent(part, digits = 0) {
  return part === null || part === undefined ? "–" : (part * 100).toFixed(digits);
}

/** Return a part of 1 as percent, rounded down: what is said to be reached must be. */
export function percentDown(part) {
  return part === null ? "–" : (Math.floor(part * 1e4 + 1e-6) / 100).toFixed(2);
}

export function count(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1e6) return `${(value / 1e6).toFixed(value < 1e7 ? 2 : 1)}M`;
  return value >= 1e4 ? `${(value / 1e3).toFixed(value < 1e5 ? 1 : 0)}k` : `${value}`;
}

export function rate(value) {
  if (!value) return "0";
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

export function clockTime(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.round(seconds / 86400)} days`;
}
