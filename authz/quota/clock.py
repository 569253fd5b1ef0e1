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
