// SPDX-License-Identifier: Apache-2.0
// A pad to draw a digit on, asked of the served model like any client would.

import { cssColour, dark } from "./colours.js";
import { $, make } from "./dom.js";
import { ms, percent } from "./format.js";
import { EXAMPLES } from "./examples.js";
import { ask } from "./server.js";
import { GRID, image } from "./strokes.js";

const PEN = 0.075; // of the pad's width
const DEEPEST = 16; // the darkest value of a pixel
const CLASSES = 10;
const LONGEST_WAIT_MS = 10000; // between requests that fail

let model = null;
let strokes = [];
let pen = null; // the pointer that draws
let asking = false;
let stale = false;
let again = null;
let example = 0;
let failures = 0; // one after the other

/** Whether the model takes what the pad gives. */
function takesDigits(candidate) {
  const [input] = candidate.inputs;
  const [output] = candidate.outputs;
  return (
    candidate.inputs.length === 1 &&
    `${input.shape}` === `1,${GRID},${GRID}` &&
    `${output.shape}` === `${CLASSES}`
  );
}

/** Take what is drawn to this model; null if there is none. */
export function showDigit(candidate) {
  const before = model?.name;
  model = candidate !== null && takesDigits(candidate) ? candidate : null;
  $("digit").hidden = model === null;
  if (model === null || model.name === before) return;
  showNothing(strokes.length ? "Not asked yet." : "Nothing drawn yet.");
  if ($("keep").checked) send();
}

export function setUpDigit() {
  const pad = $("pad");
  pad.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    pad.setPointerCapture(event.pointerId);
    pen = event.pointerId;
    strokes.push([place(event)]);
    paint();
    event.preventDefault();
  });
  pad.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pen) return;
    const moves = event.getCoalescedEvents?.() ?? [event];
    strokes.at(-1).push(...(moves.length ? moves : [event]).map(place));
    paint();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    pad.addEventListener(end, (event) => {
      if (event.pointerId !== pen) return;
      pen = null;
      send();
    });
  }
  $("clear").addEventListener("click", clear);
  $("draw").addEventListener("click", () => {
    strokes = EXAMPLES[example++ % EXAMPLES.length].map((stroke) =>
      stroke.map(([x, y]) => ({ x: x * pad.width, y: y * pad.height })),
    );
    paint();
    send();
  });
  $("keep").addEventListener("change", send);
  dark.addEventListener("change", paint);
  const bars = Array.from({ length: CLASSES }, (_, digit) =>
    make("li", {}, make("span", {}, make("i", { style: { height: "0" } })), `${digit}`),
  );
  $("classes").append(...bars);
  paint();
}

function clear() {
  strokes = [];
  showNothing("Nothing drawn yet.");
  paint();
}

function showNothing(why) {
  $("guess").textContent = "\u00a0";
  $("guess-text").textContent = why;
  showClasses(new Array(CLASSES).fill(0));
}

function place(event) {
  const pad = $("pad");
  const box = pad.getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) / box.width) * pad.width,
    y: ((event.clientY - box.top) / box.height) * pad.height,
  };
}

function paint() {
  const pad = $("pad");
  const ctx = pad.getContext("2d");
  ctx.clearRect(0, 0, pad.width, pad.height);
  ctx.strokeStyle = cssColour("ink");
  ctx.lineWidth = PEN * pad.width;
  ctx.lineCap = "round";
  ctx.lineJoin = "round";
  for (const stroke of strokes) {
    ctx.beginPath();
    ctx.moveTo(stroke[0].x, stroke[0].y);
    stroke.forEach((point) => ctx.lineTo(point.x, point.y));
    ctx.stroke();
  }
  const pixels = image(strokes) ?? new Array(GRID * GRID).fill(0);
  const seen = $("seen").getContext("2d");
  const shades = new ImageData(GRID, GRID);
  pixels.forEach((value, at) => {
    const shade = Math.round((value / DEEPEST) * 255);
    shades.data.set([shade, shade, shade, 255], at * 4);
  });
  seen.putImageData(shades, 0, 0);
}

/** Ask for the drawing of now; with "repeat", one request after the other, never two. */
async function send() {
  clearTimeout(again);
  const data = image(strokes);
  if (data === null || model === null) return;
  if (asking) {
    stale = true; // more was drawn meanwhile: ask again when the answer is there
    return;
  }
  asking = true;
  stale = false;
  const began = performance.now();
  const wanted = strokes;
  try {
    const input = { name: model.inputs[0].name, shape: [1, 1, GRID, GRID], datatype: "FP32", data };
    const answer = await ask(`/v2/models/${encodeURIComponent(model.name)}/infer`, { inputs: [input] });
    failures = 0;
    if (wanted === strokes) showAnswer(answer);
  } catch (error) {
    failures++;
    if (wanted === strokes) showNothing(`${error.message}.`);
  }
  asking = false;
  if (stale) send();
  else if ($("keep").checked && !document.hidden) {
    again = setTimeout(send, Math.max(0, pauseMs() - (performance.now() - began)));
  }
}

/** Between two requests; longer and longer where the server is gone or has too much to do. */
function pauseMs() {
  const period = 1000 / Number($("rate").value);
  return failures ? Math.min(LONGEST_WAIT_MS, Math.max(period, 500 * 2 ** failures)) : period;
}

document.addEventListener("visibilitychange", () => {
  if ($("keep").checked) send();
});

function showAnswer(answer) {
  const logits = answer.outputs[0].data;
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b);
  const likely = powers.map((power) => power / sum);
  const best = likely.indexOf(Math.max(...likely));
  const labels = model?.outputs[0].labels;
  const { aio_level: level, aio_ratio: ratio, aio_latency_ms: latency } = answer.parameters;
  $("guess").textContent = labels ? labels[best] : `${best}`;
  $("guess-text").textContent = `${percent(likely[best])} % sure, level ${level} (${percent(ratio)} % zeros), ${ms(latency)} ms`;
  showClasses(likely);
}

function showClasses(likely) {
  const best = likely.indexOf(Math.max(...likely));
  [...$("classes").children].forEach((item, digit) => {
    item.className = likely[digit] > 0 && digit === best ? "best" : "";
    item.querySelector("i").style.height = `${likely[digit] * 100}%`;
  });
}
