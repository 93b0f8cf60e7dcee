// SPDX-License-Identifier: Apache-2.0
// The page: a stream of snapshots in, everything shown from the newest one.

import { Charts } from "./charts.js";
import { setUpControls, showControls } from "./controls.js";
import { dark } from "./colours.js";
import { setUpDigit, showDigit } from "./digit.js";
import { $, make, setText } from "./dom.js";
import { History } from "./history.js";
import { showChanges, showLevels, showRamp } from "./lists.js";
import { Stream, setToken } from "./server.js";
import { showDevice, showFacts, showTiles } from "./tiles.js";

const SPANS = [
  ["30 s", "30 seconds", 30],
  ["1 min", "minute", 60],
  ["10 min", "10 minutes", 600],
];

const histories = new Map();
const charts = new Charts();
let chosen = null;
let newest = null;
let waiting = false;

const stream = new Stream({
  event(_, snapshot) {
    newest = snapshot;
    for (const model of snapshot.models) {
      if (!histories.has(model.name)) histories.set(model.name, new History());
      histories.get(model.name).add(snapshot, model);
    }
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      show(newest);
    });
  },
  lost(message) {
    $("state").dataset.state = "gone";
    banner(`${message}. Trying again …`);
  },
  refused() {
    $("state").dataset.state = "gone";
    $("token-form").hidden = false;
    $("token").focus();
  },
});

function show(snapshot) {
  const { models, server } = snapshot;
  $("state").dataset.state = server.state;
  $("state").title = server.state;
  const model = models.find((one) => one.name === chosen) ?? models[0] ?? null;
  showFacts(snapshot, model);
  choices(models, model);
  if (model === null) {
    banner(server.state === "loading" ? "The model is being loaded and calibrated …" : "No model is loaded.");
    return;
  }
  banner(server.state === "stopping" ? "The server is stopping …" : "");
  document.title = `${model.name} – aio-serve`;
  setText($("model"), model.name);
  const history = histories.get(model.name);
  showTiles(snapshot, model);
  charts.show(history, model, snapshot);
  showLevels(model);
  showChanges(history, model);
  showControls(model);
  showDevice(snapshot, model);
  showDigit(model);
  if ($("ramp").childElementCount !== model.levels.length) showRamp(model);
}

function choices(models, model) {
  const names = models.map((one) => one.name);
  $("models").hidden = names.length < 2;
  const select = $("model-choice");
  if ([...select.options].map((option) => option.value).join("\n") !== names.join("\n")) {
    select.replaceChildren(...names.map((name) => make("option", { value: name, textContent: name })));
    select.value = model?.name ?? "";
  }
}

function banner(text) {
  $("banner").hidden = !text;
  setText($("banner"), text);
}

$("model-choice").addEventListener("change", (event) => {
  chosen = event.target.value;
  show(newest);
});

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken($("token").value);
  $("token").value = "";
  $("token-form").hidden = true;
  stream.follow();
});

for (const [label, words, seconds] of SPANS) {
  const button = make("button", { type: "button", textContent: label, title: `Show the last ${words}` });
  button.setAttribute("aria-pressed", `${seconds === charts.spanS}`);
  button.addEventListener("click", () => {
    charts.spanS = seconds;
    setText($("span-text"), words);
    [...$("spans").children].forEach((one) => one.setAttribute("aria-pressed", `${one === button}`));
    charts.draw();
  });
  $("spans").append(button);
}

dark.addEventListener("change", () => {
  $("ramp").replaceChildren();
  if (newest) show(newest);
});
setUpControls();
setUpDigit();
stream.follow();
