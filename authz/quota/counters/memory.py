"""Counters in this process: exact, all or none, and forgotten at its end.

No call may wait for what others left behind. So a window is kept as several parts, each a dictionary from counter to
total: one dictionary of a hundred thousand takes milliseconds when it grows. And a window that is over leaves the
open ones whole, but its entries are freed a few per spend: a hundred thousand at once take about ten milliseconds.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

from authz.model.quota import UNLIMITED
from authz.quota.clock import Clock, SteadyClock
from authz.quota.counters.base import Charge, Spent

Totals = dict[tuple[str, ...], int]
Part = tuple[int, int, int]
"""A window's start and end, and the number of the part."""

MOST_ANONYMOUS = 200_000
"""When this many counters are held, no anonymous one is begun until windows end. Consumers' always are."""

_PARTS = 16

_FREED_PER_SPEND = 32
"""Far more than one spend can begin, so that freeing always catches up, and still only microseconds of work."""


class MemoryCounters:
    """Counts in dictionaries, on whatever thread calls.

    A window that is over stays over: should time be told to go back into one, its charges are refused rather than
    counted from nothing again.
    """

    def __init__(self, most_anonymous: int = MOST_ANONYMOUS) -> None:
        self.clock: Clock = SteadyClock()
        self._most_anonymous = most_anonymous
        self._open: dict[Part, Totals] = {}
        self._over: list[Totals] = []
        self._soonest_end: float = math.inf
        self._latest_over: float = -math.inf
        # The event loop's one thread needs no lock; for 0.1 µs the promise holds on any number of them.
        self._lock = threading.Lock()

    async def start(self) -> None:
        """There is nothing to connect to."""

    def held(self) -> int:
        """How many counters take up memory, those of past windows included until they are freed."""
        return sum(map(len, self._open.values())) + sum(map(len, self._over))

    def spend(self, charges: Sequence[Charge], now: float) -> Spent:
        """Take all charges or none."""
        with self._lock:
            if now >= self._soonest_end:
                self._end_windows(now)
            if self._over:
                self._free_some()
            totals = tuple([self._total(charge) for charge in charges])
            for charge, total in zip(charges, totals, strict=True):
                if charge.amount and charge.limit != UNLIMITED and total + charge.amount > charge.limit:
                    return Spent(False, totals)
            return Spent(True, tuple([self._add(charge, total) for charge, total in zip(charges, totals, strict=True)]))

    async def close(self) -> None:
        """Nothing is lent out and nothing is connected."""

    def _total(self, charge: Charge) -> int:
        window = self._open.get(_part(charge))
        total = None if window is None else window.get(charge.key)
        if total is not None:
            return total
        may_begin = charge.limit == UNLIMITED or (charge.end > self._latest_over and self._has_room(charge))
        return 0 if may_begin else charge.limit

    def _has_room(self, charge: Charge) -> bool:
        return not charge.anonymous or self.held() < self._most_anonymous

    def _add(self, charge: Charge, total: int) -> int:
        # What nobody stands behind and nothing bounds is not worth its memory.
        if charge.amount and not (charge.anonymous and charge.limit == UNLIMITED):
            part = _part(charge)
            if part not in self._open:
                self._open[part] = {}
                self._soonest_end = min(self._soonest_end, charge.end)
            self._open[part][charge.key] = total + charge.amount
        return total + charge.amount

    def _end_windows(self, now: float) -> None:
        for part in [part for part in self._open if part[1] <= now]:
            self._over.append(self._open.pop(part))
            self._latest_over = max(self._latest_over, part[1])
        self._soonest_end = min((end for _, end, _ in self._open), default=math.inf)

    def _free_some(self) -> None:
        part = self._over[-1]
        for _ in range(min(_FREED_PER_SPEND, len(part))):
            part.popitem()
        if not part:
            self._over.pop()


def _part(charge: Charge) -> Part:
    return charge.start, charge.end, hash(charge.key) % _PARTS
