"""Windows: what a process keeps per counter and window, let go of without a pause when windows end.

A window is kept as several parts, each a dictionary from counter to value: one dictionary of a hundred thousand takes
milliseconds when it grows. A window that is over leaves the open ones whole, but its entries are freed a few at a
time: a hundred thousand at once take about ten milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from authz.quota.counters.ledger import Window

MOST_ANONYMOUS = 200_000
"""When a process keeps this many counters, no anonymous one is begun until windows end. Consumers' always are."""

Kept = TypeVar("Kept")

Part = tuple[int, int, int]
"""A window's start and end, and the number of the part."""

_PARTS = 16

_FREED_AT_ONCE = 32
"""Far more than one spend can begin, so that freeing always catches up, and still only microseconds of work."""


class InWindow(Protocol):
    """A `Window`, or a charge in one."""

    @property
    def key(self) -> tuple[str, ...]:
        """Which counter."""
        ...

    @property
    def start(self) -> int:
        """The window's first second."""
        ...

    @property
    def end(self) -> int:
        """The first second after it."""
        ...


class Windows(Generic[Kept]):
    """A value per counter of the windows that are not over."""

    def __init__(self) -> None:
        self._open: dict[Part, dict[tuple[str, ...], Kept]] = {}
        self._over: list[dict[tuple[str, ...], Kept]] = []
        self.latest_over: float = -math.inf
        """The latest end that has passed."""
        self.soonest_end: float = math.inf

    def __len__(self) -> int:
        """How many values take up memory, those of past windows included until they are freed."""
        return sum(map(len, self._open.values())) + sum(map(len, self._over))

    def find(self, charge: InWindow) -> Kept | None:
        """The value of the charge's counter in the charge's window."""
        part = self._open.get((charge.start, charge.end, hash(charge.key) % _PARTS))
        return None if part is None else part.get(charge.key)

    def keep(self, charge: InWindow, value: Kept) -> None:
        """Set it."""
        number = charge.start, charge.end, hash(charge.key) % _PARTS
        part = self._open.get(number)
        if part is None:
            part = self._open[number] = {}
            self.soonest_end = min(self.soonest_end, charge.end)
        part[charge.key] = value

    def turn(self, now: float, most: int = _FREED_AT_ONCE) -> None:
        """End what is over by now, and free at most so much of what was."""
        if now >= self.soonest_end:
            self._end(now)
        if self._over:
            self._free(most)

    def items(self) -> Iterator[tuple[Window, Kept]]:
        """All that is kept of open windows, as it is now; values may be added and windows may end meanwhile."""
        for (start, end, _), part in tuple(self._open.items()):
            for key, value in tuple(part.items()):
                yield Window(key, start, end), value

    def _end(self, now: float) -> None:
        for part in [part for part in self._open if part[1] <= now]:
            self._over.append(self._open.pop(part))
            self.latest_over = max(self.latest_over, part[1])
        self.soonest_end = min((end for _, end, _ in self._open), default=math.inf)

    def _free(self, most: int) -> None:
        while self._over and most > 0:
            part = self._over[-1]
            for _ in range(min(most, len(part))):
                part.popitem()
                most -= 1
            if not part:
                self._over.pop()
