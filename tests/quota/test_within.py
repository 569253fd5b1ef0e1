"""Charging within Check: what a call's caller is told, and what becomes of it when nobody counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from envoy.config.core.v3.base_pb2 import HeaderValue

from authz.errors import Code, Refusal
from authz.model.quota import Charged
from authz.quota.counters.base import Charge, Counters, CountersLost, Spent
from authz.quota.counters.memory import MemoryCounters
from authz.quota.meter import TOTAL, Meter
from authz.quota.servicer import RateLimitServicer
from authz.quota.within import ChargingCheck
from authz.rulebook.live import Live
from authz.settings import Settings
from authz.telemetry import Tally
from harness.statuses import read
from harness.waiting import until
from quota.test_servicer import CONFIG, FREE, LIST, SERVICE, a_book, a_request

OPERATION = SERVICE, CONFIG, LIST
NOW = 1_800_000_015.0


class Gateway:
    def __init__(self, counters: Counters | None = None, **settings: Any) -> None:
        self.tally = Tally()
        self.meter = Meter(Live(a_book(2)), counters or MemoryCounters(), self.tally, lambda: NOW)
        self.charging = ChargingCheck(self.meter, Settings(**settings))

    def charge(self, consumer: int | None = 42, address: str = "", selector: str = LIST) -> Charged:
        charged = self.charging.charge((SERVICE, CONFIG, selector), consumer, address)
        assert isinstance(charged, Charged)
        return charged

    async def wait(self) -> Charged:
        charged = self.charging.charge(OPERATION, 42, "")
        assert isinstance(charged, asyncio.Future)
        return await charged


class Elsewhere(MemoryCounters):
    """Counters that are waited for: for ever, until they are lost, or until they have counted."""

    def __init__(self, outcome: Spent | Exception | None = None) -> None:
        super().__init__()
        self.outcome = outcome

    def spend(self, charges: Sequence[Charge], now: float) -> asyncio.Future[Spent]:  # type: ignore[override]
        self.asked: asyncio.Future[Spent] = asyncio.get_running_loop().create_future()
        if isinstance(self.outcome, Spent):
            self.asked.set_result(self.outcome)
        elif self.outcome is not None:
            self.asked.set_exception(self.outcome)
        return self.asked


class Gone(MemoryCounters):
    def spend(self, charges: Sequence[Charge], now: float) -> Spent:
        raise CountersLost("not connected")


def headers(charged: Charged) -> dict[str, str]:
    read = [HeaderValue.FromString(each) for each in charged.headers]
    return {each.key: each.value for each in read}


def test_a_call_is_told_where_its_limits_stand_and_then_why_not() -> None:
    gateway = Gateway()
    first, _, third = (gateway.charge() for _ in range(3))

    assert first.passes
    assert headers(first) == {
        "x-ratelimit-limit": '2, 2;w=60;name="reads"', "x-ratelimit-remaining": "1", "x-ratelimit-reset": "45"
    }  # fmt: skip
    assert not third.passes
    assert not third.lost
    assert third.text.startswith("RESOURCE_EXHAUSTED: The limit 'reads' of 2 per 60 s is used up.")
    assert headers(third)["x-ratelimit-remaining"] == "0"
    assert headers(third)["retry-after"] == "45"
    assert gateway.tally.total(TOTAL, decision="deny") == 1


def test_a_caller_in_grpc_reads_who_may_come_back_when_and_what_stands_in_the_way() -> None:
    gateway = Gateway()
    first, _, third = (gateway.charge() for _ in range(3))

    assert first.details is None
    assert third.details
    told = HeaderValue.FromString(third.details())
    details = read(told.value)
    assert told.key == "grpc-status-details-bin"
    assert details
    assert (details.code, details.message) == (8, third.text)
    assert details.reason == ("QUOTA_USED_UP", SERVICE)
    assert str(details.retry_seconds) == headers(third)["retry-after"]
    assert details.violations == [("consumer:42", "The limit 'reads' of 2 per 60 s is used up.")]


@pytest.mark.parametrize("marked", [True, False])
def test_denials_are_marked_as_envoys_own_where_its_headers_are_wanted(marked: bool) -> None:
    gateway = Gateway(envoy_headers=marked)
    allowed, _, denied = (gateway.charge() for _ in range(3))

    assert ("x-envoy-ratelimited" in headers(denied)) is marked
    assert "x-envoy-ratelimited" not in headers(allowed)


def test_without_a_consumer_the_address_is_charged_and_without_both_nobody_passes() -> None:
    gateway = Gateway()

    assert [gateway.charge(None, "192.0.2.1").passes for _ in range(3)] == [True, True, False]
    assert gateway.charge(None, "192.0.2.2").passes
    refused = gateway.charge(None, "192.0.2.1")
    details = read(HeaderValue.FromString(refused.details()).value) if refused.details else None
    assert details
    assert details.violations[0][0] == "address:192.0.2.1"
    nobody = gateway.charge(None, "")
    assert not nobody.passes
    assert nobody.text
    assert gateway.tally.total(TOTAL, decision="bad_ask") == 1


def test_it_takes_from_the_counters_that_rate_limit_takes_from() -> None:
    gateway = Gateway()
    servicer = RateLimitServicer(gateway.meter)
    gateway.charge()
    servicer.handle(a_request())

    assert not gateway.charge().passes
    assert gateway.charge(None, "203.0.113.9").passes
    servicer.handle(a_request(subject="address:203.0.113.9"))
    assert not gateway.charge(None, "203.0.113.9").passes


def test_an_operation_without_limits_takes_nothing() -> None:
    assert Gateway().charge(selector=FREE) == Charged(True)


@pytest.mark.parametrize(("when_down", "passes"), [("allow", True), ("deny", False), ("local", True)])
@pytest.mark.parametrize("at_once", [True, False])
async def test_without_counters_the_setting_decides(when_down: str, passes: bool, at_once: bool) -> None:
    gateway = Gateway(Gone() if at_once else Elsewhere(CountersLost("")), quota_when_down=when_down)
    charged = gateway.charge() if at_once else await gateway.wait()

    assert (charged.passes, charged.lost) == (passes, True)
    assert gateway.tally.total(TOTAL, decision="counters_lost") == 1


async def test_counters_that_are_waited_for_answer_alike() -> None:
    charged = await Gateway(Elsewhere(Spent(False, (2,)))).wait()

    assert not charged.passes
    assert headers(charged)["x-ratelimit-remaining"] == "0"


@pytest.mark.parametrize("settings", [{"quota_timeout": 0.01}, {"check_timeout": 0.02}])
async def test_counters_are_waited_for_as_long_as_check_may_take_and_then_let_go(settings: dict[str, float]) -> None:
    counters = Elsewhere()
    charged = await Gateway(counters, **settings).wait()

    assert charged == Charged(True, lost=True)
    await until(counters.asked.cancelled)


async def test_a_call_that_is_dropped_lets_go_of_what_it_waited_for() -> None:
    counters = Elsewhere()
    asyncio.ensure_future(Gateway(counters).wait()).cancel()
    waiting = Gateway(counters).charging.charge(OPERATION, 42, "")
    assert isinstance(waiting, asyncio.Future)
    waiting.cancel()

    await until(counters.asked.cancelled)


async def test_trouble_of_another_kind_is_not_an_allow() -> None:
    with pytest.raises(Refusal):
        await Gateway(Elsewhere(Refusal(Code.INTERNAL, "a mistake"))).wait()
