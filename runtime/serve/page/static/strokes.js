// SPDX-License-Identifier: Apache-2.0
// From strokes of a pen to the 8x8 image that the digit model was trained on.
//
// Those images were made so: the digit fills a box of 32x32 binary pixels in height, its width
// kept, and its lines were thickened or thinned to about the same amount of ink; then each pixel of the 8x8 image
// is the count of set pixels in a block of 4x4, 0 to 16. Strokes are normalised before they are
// drawn, so neither the size nor the pen matters.

const SIDE = 32;
const BLOCK = 4;
export const GRID = SIDE / BLOCK;
const WIDEST = 24; // digits leave the outer columns free
const INK = 310; // pixels set, the mean over the training images
const THINNEST = 1.2;
const THICKEST = 4.5; // radius in pixels
const MARGIN = 2.2; // half a line's usual width

/** Return the 64 values of the image, 0 to 16, or null where nothing was drawn. */
export function image(strokes) {
  const points = strokes.flat();
  if (points.length === 0) return null;
  const lines = fit(strokes, bounds(points));
  let low = THINNEST;
  let high = THICKEST;
  for (let step = 0; step < 8; step++) {
    const middle = (low + high) / 2;
    if (count(raster(lines, middle)) < INK) low = middle;
    else high = middle;
  }
  return blocks(raster(lines, (low + high) / 2));
}

function bounds(points) {
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  return {
    left: Math.min(...xs),
    top: Math.min(...ys),
    width: Math.max(...xs) - Math.min(...xs),
    height: Math.max(...ys) - Math.min(...ys),
  };
}

/** Return the strokes in the box: as high as it, in its middle, proportions kept. */
function fit(strokes, box) {
  const inner = SIDE - 2 * MARGIN;
  const scale = Math.min(
    inner / Math.max(box.height, 1e-6),
    (WIDEST - 2 * MARGIN) / Math.max(box.width, 1e-6),
  );
  // A digit wider than high would be squeezed in height only; its height may stretch instead.
  const high = Math.min(inner / Math.max(box.height, 1e-6), scale * 1.6);
  const x0 = SIDE / 2 - (box.left + box.width / 2) * scale;
  const y0 = SIDE / 2 - (box.top + box.height / 2) * high;
  return strokes.map((stroke) =>
    stroke.map((point) => ({ x: point.x * scale + x0, y: point.y * high + y0 })),
  );
}

function raster(lines, radius) {
  const pixels = new Uint8Array(SIDE * SIDE);
  for (const line of lines) {
    for (let at = 0; at < line.length; at++) {
      dab(pixels, line[at], line[Math.min(at + 1, line.length - 1)], radius);
    }
  }
  return pixels;
}

/** Set the pixels whose centres are within `radius` of the line from a to b. */
function dab(pixels, a, b, radius) {
  const top = Math.max(0, Math.floor(Math.min(a.y, b.y) - radius));
  const bottom = Math.min(SIDE - 1, Math.ceil(Math.max(a.y, b.y) + radius));
  const left = Math.max(0, Math.floor(Math.min(a.x, b.x) - radius));
  const right = Math.min(SIDE - 1, Math.ceil(Math.max(a.x, b.x) + radius));
  const dx = b.x - a.x;
  const dy = b.y - a.y;
  const length = dx * dx + dy * dy;
  for (let row = top; row <= bottom; row++) {
    for (let column = left; column <= right; column++) {
      const px = column + 0.5 - a.x;
      const py = row + 0.5 - a.y;
      const along = length ? Math.max(0, Math.min(1, (px * dx + py * dy) / length)) : 0;
      const away = (px - along * dx) ** 2 + (py - along * dy) ** 2;
      if (away <= radius * radius) pixels[row * SIDE + column] = 1;
    }
  }
}

function count(pixels) {
  return pixels.reduce((sum, pixel) => sum + pixel, 0);
}

function blocks(pixels) {
  const values = new Array(GRID * GRID).fill(0);
  pixels.forEach((pixel, at) => {
    const row = Math.floor(at / SIDE / BLOCK);
    values[row * GRID + Math.floor((at % SIDE) / BLOCK)] += pixel;
  });
  return values;
}
