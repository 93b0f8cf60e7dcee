// SPDX-License-Identifier: Apache-2.0
// The colour of each level, from dense to sparse, for light and for dark ground.

const LIGHT = [[53, 70, 200], [14, 134, 168], [44, 150, 84], [208, 143, 12], [214, 90, 30]];
const DARK = [[126, 142, 255], [60, 186, 214], [88, 201, 128], [243, 190, 70], [250, 130, 76]];

export const dark = matchMedia("(prefers-color-scheme: dark)");

/** Return the colour of a level among so many. */
export function levelColour(level, levels) {
  const stops = dark.matches ? DARK : LIGHT;
  const at = levels > 1 ? (level / (levels - 1)) * (stops.length - 1) : 0;
  const below = Math.min(stops.length - 2, Math.floor(at));
  const part = at - below;
  const mixed = stops[below].map((value, i) => Math.round(value + part * (stops[below + 1][i] - value)));
  return `rgb(${mixed.join(" ")})`;
}

/** Return a colour of the style sheet. */
export function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
