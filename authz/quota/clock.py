"""The clock that windows are read from: the wall's, without its steps back.

A wall clock that is set back would lead into windows that were used up and freed already. This one goes on at the
monotonic clock's pace instead, and follows the wall again as soon as that has caught up. Until then windows keep
their length and only their alignment is off, by the step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

Clock = Callable[[], float]


class SteadyClock:
    """Unix seconds that never go back. Steps forward are followed at once."""

    __slots__ = ("_lead", "_monotonic", "_wall")

    def __init__(self, wall: Clock = time.time, monotonic: Clock = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lead = -math.inf
        """Wall time minus monotonic time, the greatest so far."""

    def __call__(self) -> float:
        """Now."""
        wall, monotonic = self._wall(), self._monotonic()
        steady = monotonic + self._lead
        if wall < steady:
            return steady
        # The wall's own number, not a sum: rounding must not land before the boundary that the wall has reached.
        self._lead = wall - monotonic
        return wall


class LedgerClock:
    """The clock of a ledger that processes share, so that all of them see the same windows whatever their own say.

    Until the ledger has told its time it is this machine's. What it says then bounds how far it is ahead of the
    monotonic clock: it was read after the question was sent and before the answer came (Cristian, 1989). The lead is
    moved only as far as these bounds demand, so that it does not jitter with each answer's way.
    """

    __slots__ = ("_followed", "_lead", "_monotonic")

    def __init__(self, wall: Clock = time.time, monotonic: Clock = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lead = wall() - monotonic()
        self._followed = False

    def __call__(self) -> float:
        """Now, in Unix seconds, by the ledger's clock."""
        return self._monotonic() + self._lead

    def monotonic(self) -> float:
        """The reading to hand back as `sent`."""
        return self._monotonic()

    def follow(self, told: float, sent: float) -> None:
        """The ledger's time came just now, as the answer to a question sent at `sent`."""
        least, most = told - self._monotonic(), told - sent
        self._lead = min(max(self._lead, least), most) if self._followed else (least + most) / 2
        self._followed = True
