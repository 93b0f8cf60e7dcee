# SPDX-License-Identifier: Apache-2.0
"""Phases of load on a server, and the promises that have to hold meanwhile.

Arrivals are Poisson: they don't wait for answers, as long as one of the connections is free.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median_low

from load_client import MIX, Connection, Kind, Outcome, Target

CONNECTIONS = 64
FACTORS = (0.5, 1.0, 1.5, 2.0, 3.0)
PING = Kind("ping", 0.0, 1, binary=True)
PING_EVERY_S = 0.02
PINGS_LOOKED_AT = 5  # most of them are as dense as before, so that it is no accident
RSS_EVERY_S = 0.25


@dataclass
class Phase:
    """What happened in one phase."""

    factor: float
    rate: float
    seconds: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)
    unsent: int = 0  # no connection was free
    peak_rss_mib: float | None = None
    dense_after_s: float | None = None  # None: not within the time looked at

    @property
    def answered(self) -> list[Outcome]:
        """Return the requests that got a result."""
        return [each for each in self.outcomes if each.status == 200]

    def as_dict(self) -> dict[str, object]:
        """Return the phase as plain data."""
        asked = [each for each in self.outcomes if not each.gone]
        timed = [each for each in asked if each.kind.timeout_ms is not None]
        answered = self.answered
        timed_answers = [each for each in timed if each.status == 200]
        latencies = sorted(each.latency_ms for each in answered)
        return {
            "factor": self.factor,
            "offered_per_s": round(self.rate, 1),
            "seconds": round(self.seconds, 2),
            "status": dict(Counter(str(each.status) for each in asked)),
            "clients_gone": len(self.outcomes) - len(asked),
            "unsent": self.unsent,
            "latency_ms": {f"p{part}": _rank(latencies, part) for part in (50, 95, 99, 100)},
            "answered_within_timeout": _share(timed_answers, lambda each: each.in_time),
            "timed_answered": _share(timed, lambda each: each.status == 200),
            "levels": dict(sorted(Counter(each.level for each in answered).items())),
            "peak_rss_mib": self.peak_rss_mib,
            "dense_after_s": self.dense_after_s,
        }


class Load:
    """Puts load on one server.

    Args:
        target: the server.
        pid: its process, None if its memory can't be seen.
        seed: of arrivals and kinds.
    """

    def __init__(self, target: Target, pid: int | None, seed: int) -> None:
        self._pid = pid
        self._random = random.Random(seed)
        self._all = [Connection(target, number, seed) for number in range(CONNECTIONS)]
        self._free = list(self._all)
        self._pinger = Connection(target, CONNECTIONS, seed)
        self.idle_level = 0

    async def calm(self) -> None:
        """Learn which level a server without load uses."""
        levels = [(await self._ping()).level for _ in range(60)]
        self.idle_level = median_low(level for level in levels[20:] if level is not None)

    async def capacity(self, seconds: float, connections: int = 8) -> float:
        """Return how many requests of the mix are answered in a second when none is refused."""
        kinds = [kind._replace(timeout_ms=None, goes=False) for kind in MIX]
        end_s = time.monotonic() + seconds
        answered = 0

        async def ask(connection: Connection) -> None:
            nonlocal answered
            while time.monotonic() < end_s:
                outcome = await connection.ask(self._pick(kinds))
                answered += outcome.status == 200

        await asyncio.gather(*(ask(connection) for connection in self._all[:connections]))
        return answered / seconds

    async def phase(self, factor: float, rate: float, seconds: float, look_s: float) -> Phase:
        """Let requests arrive at a rate, then look until the server is as dense as before."""
        phase = Phase(factor, rate)
        begin_s = time.monotonic()
        memory = asyncio.ensure_future(self._watch_memory(phase))
        tasks: set[asyncio.Task[None]] = set()
        arrival_s = begin_s
        while (arrival_s := arrival_s + self._random.expovariate(rate)) < begin_s + seconds:
            if (wait_s := arrival_s - time.monotonic()) > 0.0:
                await asyncio.sleep(wait_s)
            if not self._free:
                phase.unsent += 1
                await asyncio.sleep(0)
                continue
            task = asyncio.ensure_future(self._ask(self._free.pop(), phase))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        phase.seconds = time.monotonic() - begin_s
        await asyncio.gather(*tasks)
        phase.dense_after_s = await self._dense_after_s(look_s)
        memory.cancel()
        await asyncio.wait([memory])
        return phase

    def close(self) -> None:
        """Close all connections."""
        for connection in (*self._all, self._pinger):
            connection.close()

    async def _ask(self, connection: Connection, phase: Phase) -> None:
        phase.outcomes.append(await connection.ask(self._pick(MIX)))
        self._free.append(connection)

    def _pick(self, kinds: Sequence[Kind]) -> Kind:
        return self._random.choices(kinds, [kind.share for kind in kinds])[0]

    async def _ping(self) -> Outcome:
        await asyncio.sleep(PING_EVERY_S)
        return await self._pinger.ask(PING)

    async def _dense_after_s(self, look_s: float) -> float | None:
        """Return when the first ping was answered of some whose level is the one before."""
        begin_s = time.monotonic()
        recent: deque[tuple[float, int]] = deque(maxlen=PINGS_LOOKED_AT)
        while time.monotonic() < begin_s + look_s:
            outcome = await self._ping()
            if outcome.level is not None:
                recent.append((time.monotonic() - begin_s, outcome.level))
            levels = [level for _, level in recent]
            if len(levels) == PINGS_LOOKED_AT and median_low(levels) <= self.idle_level:
                dense = (after_s for after_s, level in recent if level <= self.idle_level)
                return next(dense)
        return None

    async def _watch_memory(self, phase: Phase) -> None:
        while self._pid is not None:
            phase.peak_rss_mib = max(phase.peak_rss_mib or 0.0, resident_mib(self._pid))
            await asyncio.sleep(RSS_EVERY_S)


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def broken_promises(
    phases: Sequence[Phase], *, dense_within_s: float, rss_growth_mib: float
) -> list[str]:
    """Return what should not have happened, in words; `phases` are whole rounds of FACTORS."""
    outcomes = [each for phase in phases for each in phase.outcomes if not each.gone]
    wrong = Counter(
        each.error or f"status {each.status}"
        for each in outcomes
        if each.error is not None or each.status not in {200, 503}
    )
    broken = [f"{count} x {what}" for what, count in wrong.most_common(10)]
    for number, phase in enumerate(phases, 1):
        after_s = phase.dense_after_s
        if after_s is None or after_s > dense_within_s:
            broken.append(
                f"phase {number} ({phase.factor:g}x): dense after {after_s} s, "
                f"not within {dense_within_s:g} s"
            )
    rounds = [phases[at : at + len(FACTORS)] for at in range(0, len(phases), len(FACTORS))]
    peaks = [max(phase.peak_rss_mib or 0.0 for phase in each) for each in rounds]
    if len(peaks) > 1 and peaks[-1] - peaks[0] > rss_growth_mib:
        broken.append(f"memory grew: peaks of the rounds are {[round(peak, 1) for peak in peaks]}")
    return broken


def _rank(ordered: Sequence[float], percent: int) -> float | None:
    if not ordered:
        return None
    return round(ordered[max(0, -(-percent * len(ordered) // 100) - 1)], 2)


def _share(outcomes: Sequence[Outcome], holds: Callable[[Outcome], bool]) -> float | None:
    if not outcomes:
        return None
    return round(sum(map(holds, outcomes)) / len(outcomes), 4)
