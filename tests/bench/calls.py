"""What one Check and one RateLimit are made of, ready to be timed: no fetch, no store, no transport."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from envoy.service.ratelimit.v3 import rls_pb2

from authz import wire
from authz.check.call import Call
from authz.check.decide import Known, decide
from authz.check.jwks import KeySet, read_keys
from authz.check.jwt import Verifier
from authz.check.keys import KeyCache
from authz.check.servicer import CheckServicer
from authz.model.auth import ApiKey, key_digest
from authz.model.quota import Cost
from authz.quota.ask import from_bytes
from authz.quota.charge import charges
from authz.quota.counters.memory import MemoryCounters
from authz.quota.meter import Meter
from authz.quota.servicer import RateLimitServicer
from authz.quota.within import ChargingCheck
from authz.rulebook.book import ProviderRule, Rulebook
from authz.rulebook.compile import compile_book
from authz.rulebook.live import Live
from authz.settings import Settings
from authz.telemetry import Tally
from builders import (
    API,
    BY_KEY,
    BY_TOKEN,
    CONFIG,
    ISSUER,
    SERVICE,
    a_check_request,
    a_key,
    a_limit,
    a_metered_service,
    an_inventory,
    an_operation,
)
from harness.issuer import Issuer

CREDENTIALS = ("key", "token, cached")
_KEY = "good-key"
_LIMIT = 1_000_000_000
_FRESH = 64


@dataclass(frozen=True, slots=True)
class _Sets:
    """One issuer's key set, always there."""

    keys: KeySet

    def get(self, _: ProviderRule, __: float) -> KeySet:
        return self.keys

    def may_help(self, _: ProviderRule, __: float) -> bool:
        return False


class _NoTokens:
    """No operation here wants one for its backend."""

    def get(self, _: str, __: float) -> None:
        return None


def parts() -> Mapping[str, Callable[[], object]]:
    """By name, what to time. Nothing in it is warmed up for one call only: messages are read anew each time."""
    return {**_check_parts(), **_quota_parts()}


def _book() -> Rulebook:
    metered = an_operation("Metered", BY_KEY, costs=(Cost("reads", 1),))
    service = a_metered_service(
        an_operation("ByKey", BY_KEY), an_operation("ByToken", BY_TOKEN), metered, limits=(a_limit(value=_LIMIT),)
    )
    return compile_book(an_inventory(service), Settings())


def _headers(credential: str, value: str) -> dict[str, str]:
    return {"x-api-key": value} if credential == "key" else {"authorization": f"Bearer {value}"}


def _check_parts() -> dict[str, Callable[[], object]]:
    book, now, issuer = _book(), time.time(), Issuer()
    token, *fresh = [issuer.token(iss=ISSUER, aud=f"https://{SERVICE}", sub=f"user-{n}") for n in range(_FRESH + 1)]
    by_key = a_check_request(headers=_headers("key", _KEY), name="ByKey")
    metered = a_check_request(headers=_headers("key", _KEY), name="Metered", charge="1")
    by_token = a_check_request(headers=_headers("token", token), name="ByToken")
    turn = itertools.cycle([a_check_request(headers=_headers("token", each), name="ByToken") for each in fresh])
    keys, sets = _keys(), _Sets(KeySet(read_keys(json.dumps(issuer.jwks()).encode(), "here"), 1, frozenset({"key-1"})))
    known = Known(keys, Verifier(sets, skew=60, size=100), _NoTokens())
    live, tally = Live(book), Tally()
    charging = ChargingCheck(Meter(live, MemoryCounters(), tally), Settings())
    servicer, forgetful = (
        CheckServicer(live, Settings(token_cache_size=size), keys, sets, _NoTokens(), charging, tally)
        for size in (100, 0)
    )
    return {
        "read a CheckRequest": lambda: Call(by_key),
        **{
            f"decide ({credential})": _decide(book, message, known, now)
            for credential, message in zip(CREDENTIALS, (by_key, by_token), strict=True)
        },
        "Check, bytes to bytes (key)": lambda: servicer.handle(by_key),
        "Check that charges, bytes to bytes (key)": lambda: servicer.handle(metered),
        "Check, bytes to bytes (token, cached)": lambda: servicer.handle(by_token),
        "Check, bytes to bytes (token, fresh)": lambda: forgetful.handle(next(turn)),
    }


def _decide(book: Rulebook, message: bytes, known: Known, now: float) -> Callable[[], object]:
    call = Call(message)
    outcome = decide(book, call, known, now)
    if getattr(outcome, "reason", outcome) is not None:
        raise AssertionError(f"a good call is denied: {outcome}")
    return lambda: decide(book, call, known, now)


def _keys() -> KeyCache:
    record = a_key(_KEY)

    def lookup(_: bytes) -> ApiKey:
        return record

    cache = KeyCache(lookup, 1000)
    asyncio.run(cache.load(key_digest(_KEY)))
    cache.close()
    return cache


def _quota_parts() -> dict[str, Callable[[], object]]:
    book, counters = _book(), MemoryCounters()
    data = _question()
    ask = from_bytes(data)
    servicer = RateLimitServicer(Meter(Live(book), MemoryCounters(), Tally()))

    def spend() -> object:
        now = time.time()
        return counters.spend(charges(book, ask, now), now)

    return {"charges + spend": spend, "RateLimit, bytes to bytes": lambda: servicer.handle(data)}


def _question() -> bytes:
    """A RateLimitRequest as Envoy sends it."""
    request = rls_pb2.RateLimitRequest(domain=wire.RATE_LIMIT_DOMAIN)
    descriptor = request.descriptors.add()
    for key, value in (
        (wire.DESCRIPTOR_SERVICE, SERVICE),
        (wire.DESCRIPTOR_CONFIG, CONFIG),
        (wire.DESCRIPTOR_OPERATION, f"{API}.Metered"),
        (wire.DESCRIPTOR_SUBJECT, f"{wire.SUBJECT_CONSUMER}123456"),
    ):
        descriptor.entries.add(key=key, value=value)
    data: bytes = request.SerializeToString()
    return data
