"""Charging within Check: a call that Check lets pass is charged before it answers, so that Envoy asks once, not twice.

It knows what Check knows of a caller, and what Check needs to tell it; no message of either.
"""

from __future__ import annotations

import asyncio
from typing import Final

from authz.futures import after
from authz.model.quota import COUNTERS_BACK_IN, Charged
from authz.quota import reply
from authz.quota.answer import Answer
from authz.quota.ask import Ask, BadAsk, of_call
from authz.quota.counters.base import CountersLost
from authz.quota.details import header_of
from authz.quota.meter import Meter
from authz.rulebook.book import OperationKey
from authz.settings import Settings
from authz.wire import RATE_LIMITED

_OF_CHECK: Final = 0.4
"""Of the time that Envoy gives a Check. After half of it, it asks another sidecar, which would charge again."""

_Call = tuple[OperationKey, int | None, str]
"""Operation, consumer, address."""


class ChargingCheck:
    """Charges for calls by what Check found out about them."""

    def __init__(self, meter: Meter, settings: Settings) -> None:
        self._meter = meter
        self._patience = min(settings.quota_timeout, settings.check_timeout * _OF_CHECK)
        self._without = _LOST_DENIED if settings.quota_when_down == "deny" else _LOST_ALLOWED
        self._marks = (reply.header(RATE_LIMITED, "true"),) if settings.envoy_headers else ()

    def charge(self, operation: OperationKey, consumer: int | None, address: str) -> Charged | asyncio.Future[Charged]:
        """Take what a call takes, from its consumer's counters or from its address's; it never raises."""
        call = operation, consumer, address
        try:
            answered = self._meter.charge(call, _read)
        except BadAsk:
            return _UNANSWERABLE
        except CountersLost:
            return self._lost()
        return self._told(call, answered) if isinstance(answered, Answer) else self._bounded(call, answered)

    def _bounded(self, call: _Call, answered: asyncio.Future[Answer]) -> asyncio.Future[Charged]:
        charged = after(answered, lambda done: self._done(call, done))

        def give_up() -> None:
            if not charged.done():
                charged.set_result(self._lost())
                answered.cancel()

        timer = answered.get_loop().call_later(self._patience, give_up)
        charged.add_done_callback(lambda _: timer.cancel())
        return charged

    def _done(self, call: _Call, answered: asyncio.Future[Answer]) -> Charged:
        try:
            return self._told(call, answered.result())
        except CountersLost:
            return self._lost()

    def _told(self, call: _Call, answer: Answer) -> Charged:
        if answer.admitted:
            return Charged(True, headers=reply.headers(answer))
        return Charged(
            False,
            headers=reply.headers(answer) + self._marks,
            text=reply.sentence(answer),
            details=lambda: header_of(answer, _read(call)),
        )

    def _lost(self) -> Charged:
        """The counters have said in the log why; here every such call is counted."""
        self._meter.count("counters_lost")
        return self._without


def _read(call: _Call) -> Ask:
    return of_call(*call)


_LOST_ALLOWED = Charged(True, lost=True)
_LOST_DENIED = Charged(False, lost=True, headers=(reply.header("retry-after", str(COUNTERS_BACK_IN)),))
_UNANSWERABLE = Charged(False, text=reply.UNANSWERABLE)
