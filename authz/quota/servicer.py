"""RateLimit's shell: bytes to Ask to Charges to the counters to Answer to bytes.

It decides nothing. What it adds is the rule for questions that cannot be answered: a bad one is refused, whatever the
failure mode, and lost counters fail the call, so that Envoy's failure mode decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import NamedTuple

from authz.errors import Code, Refusal
from authz.quota import reply
from authz.quota.answer import Answer, answer
from authz.quota.ask import BadAsk, from_bytes
from authz.quota.charge import charges
from authz.quota.clock import Clock
from authz.quota.counters.base import Charge, Counters, CountersLost, Spent
from authz.rulebook.book import Rulebook
from authz.rulebook.live import Live
from authz.telemetry import Tally

TOTAL = "quota"
"""The tally's name; label `decision` is allow, uncharged, deny, bad_ask or counters_lost."""


_REMEMBERED, _REMEMBERED_BYTES = 4096, 2048


class _Remembered(NamedTuple):
    """What a question takes from `start` until `end` (Unix seconds)."""

    start: int
    end: int
    due: tuple[Charge, ...]


class RateLimitServicer:
    """Answers `ShouldRateLimit`."""

    def __init__(self, live: Live, counters: Counters, tally: Tally, clock: Clock | None = None) -> None:
        self._live = live
        self._counters = counters
        self._tally = tally
        self._count = tally.counting(TOTAL, "decision")
        self._clock = clock or counters.clock
        self._book = live.book
        self._remembered: dict[bytes, _Remembered] = {}

    def handle(self, data: bytes) -> bytes | Awaitable[bytes]:
        """One question's answer, at once unless the counters must be waited for.

        Raises:
            Refusal: UNAVAILABLE, the counters are lost.
        """
        book, now = self._live.book, self._clock()
        remembered = self._remembered.get(data)
        if remembered is not None and book is self._book and remembered.start <= now < remembered.end:
            due = remembered.due
        else:
            try:
                due = self._due(book, data, now)
            except BadAsk as bad:
                return self._refuse(bad)
        if not due:
            return self._say(_UNCHARGED, "uncharged")
        try:
            spent = self._counters.spend(due, now)
        except CountersLost as lost:
            raise self._lost() from lost
        return self._answer(due, spent, now) if isinstance(spent, Spent) else self._wait(due, spent, now)

    def _due(self, book: Rulebook, data: bytes, now: float) -> tuple[Charge, ...]:
        """What a question takes. One caller's questions are the same bytes, and mean the same while windows last."""
        due = charges(book, from_bytes(data), now)
        if book is not self._book or len(self._remembered) >= _REMEMBERED:
            self._book = book
            self._remembered.clear()
        if due and len(data) <= _REMEMBERED_BYTES:
            start, end = max(charge.start for charge in due), min(charge.end for charge in due)
            self._remembered[data] = _Remembered(start, end, due)
        return due

    def _wait(self, due: tuple[Charge, ...], spending: asyncio.Future[Spent], now: float) -> asyncio.Future[bytes]:
        """A future and no coroutine: one that is dropped before it ran must still let go of the units it waits for."""
        replying: asyncio.Future[bytes] = spending.get_loop().create_future()

        def settle(_: object) -> None:
            if replying.done() or spending.cancelled():
                spending.cancelled() or spending.exception()
                replying.cancel()
                return
            lost = spending.exception()
            if isinstance(lost, CountersLost):
                replying.set_exception(self._lost())
            elif lost is not None:
                replying.set_exception(lost)
            else:
                replying.set_result(self._answer(due, spending.result(), now))

        spending.add_done_callback(settle)
        replying.add_done_callback(lambda _: replying.cancelled() and spending.cancel())
        return replying

    def _answer(self, due: tuple[Charge, ...], spent: Spent, now: float) -> bytes:
        return self._say(reply.to_bytes(answer(due, spent, now)), "allow" if spent.admitted else "deny")

    def _say(self, message: bytes, decision: str) -> bytes:
        self._count(decision)
        return message

    def _refuse(self, bad: BadAsk) -> bytes:
        self._tally.warn_once(TOTAL, bad.about, "A rate limit question was refused: %s.", bad)
        return self._say(reply.denial(reply.UNANSWERABLE), "bad_ask")

    def _lost(self) -> Refusal:
        """The counters have said in the log why; here every such call is counted."""
        self._count("counters_lost")
        return Refusal(Code.UNAVAILABLE, "the quota counters cannot be reached")


_UNCHARGED = reply.to_bytes(Answer(admitted=True))
