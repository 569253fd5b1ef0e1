from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Sequence

import pytest
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse

from authz import wire
from authz.errors import Code, Refusal
from authz.model.quota import Unit
from authz.quota.counters.base import Charge, Counters, CountersLost, Spent
from authz.quota.counters.memory import MemoryCounters
from authz.quota.meter import TOTAL, Meter
from authz.quota.servicer import RateLimitServicer
from authz.rulebook.book import ChargeRule, OperationRule, Rulebook
from authz.rulebook.live import Live
from authz.telemetry import Tally
from harness.statuses import read
from harness.waiting import until

SERVICE, CONFIG = "bookstore.example.com", "2026-11-21r0"
LIST, FREE = "1.bookstore.ListShelves", "1.bookstore.GetHealth"
OK, OVER_LIMIT = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT


def a_book(value: int = 2, **overrides: int) -> Rulebook:
    rule = ChargeRule((SERVICE, "reads"), "reads", "requests", value, Unit.MINUTE, 1, 1)
    operations = [
        OperationRule(SERVICE, CONFIG, LIST, "ListShelves", charges=(rule,)),
        OperationRule(SERVICE, CONFIG, FREE, "GetHealth"),
    ]
    return Rulebook(
        1,
        {(SERVICE, CONFIG, operation.selector): operation for operation in operations},
        overrides={(SERVICE, limit, 42): value for limit, value in overrides.items()},
    )


def a_request(operation: str = LIST, subject: str = "consumer:42", **more: str) -> bytes:
    request = RateLimitRequest(domain=wire.RATE_LIMIT_DOMAIN)
    entries = {
        wire.DESCRIPTOR_SERVICE: SERVICE,
        wire.DESCRIPTOR_CONFIG: CONFIG,
        wire.DESCRIPTOR_OPERATION: operation,
        wire.DESCRIPTOR_SUBJECT: subject,
        **more,
    }
    descriptor = request.descriptors.add()
    for key, value in entries.items():
        descriptor.entries.add(key=key, value=value)
    return request.SerializeToString()


class Gateway:
    """A servicer with a clock that stands still until a test moves it."""

    def __init__(self, book: Rulebook | None = None, counters: Counters | None = None) -> None:
        self.now = 1_800_000_015.0
        self.live = Live(book or a_book())
        self.tally = Tally()
        meter = Meter(self.live, counters or MemoryCounters(), self.tally, lambda: self.now)
        self.servicer = RateLimitServicer(meter)

    def ask(self, data: bytes) -> RateLimitResponse:
        reply = self.servicer.handle(data)
        assert isinstance(reply, bytes)
        return RateLimitResponse.FromString(reply)

    def codes(self, *requests: bytes) -> list[int]:
        return [self.ask(request).overall_code for request in requests]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_only_a_refused_caller_in_grpc_reads_details(elsewhere: bool) -> None:
    gateway = Gateway(counters=Elsewhere() if elsewhere else None)
    in_grpc = a_request(**{wire.DESCRIPTOR_CALLER: wire.CALLER_GRPC})
    replies = [gateway.servicer.handle(data) for data in (in_grpc, a_request(), a_request(), in_grpc)]
    answers = [RateLimitResponse.FromString(one if isinstance(one, bytes) else await one) for one in replies]

    told = [{one.key: one.value for one in answer.response_headers_to_add} for answer in answers]
    assert ["grpc-status-details-bin" in one for one in told] == [False, False, False, True]
    details = read(told[3]["grpc-status-details-bin"])
    assert details
    assert (details.code, details.message) == (8, answers[3].raw_body.decode())
    assert str(details.retry_seconds) == told[3]["retry-after"]
    assert details.violations == [("consumer:42", "The limit 'reads' of 2 per 60 s is used up.")]


class Elsewhere:
    """Counters behind a network: every spend is waited for, and fails when told to."""

    def __init__(self, *, lost: bool = False) -> None:
        self.memory = MemoryCounters()
        self.lost = lost

    def spend(self, charges: Sequence[Charge], now: float) -> Awaitable[Spent]:
        async def wait() -> Spent:
            await asyncio.sleep(0)
            if self.lost:
                raise CountersLost("no answer within 50 ms")
            return self.memory.spend(charges, now)

        return asyncio.ensure_future(wait())

    async def close(self) -> None:
        """Nothing to close."""


class Gone(MemoryCounters):
    """Counters that fail before there is anything to wait for."""

    def spend(self, charges: Sequence[Charge], now: float) -> Spent:
        raise CountersLost("not connected")


def test_the_limit_is_admitted_then_refused_until_the_window_ends() -> None:
    gateway = Gateway()

    assert gateway.codes(*[a_request()] * 3) == [OK, OK, OVER_LIMIT]
    gateway.now += 45
    assert gateway.codes(a_request()) == [OK]


def test_consumers_and_addresses_have_their_own_counts() -> None:
    subjects = ["consumer:42", "consumer:43", "address:203.0.113.9", "address:203.0.113.10"]

    assert (
        Gateway(a_book(1)).codes(*[a_request(subject=subject) for subject in subjects * 2])
        == [OK] * 4 + [OVER_LIMIT] * 4
    )


def test_an_operation_without_limits_is_admitted() -> None:
    assert Gateway().codes(a_request(FREE)) == [OK]


def test_a_new_book_holds_from_the_next_call_and_keeps_the_counts() -> None:
    gateway = Gateway(a_book(2))
    gateway.codes(a_request(), a_request())

    gateway.live.swap(a_book(2, reads=3))
    assert gateway.codes(a_request(), a_request()) == [OK, OVER_LIMIT]

    gateway.live.swap(a_book(1))
    assert gateway.codes(a_request()) == [OVER_LIMIT]


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"not a message", RateLimitRequest(domain="authz").SerializeToString(),
     a_request("1.bookstore.Unknown"), a_request(subject=""), a_request(subject=wire.SUBJECT_MISSING),
     a_request(FREE, subject="")],
    ids=["nothing", "malformed", "text", "no descriptor", "unknown operation", "empty subject", "missing subject",
         "empty subject, no limits"],
)  # fmt: skip
def test_a_question_that_is_none_is_refused_counted_and_logged_once(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = Gateway()

    with caplog.at_level(logging.WARNING):
        assert gateway.codes(data, data) == [OVER_LIMIT, OVER_LIMIT]

    assert gateway.tally.total(TOTAL, decision="bad_ask") == 2
    assert len(caplog.records) == 1
    assert gateway.ask(data).raw_body


async def test_counters_that_are_waited_for_answer_alike() -> None:
    gateway = Gateway(counters=Elsewhere())

    codes = [RateLimitResponse.FromString(await gateway.servicer.handle(a_request())).overall_code for _ in range(3)]

    assert codes == [OK, OK, OVER_LIMIT]


class Slow(MemoryCounters):
    """Counters whose answer never comes."""

    def spend(self, charges: Sequence[Charge], now: float) -> asyncio.Future[Spent]:  # type: ignore[override]
        self.asked = asyncio.get_running_loop().create_future()
        return self.asked


async def test_a_call_that_is_dropped_before_it_ran_lets_go_of_what_it_waited_for() -> None:
    counters = Slow()
    asyncio.ensure_future(Gateway(counters=counters).servicer.handle(a_request())).cancel()
    await until(counters.asked.cancelled)


async def test_large_questions_are_answered_and_not_kept() -> None:
    gateway = Gateway()
    large = RateLimitRequest.FromString(a_request())
    large.domain = "d" * 100_000
    data = large.SerializeToString()
    gateway.codes(data)
    before = sys.getrefcount(data)
    gateway.codes(data)

    assert sys.getrefcount(data) == before == 2


@pytest.mark.parametrize("counters", [Gone(), Elsewhere(lost=True)])
async def test_lost_counters_fail_the_call_so_that_envoys_failure_mode_decides(
    counters: Counters,
) -> None:
    gateway = Gateway(counters=counters)

    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            await gateway.servicer.handle(a_request())
        assert caught.value.code is Code.UNAVAILABLE

    assert gateway.tally.total(TOTAL, decision="counters_lost") == 2
    assert gateway.servicer.handle(a_request(FREE))


def test_every_decision_is_counted() -> None:
    gateway = Gateway()
    gateway.codes(a_request(), a_request(), a_request(), a_request(FREE), b"\xff")

    totals = {name: gateway.tally.total(TOTAL, decision=name) for name in ("allow", "deny", "uncharged", "bad_ask")}

    assert totals == {"allow": 2, "deny": 1, "uncharged": 1, "bad_ask": 1}
