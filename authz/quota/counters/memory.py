"""Counters in this process: exact, all or none, and forgotten at its end."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from authz.model.quota import UNLIMITED
from authz.quota.clock import Clock, SteadyClock
from authz.quota.counters.base import Charge, Spent
from authz.quota.counters.windows import MOST_ANONYMOUS, Windows


class MemoryCounters:
    """Counts in dictionaries, on whatever thread calls.

    A window that is over stays over: should time be told to go back into one, its charges are refused rather than
    counted from nothing again.
    """

    def __init__(self, most_anonymous: int = MOST_ANONYMOUS) -> None:
        self.clock: Clock = SteadyClock()
        self._most_anonymous = most_anonymous
        self._totals: Windows[int] = Windows()
        # The event loop's one thread needs no lock; for 0.1 µs the promise holds on any number of them.
        self._lock = threading.Lock()

    async def start(self) -> None:
        """There is nothing to connect to."""

    def held(self) -> int:
        """How many counters take up memory, those of past windows included until they are freed."""
        return len(self._totals)

    def spend(self, charges: Sequence[Charge], now: float) -> Spent:
        """Take all charges or none."""
        with self._lock:
            self._totals.turn(now)
            totals = tuple([self._total(charge) for charge in charges])
            for charge, total in zip(charges, totals, strict=True):
                if charge.amount and charge.limit != UNLIMITED and total + charge.amount > charge.limit:
                    return Spent(False, totals)
            return Spent(True, tuple([self._add(charge, total) for charge, total in zip(charges, totals, strict=True)]))

    async def close(self) -> None:
        """Nothing is lent out and nothing is connected."""

    def _total(self, charge: Charge) -> int:
        if (total := self._totals.find(charge)) is not None:
            return total
        may_begin = charge.limit == UNLIMITED or (charge.end > self._totals.latest_over and self._has_room(charge))
        return 0 if may_begin else charge.limit

    def _has_room(self, charge: Charge) -> bool:
        return not charge.anonymous or self.held() < self._most_anonymous

    def _add(self, charge: Charge, total: int) -> int:
        # What nobody stands behind and nothing bounds is not worth its memory.
        if charge.amount and not (charge.anonymous and charge.limit == UNLIMITED):
            self._totals.keep(charge, total + charge.amount)
        return total + charge.amount
