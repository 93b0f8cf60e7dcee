// SPDX-License-Identifier: Apache-2.0
// What the page remembers of one model: ticks and points, both bounded, oldest first.

const TICKS = 3200; // ten minutes and a little, at five a second
const POINTS = 12000;
const CHANGES = 200;
const TICK_S = 0.2;

export class History {
  constructor() {
    this.ticks = [];
    this.points = [];
    this.changes = [];
  }

  /** Take in a snapshot; `model` is the part of it that this history is about. */
  add(snapshot, model) {
    const clocks = clocksOf(snapshot.device);
    const before = this.points.at(-1)?.[0] ?? -Infinity;
    const fresh = model.points.filter((point) => point[0] > before);
    if (this.ticks.length === 0) this.backfill(fresh, clocks);
    push(this.points, fresh, POINTS);
    const window = model.window;
    const last = model.points.at(-1);
    const tick = {
      time: snapshot.time_s,
      p50: window.p50_ms,
      p95: window.p95_ms,
      target: model.target_ms,
      ratio: last ? last[4] : null,
      level: last ? last[3] : null,
      clocks: Object.fromEntries(clocks.map((clock) => [clock.name, clock.khz])),
    };
    push(this.ticks, [tick], TICKS);
    const known = this.changes.at(-1)?.time_s ?? -Infinity;
    push(this.changes, model.decisions.filter((change) => change.time_s > known + 1e-3), CHANGES);
  }

  /** Where the page was opened later, points tell the clock of the time before. */
  backfill(points, clocks) {
    let time = -Infinity;
    for (const point of points) {
      if (point[0] - time < TICK_S) continue;
      time = point[0];
      const shown = clocks.length === 1 ? { [clocks[0].name]: point[6] } : {};
      const unknown = { p50: null, p95: null };
      this.ticks.push({ time, ...unknown, target: point[5], ratio: point[4], level: point[3], clocks: shown });
    }
  }
}

/** Return {name, khz, max} of every clock: cpufreq policies, or one sensor, then GPUs. */
export function clocksOf(device) {
  if (!device) return [];
  const { clock, gpus } = device;
  let found = clock.policies.map((policy) => ({ name: policy.name, khz: policy.cur_khz, max: policy.max_khz }));
  if (found.length === 0 && clock.error === null) {
    found = [{ name: `CPU by ${clock.driver}`, khz: clock.cpu_khz, max: clock.max_khz }];
  }
  found.push(...gpus.map((gpu) => ({ name: gpu.name, khz: gpu.cur_khz, max: gpu.max_khz })));
  return found;
}

function push(list, items, most) {
  list.push(...items);
  // Seldom, and then much at once: dropping one at a time would move all of it each time.
  if (list.length > most * 1.1) list.splice(0, list.length - most);
}
