// SPDX-License-Identifier: Apache-2.0
// The figures of now, and the readings of the device.

import { $, make, setText } from "./dom.js";
import { MISSING, count, duration, mhz, ms, percent, percentDown, rate } from "./format.js";
import { clocksOf } from "./history.js";

const TILES = {
  clock: (snapshot) => {
    const [clock] = clocksOf(snapshot.device);
    if (!clock || clock.khz === null) return { title: "Clock", text: MISSING, mood: "none", note: snapshot.device?.clock.error ?? "" };
    const more = clocksOf(snapshot.device).length - 1;
    return {
      title: `Clock, ${clock.name}${more > 0 ? ` and ${more} more` : ""}`,
      text: mhz(clock.khz),
      unit: "MHz",
      note: clock.max ? `of ${mhz(clock.max)}` : "",
      part: clock.max ? clock.khz / clock.max : null,
    };
  },
  level: (snapshot, model) => {
    if (!model.last) return { title: "Level", text: "no request yet", mood: "none", note: `${model.levels.length} levels` };
    const { level, ratio, plan } = model.last;
    return { title: "Level", text: `${level}`, unit: `${percent(ratio)} % zeros`, note: plan };
  },
  accuracy: (snapshot, model) => {
    const accuracy = model.last ? model.levels[model.last.level].accuracy : null;
    if (accuracy === null) return { title: "Accuracy", text: model.last ? "not recorded" : "–", mood: "none", note: "" };
    const best = Math.max(...model.levels.map((level) => level.accuracy ?? 0));
    return { title: "Accuracy of this level", text: percentDown(accuracy), unit: "%", note: `best level ${percentDown(best)} %` };
  },
  p50: (_, model) => latency("p50", model, "p50_ms", model.target_ms === null ? "no target" : `target ${ms(model.target_ms)} ms`),
  p95: (_, model) => latency("p95", model, "p95_ms", `p99 ${ms(model.window.p99_ms)} ms`),
  over: (_, model) => {
    const part = model.window.over_target;
    const missed = model.counts.deadlines ? `${count(model.counts.deadlines_missed)} deadlines missed` : `last ${Math.round(model.window.seconds)} s`;
    if (part === null) return { title: "Over target", text: "–", mood: "none", note: missed };
    return { title: "Over target", text: percent(part, 1), unit: "%", note: missed };
  },
  rate: (_, model) => ({
    title: "Inferences",
    text: rate(model.window.per_second),
    unit: "per s",
    note: `${count(model.counts.inferences)} in all`,
  }),
  queue: (snapshot, model) => ({
    title: "Queue",
    text: `${snapshot.queue.length}`,
    unit: `of ${snapshot.queue.limit}`,
    note: `${count(model.counts.replans)} replans`,
    hint: "Replans: during a call, layers still to run were moved to another level, as those before took more or less time than planned",
  }),
};

function latency(title, model, key, note) {
  const value = model.window[key];
  if (value === null) return { title: `Latency ${title}`, text: "–", mood: "none", note };
  const late = title === "p50" && model.target_ms !== null && value > model.target_ms * 1.1;
  return { title: `Latency ${title}`, text: ms(value), unit: "ms", note, mood: late ? "bad" : "" };
}

const made = new Map();

export function showTiles(snapshot, model) {
  for (const [name, describe] of Object.entries(TILES)) {
    if (!made.has(name)) made.set(name, tile());
    const parts = made.get(name);
    const { title, text, unit = "", note = "", mood = "", hint = "", part = null } = describe(snapshot, model);
    setText(parts.title, title);
    setText(parts.value, text);
    setText(parts.unit, unit);
    setText(parts.note, note);
    parts.box.dataset.mood = mood;
    parts.box.title = hint;
    parts.bar.hidden = part === null;
    parts.fill.style.width = `${Math.min(1, part ?? 0) * 100}%`;
  }
}

function tile() {
  const title = make("h2");
  const value = make("span");
  const unit = make("small");
  const note = make("p");
  const fill = make("i");
  const bar = make("div", { className: "bar", hidden: true }, fill);
  const box = make("div", { className: "tile" }, title, make("strong", {}, value, unit), note, bar);
  $("tiles").append(box);
  return { box, title, value, unit, note, bar, fill };
}

export function showFacts(snapshot, model) {
  const { server } = snapshot;
  const facts = [`${server.name} ${server.version}`, `up ${duration(server.uptime_s)}`];
  if (model) {
    const threads = model.threads === 1 ? "1 thread" : `${model.threads} threads`;
    facts.unshift(`policy ${model.policy}`, model.isa, threads);
  }
  $("facts").replaceChildren(...facts.map((textContent) => make("li", { textContent })));
}

export function showDevice(snapshot, model) {
  const rows = snapshot.device ? readings(snapshot.device) : [];
  rows.push(["measured / predicted", model.residual.toFixed(2)]);
  const cells = rows.flatMap(([name, value]) => [
    make("dt", { textContent: name }),
    make("dd", { textContent: value ?? MISSING, className: value === null ? "none" : "" }),
  ]);
  $("device").replaceChildren(...cells);
}

function readings(device) {
  const { clock, gpus, temperatures, rails, power, quota } = device;
  const rows = clock.policies.map((policy) => [
    `${policy.name}, CPU ${policy.cpus.join(" ")}`,
    policy.cur_khz === null ? null : `${mhz(policy.cur_khz)} of ${mhz(policy.limit_khz ?? policy.max_khz)} MHz, ${policy.governor ?? "governor unknown"}`,
  ]);
  if (rows.length === 0) rows.push([`CPU clock`, clock.cpu_khz === null ? null : `${mhz(clock.cpu_khz)} MHz by ${clock.driver}`]);
  for (const gpu of gpus) {
    const parts = [gpu.cur_khz === null ? null : `${mhz(gpu.cur_khz)} MHz`, gpu.celsius === null ? null : `${gpu.celsius.toFixed(0)} °C`];
    rows.push([gpu.name, parts.filter(Boolean).join(", ") || null]);
  }
  if (temperatures.length === 0) rows.push(["temperature", null]);
  rows.push(...temperatures.map(({ name, celsius }) => [name, celsius === null ? null : `${celsius.toFixed(1)} °C`]));
  rows.push(["limited by heat", device.throttled === null ? null : device.throttled ? "yes" : "no"]);
  if (rails.length === 0) rows.push(["power", null]);
  rows.push(...rails.map(({ name, watts }) => [name, watts === null ? null : `${watts.toFixed(2)} W`]));
  const battery = power.battery === null ? "" : `, ${percent(power.battery)} %`;
  rows.push(["runs on", power.source === null ? null : `${power.source === "ac" ? "mains" : "battery"}${battery}`]);
  if (quota.cpus !== null) rows.push(["CPU quota", `${quota.cpus} CPUs`]);
  return rows;
}
