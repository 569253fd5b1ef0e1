"""Meter: from a question to its Answer, whoever asks it. It looks up what the question takes, and spends it.

It decides nothing, and knows no message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeVar

from authz.futures import after
from authz.quota.answer import Answer, answer
from authz.quota.ask import Ask, BadAsk
from authz.quota.charge import charges
from authz.quota.clock import Clock
from authz.quota.counters.base import Charge, Counters, Spent
from authz.rulebook.book import Rulebook
from authz.rulebook.live import Live
from authz.telemetry import Tally

TOTAL = "quota"
"""The tally's name; label `decision` is allow, uncharged, deny, bad_ask or counters_lost."""

_REMEMBERED = 8192
_UNCHARGED = Answer(admitted=True)

Question = TypeVar("Question", bound=Hashable)


class _Remembered(NamedTuple):
    """What a question takes from `start` until `end` (Unix seconds)."""

    start: int
    end: int
    due: tuple[Charge, ...]


class Meter:
    """Charges for questions by the live book."""

    def __init__(self, live: Live, counters: Counters, tally: Tally, clock: Clock | None = None) -> None:
        self._live = live
        self._counters = counters
        self._tally = tally
        self._clock = clock or counters.clock
        self._book = live.book
        self._remembered: dict[Hashable, _Remembered] = {}
        self.count = tally.counting(TOTAL, "decision")

    def charge(
        self, question: Question, read: Callable[[Question], Ask], *, remember: bool = True
    ) -> Answer | asyncio.Future[Answer]:
        """Take what a question takes, all or nothing; at once unless the counters must be waited for.

        `remember`: the question is small, and likely to come again.

        Raises:
            BadAsk: it cannot be answered; counted, and logged once.
            CountersLost: the counters are away.
        """
        now = self._clock()
        due = self._due(question, read, now, remember)
        if not due:
            self.count("uncharged")
            return _UNCHARGED
        spent = self._counters.spend(due, now)
        if isinstance(spent, Spent):
            return self._answer(due, spent, now)
        return after(spent, lambda done: self._answer(due, done.result(), now))

    def _due(
        self, question: Question, read: Callable[[Question], Ask], now: float, remember: bool
    ) -> tuple[Charge, ...]:
        """What a question takes. One caller's questions are the same, and mean the same while windows last."""
        book = self._live.book
        remembered = self._remembered.get(question)
        if remembered is not None and book is self._book and remembered.start <= now < remembered.end:
            return remembered.due
        due = self._read(book, question, read, now)
        if book is not self._book or len(self._remembered) >= _REMEMBERED:
            self._book = book
            self._remembered.clear()
        if due and remember:
            start, end = max(charge.start for charge in due), min(charge.end for charge in due)
            self._remembered[question] = _Remembered(start, end, due)
        return due

    def _read(
        self, book: Rulebook, question: Question, read: Callable[[Question], Ask], now: float
    ) -> tuple[Charge, ...]:
        try:
            return charges(book, read(question), now)
        except BadAsk as bad:
            self._tally.warn_once(TOTAL, bad.about, "A quota question was refused: %s.", bad)
            self.count("bad_ask")
            raise

    def _answer(self, due: tuple[Charge, ...], spent: Spent, now: float) -> Answer:
        self.count("allow" if spent.admitted else "deny")
        return answer(due, spent, now)
