# SPDX-License-Identifier: Apache-2.0
"""The bounded queue: what waits, in the order in which it will run.

Priority first, then the earliest limit, then the order of arrival. A list kept sorted: it is short,
and admission needs to look at what is before and behind a place in it.
"""

import bisect
import math
from collections.abc import Iterator
from operator import attrgetter

from aio.runtime.serve.scheduling.work import Work

_ORDER = attrgetter("order")


class WorkQueue:
    """What waits, next one first. Not thread-safe: the dispatcher's lock is around it."""

    def __init__(self) -> None:
        self._items: list[Work] = []

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Work]:
        return iter(self._items)

    @property
    def first(self) -> Work | None:
        """What runs next."""
        return self._items[0] if self._items else None

    @property
    def last(self) -> Work | None:
        """What would run last of all."""
        return self._items[-1] if self._items else None

    def add(self, work: Work) -> None:
        """Let `work` wait at its place."""
        bisect.insort(self._items, work, key=_ORDER)

    def remove(self, work: Work) -> bool:
        """Take `work` out; return whether it was waiting."""
        place = bisect.bisect_left(self._items, work.order, key=_ORDER)
        if place < len(self._items) and self._items[place] is work:
            del self._items[place]
            return True
        return False

    def clear(self) -> list[Work]:
        """Take everything out and return it."""
        items, self._items = self._items, []
        return items

    def split(self, order: tuple[int, float, int]) -> tuple[list[Work], list[Work]]:
        """Return what would run before and after work of this order."""
        place = bisect.bisect_left(self._items, order, key=_ORDER)
        return self._items[:place], self._items[place:]

    def room_ms(self, now_s: float, turn_ms: float) -> float:
        """Return how long the executor may be busy before a deadline here can't be kept.

        Args:
            now_s: the time.
            turn_ms: what lies between the end of one piece of work and the start of the next.
        """
        room_ms, ahead_ms = math.inf, 0.0
        for work in self._items:
            ahead_ms += turn_ms + (work.cost_ms or 0.0)
            if work.deadline_s is not None:
                room_ms = min(room_ms, (work.deadline_s - now_s) * 1e3 - ahead_ms)
        return room_ms
