// SPDX-License-Identifier: Apache-2.0
// What the page remembers of one model: ticks and points, both bounded, oldest first.

const TICKS = 3200; // ten minutes and a little, at five a second
const POINTS = 12000;
const CHANGES = 200;
const TICK_S = 0.2;
const GAP_S = 2; // of the server or of this page; a busy device may be a little late
const UNKNOWN = { p50: null, p95: null, target: null, ratio: null, level: null, clocks: {} };

export class History {
  constructor() {
    this.forget();
  }

  forget() {
    this.ticks = [];
    this.points = [];
    this.changes = [];
  }

  /** Take in a snapshot; `model` is the part of it that this history is about. */
  add(snapshot, model) {
    if (snapshot.time_s < this.newest() - GAP_S) this.forget(); // the server's clock was set back
    const clocks = clocksOf(snapshot.device);
    const before = this.points.at(-1)?.[0] ?? -Infinity;
    const fresh = model.points.filter((point) => point[0] > before);
    if (snapshot.time_s - this.newest() > GAP_S) this.backfill(fresh, clocks);
    push(this.points, fresh, POINTS);
    const { window, last } = model;
    this.tick({
      time: Math.max(snapshot.time_s, this.newest()),
      p50: window.p50_ms,
      p95: window.p95_ms,
      target: model.target_ms,
      ratio: last?.ratio ?? null,
      level: last?.level ?? null,
      clocks: Object.fromEntries(clocks.map((clock) => [clock.name, clock.khz])),
    });
    const known = this.changes.at(-1)?.time_s ?? -Infinity;
    push(this.changes, model.decisions.filter((change) => change.time_s > known + 1e-3), CHANGES);
  }

  newest() {
    return this.ticks.at(-1)?.time ?? -Infinity;
  }

  /** What nobody watched is known from the points of that time, as far as there are any. */
  backfill(points, clocks) {
    for (const [time, , , level, ratio, target, khz] of points) {
      if (time - this.newest() < TICK_S) continue;
      const shown = clocks.length === 1 ? { [clocks[0].name]: khz } : {};
      this.tick({ ...UNKNOWN, time, target, ratio, level, clocks: shown });
    }
  }

  /** Add a tick, and one of nothing where a line would otherwise be drawn over unknown time. */
  tick(tick) {
    const before = this.newest();
    const gap = { ...UNKNOWN, time: before + TICK_S, gap: true };
    push(this.ticks, tick.time - before > GAP_S && before > 0 ? [gap, tick] : [tick], TICKS);
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
