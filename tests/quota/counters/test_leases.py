"""Processes that share a ledger: exact together, cheap apart, whatever gets lost on the way."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from authz.quota.counters.base import Charge, CountersLost, Spent
from authz.quota.counters.leases import AHEAD, PATIENCE, LeasedCounters
from authz.quota.counters.ledger import SHARE
from authz.quota.counters.pages import Pages
from authz.telemetry import Tally
from quota.counters.hub import Hub, Member

NOW = 4_000_003_200
MINUTE = NOW, NOW + 60


def a_charge(
    limit: int, amount: int = 1, *, of: str = "reads", by: str = "consumer:1", window: tuple[int, int] = MINUTE
) -> Charge:
    return Charge(("bookstore", of, by), of, *window, limit, amount)


async def spend(counters: LeasedCounters, *charges: Charge, now: float = NOW) -> Spent:
    spent = counters.spend(charges, now)
    return await spent if inspect.isawaitable(spent) else spent


@asynccontextmanager
async def processes(hub: Hub, count: int, *, share: bool = False) -> AsyncIterator[list[LeasedCounters]]:
    everybody = [LeasedCounters(hub.join(), Tally(), share=share) for _ in range(count)]
    for counters in everybody:
        await counters.start()
    yield everybody
    for counters in everybody:
        await counters.close()


async def until(condition: Callable[[], bool]) -> None:
    """Turns of the loop, and real time for what waits on timers, until it holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is nothing that would set an event
            await asyncio.sleep(0.001)


async def booked(hub: Hub) -> None:
    """Until the first step is made, and its answer on the way."""
    while not len(hub.pages):  # noqa: ASYNC110 - a turn of the loop at a time, lest the answer come
        await asyncio.sleep(0)


async def drain(counters: LeasedCounters, *charges: Charge, calls: int) -> int:
    return sum([(await spend(counters, *charges)).admitted for _ in range(calls)])


# -- exact ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "count", "tasks"), [(7, 3, 4), (100, 4, 8), (1000, 1, 20), (1000, 4, 5)])
@pytest.mark.parametrize("second", [None, 3])
async def test_twice_the_limit_is_asked_for_and_exactly_the_limit_admitted(
    limit: int, count: int, tasks: int, second: int | None
) -> None:
    """No units stay with a process that has no more requests while another refuses some."""
    charges = [a_charge(limit)] + ([a_charge(limit // second, of="b")] if second else [])
    calls = -(-2 * limit // (count * tasks))
    async with processes(Hub(), count) as everybody:
        admitted = await asyncio.gather(
            *(drain(counters, *charges, calls=calls) for counters in everybody for _ in range(tasks))
        )

    assert sum(admitted) == min(charge.limit for charge in charges)


async def test_a_process_that_comes_late_gets_what_another_only_holds() -> None:
    async with processes(Hub(), 2) as (early, late):
        await spend(early, a_charge(100))  # and claims a part of the rest ahead
        await until(lambda: not early.is_busy)

        assert await drain(late, a_charge(100), calls=120) == 99


async def test_a_cost_above_one_never_splits() -> None:
    async with processes(Hub(), 3) as everybody:
        admitted = await asyncio.gather(*(drain(counters, a_charge(100, 7), calls=10) for counters in everybody))

    assert sum(admitted) == 100 // 7


async def test_what_a_refused_request_did_not_take_is_there_for_others() -> None:
    hub = Hub()
    async with processes(hub, 2) as (one, other):
        assert await drain(one, a_charge(100, of="wide"), a_charge(0, of="shut"), calls=10) == 0

        assert await drain(other, a_charge(100, of="wide"), calls=101) == 100


async def test_unspent_units_return_when_a_process_ends() -> None:
    hub = Hub()
    async with processes(hub, 1) as (leaving,):
        await spend(leaving, a_charge(100))
    deaf = hub.join()
    deaf.hears = False
    counters = LeasedCounters(deaf, Tally())

    assert await drain(counters, a_charge(100), calls=101) == 99


async def test_a_killed_process_takes_with_it_no_more_than_it_held() -> None:
    hub = Hub()
    async with processes(hub, 1) as (living,):
        killed = hub.join()
        spent = 10 + await drain(LeasedCounters(killed, Tally()), a_charge(10_000), calls=10) - 10
        await until(lambda: True)
        killed.deaf = True

        admitted = await drain(living, a_charge(10_000), calls=10_050)

    assert 10_000 - AHEAD - 1 <= spent + admitted <= 10_000


async def test_a_holder_that_does_not_answer_delays_one_request_and_not_the_next() -> None:
    hub = Hub()
    async with processes(hub, 2) as (holder, other):
        await spend(holder, a_charge(40))
        await until(lambda: not holder.is_busy)
        hub.joined[0].deaf = True
        loop = asyncio.get_running_loop()

        started = loop.time()
        await drain(other, a_charge(40), calls=40)
        first = loop.time() - started
        assert not (await spend(other, a_charge(40))).admitted
        second = loop.time() - started - first

    assert PATIENCE <= first < 2
    assert second < PATIENCE / 2


# -- cheap ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1_000, 10_000, 100_000])
@pytest.mark.parametrize("count", [1, 2, 8])
async def test_a_request_costs_a_twentieth_of_a_round_trip_at_most(limit: int, count: int) -> None:
    hub = Hub()
    async with processes(hub, count) as everybody:
        admitted = await asyncio.gather(
            *(drain(counters, a_charge(limit), calls=limit // count) for counters in everybody)
        )

    assert hub.settled <= sum(admitted) * 0.05


@pytest.mark.parametrize(("calls", "most"), [(1, 1.0), (20, 0.05), (100, 0.03)])
async def test_a_consumers_first_call_in_a_window_asks(calls: int, most: float) -> None:
    """Nothing is held for a consumer who may never come: it takes some calls until that is a twentieth of each."""
    hub = Hub()
    async with processes(hub, 2) as everybody:
        for consumer in range(20):
            for _ in range(calls):
                await spend(everybody[consumer % 2], a_charge(1_000, of=f"consumer {consumer}"))

    # Each process asks once more when it begins.
    assert 20 <= hub.settled <= 20 * calls * most + 2


async def test_refusals_cost_nothing_once_a_window_is_used_up() -> None:
    hub = Hub()
    async with processes(hub, 2) as everybody:
        for counters in everybody:
            await drain(counters, a_charge(50), calls=51)
        before = hub.settled

        assert [await drain(counters, a_charge(50), calls=100) for counters in everybody] == [0, 0]
        assert hub.settled == before


async def test_what_many_ask_in_one_turn_of_the_loop_travels_together() -> None:
    hub = Hub()
    async with processes(hub, 1) as (counters,):
        await asyncio.gather(*(spend(counters, a_charge(10, by=f"consumer:{number}")) for number in range(100)))

    assert hub.settled <= 2  # and the return at the end


async def test_a_request_that_finds_units_is_answered_at_once() -> None:
    async with processes(Hub(), 1) as (counters,):
        await spend(counters, a_charge(1000))
        await until(lambda: not counters.is_busy)

        assert isinstance(counters.spend([a_charge(1000)], NOW), Spent)


async def test_units_are_fetched_before_they_run_out() -> None:
    """At a steady pace only the first request ever waits."""
    waited = 0
    async with processes(Hub(), 1) as (counters,):
        for _ in range(500):
            spent = counters.spend([a_charge(1000)], NOW)
            if not isinstance(spent, Spent):
                waited += 1
                await spent
            for _ in range(6):
                await asyncio.sleep(0)

    assert waited == 1


# -- when things get lost ---------------------------------------------------------------------------------------


async def test_while_the_ledger_is_lost_what_is_held_is_spent_and_no_more() -> None:
    hub = Hub()
    async with processes(hub, 1) as (counters,):
        await spend(counters, a_charge(100))
        hub.lost = "it is gone"

        held = await drain(counters, a_charge(100), calls=99 // SHARE)
        with pytest.raises(CountersLost, match="it is gone"):
            await spend(counters, a_charge(100))

    assert held == 99 // SHARE


async def test_requests_that_wait_when_the_ledger_is_lost_are_told_at_once() -> None:
    hub = Hub(delay=5)
    async with processes(hub, 1) as (counters,):
        asked = [spend(counters, a_charge(100, by=f"consumer:{number}")) for number in range(3)]
        answers = asyncio.gather(*asked, return_exceptions=True)
        await asyncio.sleep(0)
        hub.lost = "it is gone"

        assert all(isinstance(answer, CountersLost) for answer in await answers)


async def test_with_shares_each_process_admits_its_part_and_the_ledger_learns_of_it() -> None:
    hub = Hub()
    async with processes(hub, 4, share=True) as everybody:
        hub.lost = "it is gone"
        admitted = [await drain(counters, a_charge(100), calls=50) for counters in everybody]
        hub.lost = ""
        await until(lambda: not any(counters.lost for counters in everybody))

        assert admitted == [25, 25, 25, 25]
        assert [await drain(counters, a_charge(100), calls=1) for counters in everybody] == [0] * 4


async def test_a_share_is_of_what_was_left_when_it_was_last_asked() -> None:
    hub = Hub()
    async with processes(hub, 2, share=True) as (one, other):
        await drain(one, a_charge(100), calls=60)
        await drain(other, a_charge(100), calls=1)
        await until(lambda: not (one.is_busy or other.is_busy))
        hub.lost = "it is gone"
        admitted = [await drain(counters, a_charge(100), calls=100) for counters in (one, other)]

    assert all(0 < each < 100 // 2 for each in admitted)


async def test_an_answer_that_was_lost_costs_nothing() -> None:
    """The ledger booked it; the next line says what was really received."""
    hub = Hub()
    async with processes(hub, 1) as (counters,):
        hub.answers_lost = True
        with pytest.raises(CountersLost):
            await spend(counters, a_charge(100))
        hub.answers_lost = False
        await until(lambda: not counters.lost)

        assert await drain(counters, a_charge(100), calls=101) == 100


async def test_a_ledger_that_lost_its_memory_learns_again_what_was_spent() -> None:
    hub = Hub()
    async with processes(hub, 2) as (busy, other):
        await drain(busy, a_charge(100), calls=60)
        hub.lost = "it is gone"
        with pytest.raises(CountersLost):
            await drain(busy, a_charge(100, by="consumer:2"), calls=1)
        hub.pages.__init__()  # type: ignore[misc] # empty, as after a restart without its data
        hub.lost = ""
        await until(lambda: not busy.lost and not busy.is_busy and len(hub.pages) > 0)

        assert await drain(other, a_charge(100), calls=100) == 40


async def test_a_caller_that_leaves_takes_nothing_with_it() -> None:
    hub = Hub(delay=3)
    async with processes(hub, 2) as (one, other):
        for _ in range(10):
            asked = asyncio.ensure_future(spend(one, a_charge(20), a_charge(1000, of="b")))
            await asyncio.sleep(0)
            asked.cancel()
        await until(lambda: not one.is_busy)

        assert await drain(other, a_charge(20), a_charge(1000, of="b"), calls=30) == 20


async def test_a_window_that_the_ledger_calls_over_is_no_denial() -> None:
    hub = Hub(now=NOW + 3600)
    async with processes(hub, 1) as (counters,):
        with pytest.raises(CountersLost, match="clock"):
            await spend(counters, a_charge(100))

        assert counters.clock() == pytest.approx(NOW + 3600, abs=5)


async def test_windows_that_are_over_are_let_go_of() -> None:
    async with processes(Hub(), 1) as (counters,):
        for number in range(200):
            await spend(counters, a_charge(10, by=f"consumer:{number}"))
        following = MINUTE[1], MINUTE[1] + 60
        for _ in range(20):
            await spend(counters, a_charge(1000, window=following), now=MINUTE[1])

        assert counters.held() == 1


async def test_time_that_goes_back_finds_its_counts() -> None:
    async with processes(Hub(), 1) as (counters,):
        await drain(counters, a_charge(10), calls=10)
        await spend(counters, a_charge(10, window=(MINUTE[1], MINUTE[1] + 60)), now=MINUTE[1])
        for _ in range(5):
            await spend(counters, a_charge(10, by="consumer:2", window=(MINUTE[1], MINUTE[1] + 60)), now=MINUTE[1])

        assert not (await spend(counters, a_charge(10), now=NOW)).admitted


@pytest.mark.parametrize("way", ["cancelled", "lost"])
async def test_units_that_come_back_are_found_by_who_was_refused(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step took can return: its caller had left, or its answer never came."""
    monkeypatch.setattr("authz.quota.counters.leases.NEWS", 0)
    hub = Hub(delay=3)
    async with processes(hub, 2) as (one, other):
        asked = asyncio.ensure_future(spend(one, a_charge(10, 10)))
        await booked(hub)
        hub.answers_lost = way == "lost"
        if way == "cancelled":
            asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await asyncio.gather(spend(other, a_charge(10)), return_exceptions=True)
        hub.answers_lost = False
        await until(lambda: not (one.lost or other.lost or one.is_busy or other.is_busy))

        assert (await spend(other, a_charge(10))).admitted


async def test_a_window_that_is_used_up_is_asked_about_by_one_request_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub()
    async with processes(hub, 1) as (counters,):
        await drain(counters, a_charge(3), calls=4)
        before = hub.settled
        monkeypatch.setattr("authz.quota.counters.leases.NEWS", -1)
        await asyncio.gather(*(spend(counters, a_charge(3)) for _ in range(20)))

        assert hub.settled - before <= 2


async def test_two_requests_with_what_the_other_lacks_do_not_lock_each_other_out() -> None:
    a, b = (a_charge(2, of=name) for name in "ab")
    async with processes(Hub(), 2) as (one, other):
        hold = [one.spend([a_charge(2, of="a")], NOW), other.spend([a_charge(2, of="b")], NOW)]
        await asyncio.gather(*(each for each in hold if not isinstance(each, Spent)))

        outcomes = await asyncio.gather(spend(one, a, b), spend(other, a, b))

    assert sorted(outcome.admitted for outcome in outcomes) == [False, True]


async def test_a_process_that_ends_while_it_asks_leaves_nothing_claimed() -> None:
    hub = Hub(delay=3)
    leaving = LeasedCounters(hub.join(), Tally())
    asked = asyncio.ensure_future(spend(leaving, a_charge(300)))
    await booked(hub)
    await leaving.close()
    await asyncio.gather(asked, return_exceptions=True)

    async with processes(hub, 1) as (other,):
        assert await drain(other, a_charge(300), calls=301) == 300


async def test_what_was_spent_without_a_limit_is_known_when_one_comes() -> None:
    async with processes(Hub(), 2) as (one, other):
        for counters in (one, other):
            await drain(counters, a_charge(-1), calls=3 * AHEAD)
        await until(lambda: not (one.is_busy or other.is_busy))

        assert await drain(other, a_charge(4 * AHEAD), calls=10) == 0


async def test_a_ledger_that_forgot_between_two_requests_is_told_again() -> None:
    """Nothing fails then: only that the memory has another name shows it."""
    hub = Hub()
    async with processes(hub, 2) as (busy, other):
        await drain(busy, a_charge(100), calls=100)
        hub.pages = Pages()
        await until(lambda: len(hub.pages) > 0)

        assert await drain(other, a_charge(100), calls=100) == 0


async def test_a_ledger_that_talks_nonsense_is_looked_for_like_one_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub()
    async with processes(hub, 1) as (counters,):
        member = hub.joined[0]
        monkeypatch.setattr(member, "time", lambda: asyncio.sleep(0, "nonsense"))
        await until(lambda: bool(counters.lost))
        monkeypatch.undo()

        await until(lambda: not counters.lost)


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**9),
    limit=st.integers(0, 60),
    second=st.one_of(st.none(), st.integers(0, 60)),
    count=st.integers(1, 4),
    delay=st.integers(0, 3),
    trouble=st.sampled_from(["", "lost", "answers", "deaf", "leaving", "lowered"]),
)
def test_whatever_happens_no_more_than_the_limit_is_admitted(
    seed: int, limit: int, second: int | None, count: int, delay: int, trouble: str
) -> None:
    """Random callers on random processes, and one kind of trouble at random moments."""
    dice = random.Random(seed)
    hub = Hub(delay=delay)

    async def caller(counters: LeasedCounters, most: int) -> int:
        admitted = 0
        for _ in range(30):
            lowered = trouble == "lowered" and dice.random() < 0.3
            charges = [a_charge(most // 2 if lowered else most, dice.choice([1, 1, 2]))]
            if second is not None:
                charges.append(a_charge(second, of="b"))
            asked: Awaitable[Spent] = spend(counters, *charges)
            if trouble == "leaving" and dice.random() < 0.3:
                asked = asyncio.wait_for(asked, 0)
            try:
                spent = await asked
            except (CountersLost, TimeoutError):
                spent = Spent(False, ())
            admitted += spent.admitted * charges[0].amount
            await _disturb(hub, trouble, dice)
        return admitted

    async def run() -> int:
        async with processes(hub, count) as everybody:
            callers = (caller(counters, limit) for counters in everybody for _ in range(3))
            admitted = sum(await asyncio.gather(*callers))
            hub.lost, hub.answers_lost = "", False
            return admitted

    assert asyncio.run(run()) <= limit


async def _disturb(hub: Hub, trouble: str, dice: random.Random) -> None:
    hub.lost = "gone" if trouble == "lost" and dice.random() < 0.2 else ""
    hub.answers_lost = trouble == "answers" and dice.random() < 0.2
    member: Member = dice.choice(hub.joined)
    member.deaf = trouble == "deaf" and dice.random() < 0.2
    for _ in range(dice.randrange(3)):
        await asyncio.sleep(0)
