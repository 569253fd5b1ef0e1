"""Answer: what charges and their outcome mean for the caller. Pure.

It says which limit stood in the way, what is left of each, and when to come back; not how that is written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from authz.model.quota import UNLIMITED
from authz.quota.counters.base import Charge, Spent


class Standing(NamedTuple):
    """Where one limit stands after the call.

    `limit` -1 is unlimited (and `remaining` then says nothing); `reset` and `window` are seconds; `amount` is what
    the call takes; `blocks` says that this limit refused it.
    """

    name: str
    limit: int
    remaining: int
    reset: int
    window: int
    amount: int
    blocks: bool


class Answer(NamedTuple):
    """Whether the call is within its quota, and the standing of each limit, in the order of its operation.

    `retry_after` is when every limit that blocks has begun anew, in seconds; 0 for an admitted call.
    """

    admitted: bool
    standings: tuple[Standing, ...] = ()
    retry_after: int = 0

    def tightest(self) -> Standing | None:
        """The limit to tell a caller about first: one that blocks, else the one with the least left.

        Of equals it is the one that takes longest to reset; an unlimited one is never it.
        """
        if len(self.standings) == 1:  # the usual case costs a fifth this way
            return self.standings[0] if self.standings[0].limit != UNLIMITED else None
        counted = [standing for standing in self.standings if standing.limit != UNLIMITED]
        return min(counted, key=_tightness, default=None)


def answer(charges: Sequence[Charge], spent: Spent, now: float) -> Answer:
    """What to tell the caller, from the charges and what spending them did."""
    admitted = spent.admitted
    standings = tuple(
        [_standing(charge, total, admitted, now) for charge, total in zip(charges, spent.totals, strict=True)]
    )
    return Answer(admitted, standings, 0 if admitted else _retry_after(standings))


def _standing(charge: Charge, total: int, admitted: bool, now: float) -> Standing:
    limit = charge.limit
    blocks = not admitted and charge.amount > 0 and limit != UNLIMITED and total + charge.amount > limit
    remaining = limit - total if limit > total else 0
    reset = math.ceil(charge.end - now)
    return Standing(charge.name, limit, remaining, reset, charge.end - charge.start, charge.amount, blocks)


def _retry_after(standings: Sequence[Standing]) -> int:
    return max((standing.reset for standing in standings if standing.blocks), default=1) or 1


def _tightness(standing: Standing) -> tuple[bool, int, int]:
    return not standing.blocks, standing.remaining, -standing.reset
