// SPDX-License-Identifier: Apache-2.0
// The controls: what is in force, and asking for something else.
//
// What somebody types or drags is theirs until the server has taken it: nothing else writes into
// it, moves the focus or throws it away.

import { $, setText } from "./dom.js";
import { ask } from "./server.js";
import { FLOOR, TARGET, parse } from "./settings.js";

const SETTLE_MS = 500; // a tick from before a change may come after its answer

let model = null;
let controls = [];

export function setUpControls() {
  controls = [TARGET, FLOOR].map((setting) => new Control(setting));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
}

/** Show what is in force in the model; without one there is nothing to set. */
export function showControls(now) {
  const other = now?.name !== model?.name;
  model = now;
  $("control-fields").disabled = now === null;
  for (const control of controls) {
    if (other) control.forget();
    if (now !== null) control.show();
  }
}

class Control {
  constructor(setting) {
    this.setting = setting;
    this.field = $(setting.id);
    this.slider = $(`${setting.id}-slider`);
    this.error = $(`${setting.id}-error`);
    this.hint = $(`${setting.id}-hint`);
    this.busy = false;
    this.forget();
    this.field.addEventListener("input", () => {
      this.touched = true;
      if (!this.wrong()) this.complain("");
    });
    this.field.addEventListener("change", () => this.commit());
    this.field.addEventListener("keydown", (event) => this.key(event));
    this.slider.addEventListener("input", () => this.write(setting.atPlace(Number(this.slider.value), this.scale)));
    this.slider.addEventListener("change", () => this.commit());
    $(`${setting.id}-reset`).addEventListener("click", () => this.send(null));
  }

  /** Drop what belongs to another model, or what somebody gave up. */
  forget() {
    this.touched = false; // since the server took the last value
    this.wanted = undefined; // what to ask for next, null being the default
    this.settled = 0;
    this.placed = undefined; // the value that the slider shows
    this.scale = [0, 1]; // on which it shows it
    this.complain("");
  }

  show() {
    setText(this.hint, this.setting.hint(model));
    if (this.touched || this.busy || performance.now() < this.settled) return;
    this.put(this.setting.current(model));
  }

  put(value) {
    const text = value === null ? "" : this.setting.text(value);
    if (this.field.value !== text) this.field.value = text;
    // The scale moves with the clock; under somebody's fingers it stays, or a step would be a leap.
    if (document.activeElement === this.slider && value === this.placed) return;
    this.placed = value;
    this.scale = this.setting.scale(model);
    const [min, max] = this.setting.places(this.scale);
    Object.assign(this.slider, { min, max, value: Math.round(this.setting.placeOf(value, this.scale)) });
    this.slider.setAttribute("aria-valuetext", value === null ? "none" : this.setting.said(value));
  }

  write(value) {
    this.touched = true;
    this.field.value = this.setting.text(value);
    this.slider.setAttribute("aria-valuetext", this.setting.said(value));
  }

  key(event) {
    if (event.key === "Escape") {
      this.forget();
      this.show();
      return;
    }
    const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const value = parse(this.field.value);
    if (!direction || !(value > 0)) return;
    event.preventDefault();
    const step = this.setting.step(value);
    const next = Math.round(value / step + direction) * step;
    if (this.setting.wrong(next, model)) return;
    this.write(next);
    this.commit();
  }

  wrong() {
    const { name, example } = this.setting;
    const text = this.field.value.trim();
    if (text === "") return "";
    const value = parse(text);
    if (Number.isNaN(value)) return `${name}: “${text}” is not a number; write it like ${example}.`;
    const why = this.setting.wrong(value, model);
    return why && `${name} ${why}.`;
  }

  complain(text) {
    setText(this.error, text);
    this.field.setAttribute("aria-invalid", `${text !== ""}`);
  }

  commit() {
    const wrong = this.wrong();
    this.complain(wrong);
    if (wrong) return;
    this.send(this.field.value.trim() === "" ? null : parse(this.field.value));
  }

  /** Ask for a value, one request at a time; of what comes meanwhile only the last is asked for. */
  async send(value) {
    this.wanted = value;
    this.touched = false;
    if (this.busy) return;
    this.busy = true;
    while (this.wanted !== undefined) await this.ask();
    this.busy = false;
    if (model !== null) this.show();
  }

  async ask() {
    const { name } = model;
    const value = this.wanted;
    this.wanted = undefined;
    try {
      const wire = value === null ? null : this.setting.toWire(value);
      const answer = await ask("/control", { model: name, [this.setting.key]: wire });
      if (model?.name !== name) return;
      Object.assign(model, answer);
      this.complain("");
      setText(this.hint, this.setting.hint(model));
      if (this.wanted === undefined && !this.touched) this.put(this.setting.current(model));
      this.settled = performance.now() + SETTLE_MS;
    } catch (error) {
      if (model?.name !== name) return;
      this.complain(`${this.setting.name}: ${error.message}`);
      this.touched = value !== null;
    }
  }
}
