"""RateLimit's shell: bytes to Ask to Charges to the counters to Answer to bytes.

It decides nothing. What it adds is the rule for questions that cannot be answered: a bad one is refused, whatever the
failure mode, and lost counters fail the call, so that Envoy's failure mode decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial

from authz.errors import Code, Refusal
from authz.futures import after
from authz.quota import reply
from authz.quota.answer import Answer
from authz.quota.ask import BadAsk, from_bytes
from authz.quota.counters.base import CountersLost
from authz.quota.details import header_of
from authz.quota.meter import Meter

_REMEMBERED_BYTES = 2048


class RateLimitServicer:
    """Answers `ShouldRateLimit`."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def handle(self, data: bytes) -> bytes | Awaitable[bytes]:
        """One question's answer, at once unless the counters must be waited for.

        Raises:
            Refusal: UNAVAILABLE, the counters are lost.
        """
        try:
            answered = self._meter.charge(data, from_bytes, remember=len(data) <= _REMEMBERED_BYTES)
        except BadAsk:
            return _UNANSWERABLE
        except CountersLost as lost:
            raise self._lost() from lost
        return _reply(data, answered) if isinstance(answered, Answer) else after(answered, partial(self._done, data))

    def _done(self, data: bytes, answered: asyncio.Future[Answer]) -> bytes:
        try:
            return _reply(data, answered.result())
        except CountersLost as lost:
            raise self._lost() from lost

    def _lost(self) -> Refusal:
        """The counters have said in the log why; here every such call is counted."""
        self._meter.count("counters_lost")
        return Refusal(Code.UNAVAILABLE, "the quota counters cannot be reached")


def _reply(data: bytes, answer: Answer) -> bytes:
    """Only a refusal is worth reading the question again: whether its caller speaks gRPC."""
    if answer.admitted or not (ask := from_bytes(data)).in_grpc:
        return reply.to_bytes(answer)
    return reply.to_bytes(answer, header_of(answer, ask))


_UNANSWERABLE = reply.denial(reply.UNANSWERABLE)
