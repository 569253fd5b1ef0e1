"""The shell around `decide`: bytes in, look up, fetch what is missing, ask again, bytes out.

Whatever goes wrong here is a denial: an empty or broken reply would let the call pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from google.protobuf.message import DecodeError

from authz.check.call import Call, hops
from authz.check.decide import Known, NeedKeys, Outcome, Reason, Verdict, decide
from authz.check.jwks import KeySets
from authz.check.jwt import Verifier
from authz.check.keys import KeyCache
from authz.check.reply import Replies, told
from authz.check.tokens import BackendTokens
from authz.errors import StoreError
from authz.futures import after
from authz.model.quota import Charged
from authz.rulebook.book import OperationKey, Rulebook
from authz.rulebook.live import Live
from authz.settings import Settings
from authz.telemetry import Tally, log

_MOST_ROUNDS = 4
"""Two fetches (a key set, a key) and one repetition of each, should the answer have been forgotten meanwhile."""


_STRANGE = frozenset({Reason.UNKNOWN_OPERATION, Reason.MALFORMED_CHECK})
"""What no caller can bring about: Envoy and the book disagree."""


class Charges(Protocol):
    """Charges a call's quotas; it never raises."""

    def charge(
        self, operation: OperationKey, consumer: int | None, address: str, /
    ) -> Charged | asyncio.Future[Charged]:
        """Take what a call takes, from its consumer's counters or from its address's."""
        ...


class CheckServicer:
    """Answers `envoy.service.auth.v3.Authorization/Check`. `handle` waits for nothing on the usual way."""

    def __init__(
        self,
        live: Live,
        settings: Settings,
        keys: KeyCache,
        key_sets: KeySets,
        backend_tokens: BackendTokens,
        charges: Charges,
        tally: Tally,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._live = live
        self._keys = keys
        self._key_sets = key_sets
        self._charges = charges
        self._tally = tally
        self._count = tally.counting("check", "decision")
        self._clock = clock
        self._replies = Replies(settings)
        self._forwarded, self._hops = settings.client_ip_from_forwarded, hops(settings)
        tokens = Verifier(key_sets, skew=settings.clock_skew, size=settings.token_cache_size)
        self._known = Known(keys, tokens, backend_tokens)

    def handle(self, message: bytes) -> bytes | Awaitable[bytes]:
        """The reply to one CheckRequest; an awaitable only when something has to be fetched first."""
        call = None
        try:
            book = self._live.book
            call = Call(message, forwarded=self._forwarded, trusted=self._hops)
            outcome = decide(book, call, self._known, self._clock())
            return self._settle(outcome, call) if isinstance(outcome, Verdict) else self._fetch(book, call, outcome)
        except DecodeError:
            return self._answer(Verdict(Reason.MALFORMED_CHECK), None)
        except Exception:  # noqa: BLE001 - own trouble of any kind must deny
            return self._broken(call)

    async def _fetch(self, book: Rulebook, call: Call, outcome: Outcome) -> bytes:
        try:
            for _ in range(_MOST_ROUNDS):
                if isinstance(outcome, Verdict):
                    break
                if isinstance(outcome, NeedKeys):
                    await self._key_sets.fetch(outcome.provider)
                else:
                    await self._keys.load(outcome.digest)
                outcome = decide(book, call, self._known, self._clock())
            answer = self._settle(outcome if isinstance(outcome, Verdict) else Verdict(Reason.INTERNAL), call)
            return answer if isinstance(answer, bytes) else await answer
        except StoreError as error:
            self._tally.warn_once("check", "store", "API keys cannot be looked up: %s", error)
            return self._answer(Verdict(Reason.KEYS_UNREACHABLE, book.operations.get(call.operation)), call)
        except Exception:  # noqa: BLE001 - as above
            return self._broken(call)

    def _settle(self, verdict: Verdict, call: Call) -> bytes | asyncio.Future[bytes]:
        """Charge what may pass, where that is Check's to do."""
        rule, consumer = verdict.rule, verdict.consumer
        if not call.charges or verdict.reason is not None or rule is None or not rule.charges:
            return self._answer(verdict, call)
        if consumer is not None:
            charged = self._charges.charge(call.operation, consumer.number, "")
        else:
            charged = self._charges.charge(call.operation, None, call.address)
        if isinstance(charged, asyncio.Future):
            return after(charged, lambda done: self._charged(verdict, call, done.result()))
        return self._charged(verdict, call, charged)

    def _charged(self, verdict: Verdict, call: Call, charged: Charged) -> bytes:
        headers = charged.headers
        if not charged.passes:
            reason = Reason.QUOTA_UNREACHABLE if charged.lost else Reason.QUOTA_USED_UP
            verdict = verdict._replace(reason=reason, detail=charged.text)
            if charged.details is not None and call.is_grpc:
                headers = (*headers, charged.details())
        return self._answer(verdict, call, headers)

    def _answer(self, verdict: Verdict, call: Call | None, headers: tuple[bytes, ...] = ()) -> bytes:
        reason = verdict.reason
        self._count(reason.name if reason else "allow")
        if reason in _STRANGE:
            about = call.operation if call else ("unreadable",)
            self._tally.warn_once(reason.name, " ".join(about), "Check: %s %s", reason.name, about)
        answer = self._replies.build(verdict, call)
        return answer + told(headers, denied=reason is not None) if headers else answer

    def _broken(self, call: Call | None) -> bytes:
        log.exception("Check failed")
        self._count(Reason.INTERNAL.name)
        return self._replies.build(Verdict(Reason.INTERNAL), call)
