# SPDX-License-Identifier: Apache-2.0
"""The state of the server at one moment, as plain data: what the page and `aio top` show.

Clocks are kHz, times ms unless they say otherwise, times of day seconds since 1970. A reading
that is missing is None, never 0.
"""

import math
import time
from typing import TYPE_CHECKING

from aio.governors import Decision
from aio.runtime.records import decision_dict
from aio.runtime.serve.hosting.host import Host, ServedModel
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.page.device import device_dict
from aio.runtime.serve.page.points import POINT_COLUMNS, rows, thin, window_dict
from aio.runtime.version import package_version

if TYPE_CHECKING:
    from aio.runtime.records import InferenceRecord, RuntimeStats
    from aio.runtime.serve.hosting.engine import Engine

NAME = "aio-serve"
ALL_POINTS = 600  # drawn of the whole ring
TICK_POINTS = 60  # drawn of one tick


class Seen:
    """How far one reader of snapshots has read, by model."""

    def __init__(self) -> None:
        self.points: dict[str, int] = {}
        self.decisions: dict[str, int] = {}


class Snapshots:
    """Makes snapshots of one server.

    Args:
        host: the models.
        limits: for the limit of the queue.
    """

    def __init__(self, host: Host, limits: Limits) -> None:
        self._host = host
        self._limits = limits
        self._version = package_version()
        self._started_s = time.monotonic()

    def whole(self) -> dict[str, object]:
        """Return the state with all points and changes that are remembered."""
        return self._make(Seen(), ALL_POINTS)

    def news(self, seen: Seen) -> dict[str, object]:
        """Return the state with what is new since the last call with the same `seen`."""
        return self._make(seen, TICK_POINTS)

    def mark(self, seen: Seen) -> None:
        """Let the next `news` begin from now."""
        for model in self._host.models:
            seen.points[model.spec.name] = model.recent.added
            changes = model.engine.stats().decisions
            seen.decisions[model.spec.name] = changes[-1].time_ns if changes else -1

    def _make(self, seen: Seen, most: int) -> dict[str, object]:
        now_s = time.monotonic()
        offset_s = time.time() - now_s
        return {
            "time_s": round(now_s + offset_s, 3),
            "server": {
                "name": NAME,
                "version": self._version,
                "state": self._host.state.name.lower(),
                "uptime_s": round(now_s - self._started_s, 1),
            },
            "queue": {"length": self._host.dispatcher.pending, "limit": self._limits.queue},
            "device": device_dict(self._host.device),
            "point_columns": POINT_COLUMNS,
            "models": [
                self._model(model, seen, most, now_s, offset_s) for model in self._host.models
            ],
        }

    def _model(
        self, model: ServedModel, seen: Seen, most: int, now_s: float, offset_s: float
    ) -> dict[str, object]:
        name, engine = model.spec.name, model.engine
        stats = engine.stats()
        last = engine.last
        ring, added = model.recent.since(0)
        first = max(0, len(ring) - (added - seen.points.get(name, 0)))
        seen.points[name] = added
        error = stats.prediction_error
        return {
            "name": name,
            "version": model.spec.version,
            "isa": engine.isa,
            "threads": engine.threads,
            "inputs": [{"name": item.name, "shape": list(item.shape)} for item in engine.inputs],
            "outputs": [
                {"name": item.name, "shape": list(item.shape), "labels": item.labels}
                for item in engine.outputs
            ],
            "policy": engine.policy,
            **settings_dict(engine),
            "levels": _levels(engine, stats),
            "last": None if last is None else _last(last),
            "residual": round(stats.residual, 4),
            "prediction_error": error and {"median": error.median, "p95": error.p95},
            "counts": _counts(stats),
            "window": window_dict(ring, now_s),
            "points": rows(thin(ring[first:], most), offset_s),
            "decisions": [
                _decision(decision, offset_s) for decision in _fresh(stats.decisions, seen, name)
            ],
        }


def settings_dict(engine: "Engine") -> dict[str, object]:
    """Return what can be set while serving, as in force; a None target is none or the default."""
    return {
        "target_ms": _finite(engine.target_ms),
        "given_target_ms": _finite(engine.given_target_ms),
        "battery_target_ms": _finite(engine.battery_target_ms),
        "min_accuracy": engine.min_accuracy,
        "allowed_levels": list(engine.allowed_levels),
    }


def _last(record: "InferenceRecord") -> dict[str, object]:
    # `levels` of a record are those that ran, also after a replan; these are what was planned.
    plan = record.plan
    return {**record.as_dict(), "plan_levels": sorted({plan.first, plan.rest})}


def _levels(engine: "Engine", stats: "RuntimeStats") -> list[dict[str, object]]:
    used = {use.level: use.inferences for use in stats.levels}
    return [
        {
            "index": level.index,
            "ratio": level.ratio,
            "accuracy": level.accuracy,
            "predicted_ms": None if level.predicted_ms is None else round(level.predicted_ms, 4),
            "inferences": used.get(level.index, 0),
        }
        for level in engine.levels
    ]


def _counts(stats: "RuntimeStats") -> dict[str, int]:
    return {
        "inferences": stats.inferences,
        "samples": stats.samples,
        "switches": stats.switches,
        "plan_changes": stats.plan_changes,
        "replans": stats.replans,
        "deadlines": stats.deadlines,
        "deadlines_missed": stats.deadlines_missed,
    }


def _fresh(decisions: tuple[Decision, ...], seen: Seen, name: str) -> list[Decision]:
    after = seen.decisions.get(name, -1)
    if decisions:
        seen.decisions[name] = decisions[-1].time_ns
    return [decision for decision in decisions if decision.time_ns > after]


def _decision(decision: Decision, offset_s: float) -> dict[str, object]:
    plain = decision_dict(decision)
    del plain["time_ns"]
    return {"time_s": round(decision.time_ns / 1e9 + offset_s, 3), **plain}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
