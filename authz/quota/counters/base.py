"""The seam between counting and its backends: one atomic step, all or none.

A backend promises: the units admitted in one window never exceed the limit, whatever runs at once; a refused
spend changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from authz.quota.clock import Clock


class Charge(NamedTuple):
    """One limit that a request counts against.

    `key` names the counter without its window: a tuple, so that no joined text can collide. No two charges of one
    spend have the same. `name` is what people call the limit; backends do not read it. `start` and `end` are the
    window's bounds in Unix seconds. `limit` is the most the window admits, -1 for unlimited; `amount` is what this
    request takes: 0 looks only, and what takes nothing is never refused.

    `anonymous` marks a counter that no consumer stands behind: strangers can bring about any number of them, so a
    backend short of room may refuse to begin one more, and reports such a counter as used up.
    """

    key: tuple[str, ...]
    name: str
    start: int
    end: int
    limit: int
    amount: int
    anonymous: bool = False


class Spent(NamedTuple):
    """What a spend did: whether all charges were taken, and each counter's total afterwards, in order."""

    admitted: bool
    totals: tuple[int, ...]


class Counters(Protocol):
    """A place where windows are counted."""

    clock: Clock
    """Unix seconds by which windows begin and end here; `spend` is told a reading of it."""

    async def start(self) -> None:
        """Connect. A backend that is away is no error: it is looked for from now on."""
        ...

    def spend(self, charges: Sequence[Charge], now: float) -> Spent | asyncio.Future[Spent]:
        """Take all charges or none. A backend without I/O answers at once.

        Raises:
            CountersLost: the backend cannot be reached in time.
        """
        ...

    async def close(self) -> None:
        """Return what is not spent and let go of connections."""
        ...


class CountersLost(Exception):  # noqa: N818 - reads as what happened
    """The backend of the counters is away; `Settings.quota_when_down` decides."""
