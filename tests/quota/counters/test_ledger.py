"""What every ledger promises. A further one joins by a line in PLACES."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from authz.model.quota import UNLIMITED
from authz.quota.counters.ledger import (
    GRACE,
    SHARE,
    Balance,
    Entry,
    Ledger,
    LedgerLost,
    Line,
    Settlement,
    Window,
    Wish,
)
from authz.quota.counters.machine import LedgerHost, MachineLedger
from authz.quota.counters.pages import Pages
from authz.quota.counters.redis import RedisLedger
from harness import redis_server
from harness.waiting import until

Make = Callable[[], Ledger]
Place = Callable[[], AbstractAsyncContextManager[Make]]


class Hall:
    """Where ledgers of one event loop meet: the pages themselves."""

    def __init__(self) -> None:
        self.pages = Pages()
        self.ledgers: list[Neighbour] = []


class Neighbour:
    """A ledger on pages in the same process: the rule, and nothing between."""

    hears = True

    def __init__(self, hall: Hall) -> None:
        self.hall = hall

    @property
    def members(self) -> int:
        return len(self.hall.ledgers)

    async def start(self, recalled: Callable[[Window], None]) -> None:
        self.recalled = recalled
        self.hall.ledgers.append(self)

    async def settle(self, entries: Sequence[Entry]) -> Sequence[Settlement | LedgerLost]:
        return [self.hall.pages.settle(entry, await self.time()) for entry in entries]

    async def time(self) -> float:
        return time.time()

    async def recall(self, windows: Sequence[Window]) -> None:
        for ledger, window in itertools.product(self.hall.ledgers, windows):
            if ledger is not self:
                ledger.recalled(window)

    async def close(self) -> None:
        self.hall.ledgers.remove(self)


@contextlib.asynccontextmanager
async def in_memory() -> AsyncIterator[Make]:
    yield functools.partial(Neighbour, Hall())


@contextlib.asynccontextmanager
async def on_a_server(binary: Any) -> AsyncIterator[Make]:
    async with redis_server.a_server(binary) as server:
        yield lambda: RedisLedger(server.url, timeout=2)


@contextlib.asynccontextmanager
async def on_this_machine() -> AsyncIterator[Make]:
    # A socket's path may have 108 characters at most, so it is not in the test's own directory.
    with tempfile.TemporaryDirectory(prefix="authz-") as name:
        path = Path(name) / "ledger.sock"
        host = LedgerHost(path)
        await host.start()
        try:
            yield lambda: MachineLedger(path, timeout=2)
        finally:
            await host.close()


PLACES: dict[str, Place] = {
    "memory": in_memory,
    "machine": on_this_machine,
    **{
        name: functools.partial(on_a_server, binary)
        for name, binary in zip(redis_server.NAMES, redis_server.BINARIES, strict=True)
    },
}


@pytest.fixture(params=PLACES.values(), ids=PLACES)
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    async with request.param() as make:
        yield make


@pytest.fixture
async def ledger(make: Make) -> AsyncIterator[Ledger]:
    async with started(make) as ledger:
        yield ledger


@contextlib.asynccontextmanager
async def started(make: Make, recalled: Callable[[Window], None] = lambda _: None) -> AsyncIterator[Ledger]:
    ledger = make()
    await ledger.start(recalled)
    try:
        yield ledger
    finally:
        await ledger.close()


class Bench:
    """A ledger with short words for what a test asks of it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.turns = itertools.count(1)

    async def window(self, *key: str, ends: float = 60) -> Window:
        now = int(await self.ledger.time())
        return Window(key or ("bookstore", "reads", "consumer:1"), now - 60, now + int(ends))

    async def settle(self, *lines: Line, wishes: Sequence[Wish] = (), turn: int = 0) -> Settlement:
        (one,) = await self.ledger.settle([Entry(turn or next(self.turns), lines, tuple(wishes))])
        assert isinstance(one, Settlement), one
        return one


@pytest.fixture
def bench(ledger: Ledger) -> Bench:
    return Bench(ledger)


def line(
    window: Window, owner: str = "one", *, claim: int = 0, held: int = 0, advance: int = 0, limit: int = 100
) -> Line:
    return Line(window, owner, claim, held, advance, limit)


def wish(requests: int, *amounts: int) -> Wish:
    return Wish(requests, amounts or (1,))


async def test_what_is_wished_for_comes_first_and_of_the_rest_a_share_at_most(bench: Bench) -> None:
    window = await bench.window()

    settled = await bench.settle(line(window, advance=1000), wishes=[wish(20)])

    share = 80 // SHARE
    assert settled.admitted == (20,)
    assert settled.balances == (Balance(advance=share, claimed=20 + share, held=share),)


async def test_an_advance_is_no_more_than_was_asked(bench: Bench) -> None:
    settled = await bench.settle(line(await bench.window(), advance=7))

    assert settled.balances == (Balance(7, 7, 7),)


async def test_all_owners_together_get_the_limit_and_not_one_more(bench: Bench) -> None:
    window = await bench.window()

    admitted = [(await bench.settle(line(window, owner), wishes=[wish(40)])).admitted for owner in "abc"]

    assert admitted == [(40,), (40,), (20,)]
    assert (await bench.settle(line(window, "d", advance=9), wishes=[wish(1)])).balances == (Balance(0, 100, 0),)


async def test_requests_of_a_wish_are_admitted_whole(bench: Bench) -> None:
    settled = await bench.settle(line(await bench.window(), limit=10), wishes=[wish(5, 3), wish(2, 1)])

    assert settled.admitted == (3, 1)


async def test_a_wish_takes_of_all_windows_or_of_none(bench: Bench) -> None:
    wide, narrow = await bench.window("s", "wide", "c"), await bench.window("s", "narrow", "c")

    settled = await bench.settle(
        line(wide, limit=100), line(narrow, limit=3), wishes=[wish(5, 10, 1), wish(4, 1, 0), wish(1, 0, 1)]
    )

    assert settled.admitted == (3, 4, 0)
    assert [balance.claimed for balance in settled.balances] == [34, 3]


async def test_what_takes_nothing_is_always_admitted(bench: Bench) -> None:
    settled = await bench.settle(line(await bench.window(), limit=0), wishes=[wish(7, 0), wish(1, 1)])

    assert settled.admitted == (7, 0)


async def test_minus_one_is_unlimited(bench: Bench) -> None:
    window = await bench.window()

    settled = await bench.settle(line(window, advance=10**6, limit=UNLIMITED), wishes=[wish(3, 10**12)])

    assert settled.admitted == (3,)
    assert settled.balances == (Balance(10**6, 3 * 10**12 + 10**6, 10**6),)


async def test_units_that_are_given_back_are_there_for_others(bench: Bench) -> None:
    window = await bench.window()
    granted = await bench.settle(line(window, "a", advance=25), wishes=[wish(75)])
    assert granted.balances[0].held > 1

    back = await bench.settle(line(window, "a", claim=76, held=0))

    assert back.balances == (Balance(0, 76, 0),)
    assert (await bench.settle(line(window, "b"), wishes=[wish(99)])).admitted == (24,)


async def test_an_answer_that_was_lost_costs_nothing(bench: Bench) -> None:
    """The next line says what was really received."""
    window = await bench.window()
    await bench.settle(line(window, "a", advance=25), wishes=[wish(50)])

    await bench.settle(line(window, "a", claim=0, held=0))

    assert (await bench.settle(line(window, "b"), wishes=[wish(100)])).admitted == (100,)


@pytest.mark.parametrize("turn", [1, 2])
async def test_what_comes_late_or_twice_changes_nothing(bench: Bench, turn: int) -> None:
    window = await bench.window()
    await bench.settle(line(window, "a"), wishes=[wish(10)], turn=2)

    again = await bench.settle(line(window, "a", claim=1, held=1, advance=5), wishes=[wish(10)], turn=turn)

    assert again.admitted == (0,)
    assert again.balances == (Balance(0, 10, 0),)
    assert (await bench.settle(line(window, "b"), turn=1)).balances == (Balance(0, 10, 0),)


async def test_one_line_that_comes_late_stops_the_grants_of_its_entry_and_the_others_are_heard(bench: Bench) -> None:
    old, new = await bench.window("s", "old", "c"), await bench.window("s", "new", "c")
    await bench.settle(line(old, claim=3), turn=5)

    settled = await bench.settle(line(old, claim=9), line(new, claim=4, held=2), wishes=[wish(1, 1, 1)], turn=4)

    assert settled.admitted == (0,)
    assert settled.balances == (Balance(0, 3, 0), Balance(0, 4, 2))


async def test_a_ledger_that_knows_nothing_learns_from_its_owners(bench: Bench) -> None:
    window = await bench.window()

    assert (await bench.settle(line(window, "a", claim=60, held=5))).balances == (Balance(0, 60, 5),)
    assert (await bench.settle(line(window, "b", claim=70, held=0))).balances == (Balance(0, 130, 5),)
    assert (await bench.settle(line(window, "c", advance=9), wishes=[wish(1)])).admitted == (0,)


async def test_a_window_is_known_for_a_while_after_its_end_and_then_over_for_good(bench: Bench) -> None:
    ended, over = await bench.window(ends=-1), await bench.window(ends=-GRACE - 1)

    within = await bench.settle(line(ended), wishes=[wish(2)])
    late = await bench.settle(line(over, claim=5), wishes=[wish(2)])

    assert (within.late, within.admitted) == (False, (2,))
    assert (late.late, late.admitted, late.balances) == (True, (0,), (Balance(0, 0, 0),))


async def test_one_window_that_is_over_stops_the_whole_entry(bench: Bench) -> None:
    open_, over = await bench.window("s", "a", "c"), await bench.window("s", "b", "c", ends=-GRACE - 1)

    settled = await bench.settle(line(open_, claim=5), line(over), wishes=[wish(1, 1, 1)])

    assert settled.late
    assert (await bench.settle(line(open_, "other"))).balances == (Balance(0, 0, 0),)


ODD = [
    ("a_b", "c", "d"), ("a", "b_c", "d"), ("a", "b", "c", "d"), ("a:b", "c", "d"), ("a", "b:c", "d"), ("a", "b", "c:d"),
    ("a", "b", "{c}"), ("a", "{b}", "c"), ("a", "b", "}{"), ("a", "b", ""), ("", "", ""), ("a", "b", "%"),
    ("a", "b", "%25"), ("a", "b", "c d"), ("a", "b", "c\nd"), ("a", "b", "ü"), ("a", "b", "\x00"), ("a", "b", "\udcff"),
    ("a", "b", "x" * 5000),
]  # fmt: skip


async def test_whatever_a_key_is_made_of_it_has_a_window_of_its_own(bench: Bench) -> None:
    windows = [Window(key, *(await bench.window())[1:]) for key in ODD]
    windows += [windows[0]._replace(end=windows[0].end + 1), windows[0]._replace(start=windows[0].start + 1)]

    for number, window in enumerate(windows):
        assert (await bench.settle(line(window, claim=number + 1))).balances[0].claimed == number + 1, window
    for number, window in enumerate(windows):
        assert (await bench.settle(line(window, "other"))).balances[0].claimed == number + 1, window


@pytest.mark.parametrize("limit", [2**53, 2**53 - 1, 2**52 + 1, 10**15 + 7])
async def test_large_numbers_are_exact(bench: Bench, limit: int) -> None:
    window = await bench.window()

    first = await bench.settle(line(window, "a", limit=limit), wishes=[wish(1, limit - 3)])
    second = await bench.settle(line(window, "b", advance=1, limit=limit), wishes=[wish(9)])

    assert (first.admitted, first.balances[0].claimed) == ((1,), limit - 3)
    assert (second.admitted, second.balances[0].claimed) == ((3,), limit)


async def test_many_entries_travel_together_and_are_made_in_order(bench: Bench) -> None:
    window = await bench.window()
    entries = [Entry(turn, (line(window, claim=turn),), (wish(1),)) for turn in range(1, 60)]

    answers = await bench.ledger.settle(entries)

    assert [answer.balances[0].claimed for answer in answers if isinstance(answer, Settlement)] == list(range(2, 61))


async def test_no_entries_are_no_question(bench: Bench) -> None:
    assert list(await bench.ledger.settle([])) == []


async def test_many_processes_at_once_are_admitted_exactly_the_limit(make: Make) -> None:
    async def process(window: Window, ledger: Ledger, owner: str) -> int:
        claim = 0
        for turn in range(1, 30):
            (settled,) = await ledger.settle([Entry(turn, (line(window, owner, claim=claim, limit=200),), (wish(3),))])
            assert isinstance(settled, Settlement)
            claim += settled.admitted[0]
        return claim

    async with contextlib.AsyncExitStack() as stack:
        ledgers = [await stack.enter_async_context(started(make)) for _ in range(4)]
        window = await Bench(ledgers[0]).window()
        owners = [(ledger, f"{number}") for number, ledger in enumerate(ledgers * 3)]
        claims = await asyncio.gather(*[process(window, ledger, owner) for ledger, owner in owners])

    assert sum(claims) == 200


async def test_the_ledgers_time_goes_on_and_comes_with_each_answer(bench: Bench) -> None:
    before = await bench.ledger.time()
    settled = await bench.settle(line(await bench.window()))
    after = await bench.ledger.time()

    assert before <= settled.now <= after <= before + 60


async def test_a_recall_reaches_all_others_and_not_oneself(make: Make) -> None:
    heard: list[tuple[str, Window]] = []
    async with (
        started(make, lambda w: heard.append(("a", w))) as a,
        started(make, lambda w: heard.append(("b", w))) as b,
        started(make, lambda w: heard.append(("c", w))) as c,
    ):
        await until(lambda: a.hears and b.hears and c.hears)
        windows = [Window(key, 60, 120) for key in ODD]

        await a.recall(windows)
        await b.recall([Window(("last",), 0, 1)])

        await until(lambda: {("a", Window(("last",), 0, 1)), ("c", Window(("last",), 0, 1))} <= {*heard})
        assert [w for who, w in heard if who == "a"] == [Window(("last",), 0, 1)]
        assert [w for who, w in heard if who == "b"] == windows
        assert [w for who, w in heard if who == "c"] == [*windows, Window(("last",), 0, 1)]


async def test_processes_that_come_and_go_are_counted(make: Make) -> None:
    async with started(make) as first:
        assert first.members == 1
        async with started(make) as second:
            assert second.members == 2
            await until(lambda: first.members == 2, within=1)
        await until(lambda: first.members == 1, within=1)


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[int, list[tuple[int, str, int, int, int, int]], list[tuple[int, list[int]]]]]:
    """Entries of three owners over three windows: any turn, claim, wish and limit, small and large."""
    number = st.one_of(st.integers(0, 12), st.integers(0, 2**40))
    found = []
    for _ in range(draw(st.integers(1, 12))):
        windows = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
        lines = [
            (
                window,
                draw(st.sampled_from(["a", "b", "claimed", "owner:ü"])),
                *draw(st.tuples(number, number, number)),
                draw(st.one_of(st.integers(-1, 30), st.integers(0, 2**53), st.just(-5))),
            )
            for window in windows
        ]
        wish = st.tuples(st.integers(0, 5), st.lists(number, min_size=len(lines), max_size=len(lines)))
        found.append((draw(st.integers(1, 9)), lines, draw(st.lists(wish, max_size=3))))
    return found


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_any_sequence_of_steps_is_made_as_the_pages_make_it(place: Place) -> None:
    """Answer by answer, with windows that are open, just over, and over for good; one may come twice in an entry."""

    async def run(ledger: Ledger, script: list[Any]) -> None:
        pages, label, now = Pages(), uuid.uuid4().hex, int(await ledger.time())
        ends = [now + 60, now + 60, now + 3600, now - 1, now - GRACE - 1]
        windows = [Window((label, str(number), "c"), now - 60, end) for number, end in enumerate(ends)]
        for turn, lines, wishes in script:
            entry = Entry(
                turn,
                tuple([Line(windows[at], *rest) for at, *rest in lines]),
                tuple([Wish(count, tuple(amounts)) for count, amounts in wishes]),
            )
            (settled,) = await ledger.settle([entry])
            assert isinstance(settled, Settlement), settled
            assert settled == pages.settle(entry, settled.now)

    with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
        context = place()
        make = runner.run(context.__aenter__())
        stack.callback(lambda: runner.run(context.__aexit__(None, None, None)))
        whole = started(make)
        ledger = runner.run(whole.__aenter__())
        stack.callback(lambda: runner.run(whole.__aexit__(None, None, None)))

        @hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(script=steps())
        def agree(script: list[Any]) -> None:
            runner.run(run(ledger, script))

        agree()
