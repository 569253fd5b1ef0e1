"""What every place of counting promises. A further backend joins by a line in BACKENDS."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from authz.quota.counters.base import Charge, Counters, Spent
from authz.quota.counters.leases import LeasedCounters
from authz.quota.counters.memory import MemoryCounters
from authz.telemetry import Tally
from quota.counters.hub import Hub


def Leased() -> Counters:  # noqa: N802 - a kind of counters, as the others in the list
    return LeasedCounters(Hub().join(), Tally())


BACKENDS: list[Callable[[], Counters]] = [MemoryCounters, Leased]

NOW = 4_000_003_200.0  # a minute's and an hour's first second
MINUTE = int(NOW), int(NOW) + 60
HOUR = int(NOW), int(NOW) + 3600
UNLIMITED = -1


def a_charge(
    limit: int, amount: int = 1, *, of: str = "reads", by: str = "consumer:1", window: tuple[int, int] = MINUTE
) -> Charge:
    return Charge(("bookstore", of, by), of, *window, limit, amount)


@pytest.fixture(params=BACKENDS, ids=lambda kind: kind.__name__)
def backend(request: pytest.FixtureRequest) -> Callable[[], Counters]:
    return request.param


@pytest.fixture
async def counters(backend: Callable[[], Counters]) -> AsyncIterator[Counters]:
    counters = backend()
    yield counters
    await counters.close()


async def spend(counters: Counters, *charges: Charge, now: float = NOW) -> Spent:
    spent = counters.spend(charges, now)
    return await spent if inspect.isawaitable(spent) else spent


async def test_the_limit_is_admitted_and_not_one_more(counters: Counters) -> None:
    outcomes = [await spend(counters, a_charge(3)) for _ in range(5)]

    assert [outcome.admitted for outcome in outcomes] == [True, True, True, False, False]
    assert [outcome.totals for outcome in outcomes] == [(1,), (2,), (3,), (3,), (3,)]


async def test_a_call_that_takes_more_than_is_left_takes_nothing(counters: Counters) -> None:
    await spend(counters, a_charge(10, 7))

    assert await spend(counters, a_charge(10, 4)) == Spent(admitted=False, totals=(7,))
    assert await spend(counters, a_charge(10, 3)) == Spent(admitted=True, totals=(10,))


@pytest.mark.parametrize("tight", [0, 1, 2])
async def test_all_charges_are_taken_or_none(counters: Counters, tight: int) -> None:
    names = ["reads", "writes", "bytes"]
    charges = [a_charge(1 if index == tight else 100, of=name) for index, name in enumerate(names)]
    await spend(counters, *charges)

    refused = await spend(counters, *charges)
    looked = await spend(counters, *(a_charge(100, 0, of=name) for name in names))

    assert refused == Spent(admitted=False, totals=(1, 1, 1))
    assert looked.totals == (1, 1, 1)


async def test_zero_blocks(counters: Counters) -> None:
    assert await spend(counters, a_charge(0)) == Spent(admitted=False, totals=(0,))


async def test_minus_one_is_unlimited_and_counts(counters: Counters) -> None:
    for _ in range(3):
        assert (await spend(counters, a_charge(UNLIMITED, 10**12))).admitted

    assert (await spend(counters, a_charge(UNLIMITED, 0))).totals == (3 * 10**12,)


@pytest.mark.parametrize("limit", [0, 2, UNLIMITED])
async def test_an_amount_of_zero_looks_and_is_never_refused(counters: Counters, limit: int) -> None:
    await spend(counters, a_charge(2, 2))

    for _ in range(2):
        assert await spend(counters, a_charge(limit, 0)) == Spent(admitted=True, totals=(2,))


async def test_no_charges_are_admitted(counters: Counters) -> None:
    assert await spend(counters) == Spent(admitted=True, totals=())


async def test_changing_the_limit_keeps_the_count(counters: Counters) -> None:
    await spend(counters, a_charge(5, 4))

    assert await spend(counters, a_charge(3)) == Spent(admitted=False, totals=(4,))
    assert await spend(counters, a_charge(6)) == Spent(admitted=True, totals=(5,))
    assert await spend(counters, a_charge(UNLIMITED)) == Spent(admitted=True, totals=(6,))
    assert await spend(counters, a_charge(6)) == Spent(admitted=False, totals=(6,))


async def test_a_new_window_begins_at_nothing_and_only_at_its_first_second(counters: Counters) -> None:
    end = MINUTE[1]
    following = end, end + 60
    await spend(counters, a_charge(1))

    assert not (await spend(counters, a_charge(1), now=end - 0.001)).admitted
    assert await spend(counters, a_charge(1, window=following), now=end) == Spent(admitted=True, totals=(1,))
    assert not (await spend(counters, a_charge(1, window=following), now=end + 0.001)).admitted


async def test_a_longer_window_outlives_the_shorter(counters: Counters) -> None:
    admitted = []
    for minute in range(4):
        start = MINUTE[0] + 60 * minute
        charges = (a_charge(1, of="burst", window=(start, start + 60)), a_charge(3, of="total", window=HOUR))
        admitted.append((await spend(counters, *charges, now=start)).admitted)

    assert admitted == [True, True, True, False]


async def test_counters_of_others_are_their_own(counters: Counters) -> None:
    ways = [{"by": "consumer:2"}, {"by": "address:consumer:1"}, {"of": "writes"}, {"window": HOUR}]
    await spend(counters, a_charge(1))

    for way in ways:
        assert (await spend(counters, a_charge(1, **way))).totals == (1,), way


async def test_keys_that_would_read_the_same_when_joined_are_two_counters(counters: Counters) -> None:
    first, second = (Charge(key, "x", *MINUTE, 1, 1) for key in [("a_b", "c", "d"), ("a", "b_c", "d")])
    await spend(counters, first)

    assert (await spend(counters, second)).admitted


async def test_time_that_goes_back_finds_its_counts_or_is_refused_but_never_starts_anew(counters: Counters) -> None:
    start, end = MINUTE
    await spend(counters, a_charge(1))
    await spend(counters, a_charge(1, window=(end, end + 60)), now=end)

    assert not (await spend(counters, a_charge(1), now=start)).admitted
    assert not (await spend(counters, a_charge(1, window=(end, end + 60)), now=end + 1)).admitted


async def test_time_that_goes_back_within_a_window_changes_nothing(counters: Counters) -> None:
    await spend(counters, a_charge(2), now=NOW + 50)

    assert (await spend(counters, a_charge(2), now=NOW + 1)).totals == (2,)
    assert not (await spend(counters, a_charge(2), now=NOW + 40)).admitted


async def test_many_tasks_are_admitted_exactly_the_limit(counters: Counters) -> None:
    async def caller(number: int) -> int:
        admitted = 0
        for _ in range(20):
            await asyncio.sleep(0)
            charges = a_charge(100), a_charge(7, of="own", by=f"consumer:{number}")
            admitted += (await spend(counters, *charges)).admitted
        return admitted

    assert sum(await asyncio.gather(*map(caller, range(50)))) == 100


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns as often as they can, so that a step which is not atomic shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize("backend", [MemoryCounters], ids=["MemoryCounters"])
async def test_many_threads_are_admitted_exactly_the_limit(counters: Counters) -> None:
    """Only what answers without an event loop can be asked by threads.

    Four threads, two counters that both bind: whoever is refused by one must not have taken from the other."""

    def caller(_: int) -> int:
        return sum(asyncio.run(_spend_often()))

    async def _spend_often() -> list[bool]:
        return [(await spend(counters, a_charge(1500, of="a"), a_charge(1000, of="b"))).admitted for _ in range(500)]

    with ThreadPoolExecutor(4) as pool:
        admitted = sum(pool.map(caller, range(4)))

    assert admitted == 1000
    assert (await spend(counters, a_charge(0, 0, of="a"), a_charge(0, 0, of="b"))).totals == (1000, 1000)


class Model:
    """The promise in its plainest form: a number per window and counter."""

    def __init__(self) -> None:
        self.totals: dict[Any, int] = {}

    def spend(self, charges: list[Charge]) -> Spent:
        keys = [(charge.key, charge.start, charge.end) for charge in charges]
        before = [self.totals.get(key, 0) for key in keys]
        if any(c.amount and 0 <= c.limit < n + c.amount for c, n in zip(charges, before, strict=True)):
            return Spent(admitted=False, totals=tuple(before))
        self.totals.update({k: n + c.amount for k, n, c in zip(keys, before, charges, strict=True)})
        return Spent(admitted=True, totals=tuple(self.totals[key] for key in keys))


@st.composite
def scripts(draw: st.DrawFn) -> list[tuple[float, list[Charge]]]:
    """Calls in the order of time, each with some of three limits of three windows and any value and amount."""
    steps = draw(st.lists(st.integers(0, 45), max_size=30))
    script = []
    for second in itertools.accumulate(steps, initial=int(NOW)):
        charges = []
        for name, length in draw(st.lists(st.sampled_from([("a", 1), ("b", 60), ("c", 3600)]), unique=True)):
            start = second - second % length
            limit = draw(st.integers(-1, 8))
            charges.append(a_charge(limit, draw(st.integers(0, 4)), of=name, window=(start, start + length)))
        script.append((second + draw(st.sampled_from([0.0, 0.5])), charges))
    return script


@hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=scripts())
def test_any_sequence_of_calls_is_counted_as_the_plain_model_counts_it(
    backend: Callable[[], Counters], script: list[tuple[float, list[Charge]]]
) -> None:
    async def run() -> None:
        counters, model = backend(), Model()
        for now, charges in script:
            assert await spend(counters, *charges, now=now) == model.spend(charges)
        await counters.close()

    asyncio.run(run())
