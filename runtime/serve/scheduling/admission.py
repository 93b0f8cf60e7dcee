# SPDX-License-Identifier: Apache-2.0
"""Whether work that arrives can be done in time, as far as is known.

The prediction is the least the executor will need: the rest of what runs, everything that will
run before, and the work itself, each at the sparsest level allowed, plus what lies between two of
them. Where a cost is unknown it counts as none, so that what is refused could not have been kept.
"""

from collections.abc import Iterable

from aio.runtime.serve.errors import UnavailableError
from aio.runtime.serve.scheduling.queue import WorkQueue
from aio.runtime.serve.scheduling.work import Work


class DeadlineError(UnavailableError):
    """The time a request allows has passed, or is not enough."""


class ExpiredError(DeadlineError):
    """The time a request allows, or may wait, has passed."""


def total_ms(works: Iterable[Work], turn_ms: float) -> float:
    """Return the least time that these take one after the other."""
    return sum(turn_ms + (work.cost_ms or 0.0) for work in works)


def admit(work: Work, queue: WorkQueue, *, now_s: float, busy_ms: float, turn_ms: float) -> None:
    """Raise DeadlineError if `work` is or would be late, or would make others late that wait.

    Args:
        work: what arrives.
        queue: what waits.
        now_s: the time.
        busy_ms: how long what runs now will still take.
        turn_ms: what lies between the end of one piece of work and the start of the next.
    """
    before, behind = queue.split(work.order)
    wait_ms = busy_ms + total_ms(before, turn_ms)
    cost_ms = work.cost_ms
    left_ms = (work.limit_s - now_s) * 1e3

    def refuse(why: str, kind: type[DeadlineError] = DeadlineError) -> DeadlineError:
        backlog_ms = wait_ms + total_ms(behind, turn_ms)
        return kind(f"{why}; retry later", backlog_ms / 1e3)

    if left_ms <= 0.0:
        limit = "longest wait" if work.deadline_s is None else "timeout"
        raise refuse(f"the {limit} passed before the request could be queued", ExpiredError)
    if work.deadline_s is None:
        if wait_ms > left_ms:
            raise refuse(
                f"the wait would be {wait_ms:.1f} ms, and at most {left_ms:.0f} ms are allowed "
                "without a timeout"
            )
    elif cost_ms is not None and wait_ms + cost_ms > left_ms:
        raise refuse(
            f"{left_ms:.2f} ms are left of the timeout, but {wait_ms:.2f} ms of work come "
            f"before and the fastest level allowed takes {cost_ms:.2f} ms"
        )
    if cost_ms is not None and _makes_late(
        behind,
        priority=work.priority,
        now_s=now_s,
        ahead_ms=wait_ms,
        cost_ms=cost_ms,
        turn_ms=turn_ms,
    ):
        raise refuse(
            f"the {cost_ms:.2f} ms that this takes would make a request late that was accepted "
            "before"
        )


def _makes_late(
    behind: Iterable[Work],
    *,
    priority: int,
    now_s: float,
    ahead_ms: float,
    cost_ms: float,
    turn_ms: float,
) -> bool:
    """Return whether something `behind` keeps its limit unless `cost_ms` more come before it."""
    for other in behind:
        if other.priority > priority:  # a lower priority has no claim
            return False
        other_ms = turn_ms + (other.cost_ms or 0.0)
        left_ms = (other.limit_s - now_s) * 1e3
        needs_ms = ahead_ms + (0.0 if other.deadline_s is None else other_ms)
        # Who is late all the same is not late because of this.
        if needs_ms <= left_ms < needs_ms + cost_ms + turn_ms:
            return True
        ahead_ms += other_ms
    return False
