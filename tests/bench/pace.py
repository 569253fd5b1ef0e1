"""How thoroughly to measure."""

from __future__ import annotations

from dataclasses import dataclass

from bench.profiles import Profiler


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how often each point is measured, and how many operations a large API has.

    `by_hand`: the load generator of our own sends. `profiler`: it watches every sidecar, and figures do not count.
    """

    seconds: float
    rounds: int
    operations: int
    by_hand: bool = False
    profiler: Profiler | None = None
