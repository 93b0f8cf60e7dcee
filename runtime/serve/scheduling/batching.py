# SPDX-License-Identifier: Apache-2.0
"""Which requests that wait run together, and for how long one waits for others.

Off unless asked for. Requests of one group (same model, same level if they pin one) run as one
batch, in the order in which they wait. Everybody in it waits for all of it, so it grows only as
long as its predicted time, at the sparsest level allowed, keeps the deadlines of all its members,
and the target of those who could still keep it alone.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from aio.runtime.serve.scheduling.work import Work


class Batching(NamedTuple):
    """How requests are merged.

    Attributes:
        max_batch: samples of one merged run; 1 is no merging.
        delay_ms: how long a request waits for others while the executor is free.
    """

    max_batch: int = 1
    delay_ms: float = 0.0


def mates(first: Work, waiting: Iterable[Work], now_s: float, max_batch: int) -> list[Work]:
    """Return what of `waiting` runs together with `first`, which is not among the answer."""
    found: list[Work] = []
    if first.group is None or first.samples >= max_batch:
        return found
    samples, cost_ms = first.samples, first.cost_ms or 0.0
    end_s = _latest_end_s(first, now_s)
    for work in waiting:
        if work is first or work.group != first.group or samples + work.samples > max_batch:
            continue
        merged_ms = cost_ms + (work.cost_ms or 0.0)
        merged_end_s = min(end_s, _latest_end_s(work, now_s))
        if now_s + merged_ms / 1e3 > merged_end_s:
            continue
        found.append(work)
        samples, cost_ms, end_s = samples + work.samples, merged_ms, merged_end_s
    return found


def hold_until_s(batch: list[Work], now_s: float, rule: Batching) -> float:
    """Return until when a batch may wait for more; in the past if it may not.

    It is complete, or the executor would start too late for one of its members otherwise.
    """
    first = batch[0]
    if first.group is None or sum(work.samples for work in batch) >= rule.max_batch:
        return -math.inf
    oldest_s = min(work.queued_s for work in batch)
    takes_s = sum(work.cost_ms or 0.0 for work in batch) / 1e3
    must_end_s = min(_latest_end_s(work, now_s) for work in batch)
    return min(oldest_s + rule.delay_ms / 1e3, must_end_s - takes_s)


def _latest_end_s(work: Work, now_s: float) -> float:
    """Return when a run with `work` in it has to end."""
    end_s = math.inf if work.deadline_s is None else work.deadline_s
    alone_s = now_s + (work.cost_ms or 0.0) / 1e3
    return min(end_s, work.aim_s) if alone_s <= work.aim_s else end_s
