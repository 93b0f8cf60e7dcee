// SPDX-License-Identifier: Apache-2.0
// The page: a stream of snapshots in, everything shown from the newest one.

import { Charts } from "./charts.js";
import { setUpControls, showControls } from "./controls.js";
import { dark } from "./colours.js";
import { setUpDigit, showDigit } from "./digit.js";
import { $, make, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { History } from "./history.js";
import { showChanges, showLevels, showRamp } from "./lists.js";
import { setToken, whenRefused } from "./server.js";
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
let trouble = "The page is connecting …"; // why what is shown is not of now; empty if it is

const feed = new Feed({
  event(snapshot) {
    newest = snapshot;
    trouble = "";
    for (const model of snapshot.models) {
      if (!histories.has(model.name)) histories.set(model.name, new History());
      histories.get(model.name).add(snapshot, model);
    }
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      show();
    });
  },
  lost(message) {
    trouble = `${message}. Trying again …`;
    show();
  },
});

whenRefused((presented) => {
  feed.stop();
  trouble = "This server wants its token.";
  setText($("token-error"), presented ? "This token is not one of the server's." : "");
  $("token-form").hidden = false;
  $("token").focus();
  show();
});

/** Show the newest snapshot, and whether it is of now. */
function show() {
  const { models, server } = newest ?? { models: [], server: null };
  const model = models.find((one) => one.name === chosen) ?? models[0] ?? null;
  showState(server, model);
  if (newest !== null) showFacts(newest, model);
  choices(models, model);
  showControls(model);
  showDigit(model);
  if (model === null) return;
  setText($("model"), model.name);
  const history = histories.get(model.name);
  showTiles(newest, model);
  charts.show(history, model, newest);
  showLevels(model);
  showChanges(history, model);
  showDevice(newest, model);
  if ($("ramp").childElementCount !== model.levels.length) showRamp(model);
}

function showState(server, model) {
  const state = trouble ? "gone" : model === null && server.state === "ready" ? "no model" : server.state;
  $("state").dataset.state = state;
  $("state").title = trouble || state;
  setText($("state-text"), trouble || state);
  document.body.classList.toggle("stale", trouble !== "" || model === null);
  const name = model === null ? "aio-serve" : `${model.name} – aio-serve`;
  document.title = trouble ? `(no answer) ${name}` : name;
  const loading = server?.state === "loading" ? "The model is being loaded and calibrated …" : "No model is loaded.";
  const stopping = server?.state === "stopping" ? "The server is stopping …" : "";
  // The form for the token says it already.
  banner($("token-form").hidden ? trouble || (model === null ? loading : stopping) : "");
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
  show();
});

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!setToken($("token").value.trim())) {
    setText($("token-error"), "A token has only letters, digits and - . _ ~ + / of the English alphabet.");
    return;
  }
  $("token").value = "";
  $("token-form").hidden = true;
  trouble = "Asking with this token …";
  feed.start();
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
  if (newest) show();
});
setUpControls();
setUpDigit();
feed.start();
