"""A hundred thousand active counters: what they weigh, and that nobody waits while their windows are freed.

Each kind of counting joins by a line in KINDS, with everything that it keeps in this process.
"""

from __future__ import annotations

import gc
import inspect
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from authz.quota.counters.base import Charge, Counters
from authz.quota.counters.leases import LeasedCounters
from authz.quota.counters.ledger import GRACE, Entry, Line, Window, Wish
from authz.quota.counters.memory import MemoryCounters
from authz.quota.counters.pages import Pages
from authz.telemetry import Tally
from quota.counters.hub import Hub

NOW = 4_000_003_200
MANY = 100_000
MOST_BYTES = 60 * 2**20
LONGEST = 0.005


def leased() -> LeasedCounters:
    """The leader's case: the leases of a process, and the ledger's pages beside them."""
    return LeasedCounters(Hub(NOW).join(), Tally())


KINDS: dict[str, Callable[[], MemoryCounters | LeasedCounters]] = {"memory": MemoryCounters, "leased": leased}


def charges_of(consumer: int, window: int = 0) -> list[Charge]:
    """One call's, as the rule book and the question make them: a subject of its own, everything else shared."""
    start = NOW + 60 * window
    key = ("bookstore.example.test", "reads-per-minute", f"consumer:{1_000_000 + consumer}")
    return [Charge(key, "reads-per-minute", start, start + 60, 1000, 1)]


async def fill(counters: Counters, count: int) -> None:
    for number in range(count):
        spent = counters.spend(charges_of(number), NOW)
        if inspect.isawaitable(spent):
            await spent


@pytest.fixture
def without_collections() -> Iterator[None]:
    """Collections come when they like, and with everything that the test run holds: not what is measured here."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("kind", KINDS)
async def test_they_fit_in_60_mb(kind: str) -> None:
    """A tenth of them is weighed: every allocation is written down, which takes its time."""
    tracemalloc.start()
    counters = KINDS[kind]()
    await counters.start()
    await fill(counters, MANY // 10)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert counters.held() == MANY // 10
    assert held < MOST_BYTES // 10
    await counters.close()


@pytest.mark.usefixtures("without_collections")
@pytest.mark.parametrize("kind", KINDS)
async def test_no_spend_waits_for_the_freeing_of_a_window(kind: str) -> None:
    """5 ms is the goal. The thread's own time is measured, since a busy machine takes any call's turn away at will."""
    longest = []
    for _ in range(3):
        counters = KINDS[kind]()
        await counters.start()
        await fill(counters, MANY)
        longest.append(_longest_spend_while_freeing(counters))
        await counters.close()
        if longest[-1] < LONGEST:
            break

    assert min(longest) < LONGEST


def _longest_spend_while_freeing(counters: MemoryCounters | LeasedCounters) -> float:
    charges = [charge._replace(amount=0) for charge in charges_of(1, window=1)]
    longest = 0.0
    before = MANY + 1
    while 1 < counters.held() < before:
        before = counters.held()
        began = time.thread_time()
        counters.spend(charges, NOW + 60 + GRACE)
        longest = max(longest, time.thread_time() - began)
        assert before - counters.held() <= 64
    assert counters.held() <= 1
    return longest


@pytest.mark.usefixtures("without_collections")
def test_no_step_of_the_ledger_waits_for_the_freeing_of_a_window() -> None:
    pages, longest = Pages(), 0.0
    for number in range(MANY):
        pages.settle(_entry(number), NOW)
    while before := len(pages):
        began = time.thread_time()
        pages.free(NOW + 60 + GRACE, 16)
        longest = max(longest, time.thread_time() - began)
        assert len(pages) == max(0, before - 16)

    assert longest < LONGEST


def _entry(number: int) -> Entry:
    ((key, _, start, end, limit, amount, _),) = charges_of(number)
    return Entry(number + 1, (Line(Window(key, start, end), "owner", 0, 0, 64, limit),), (Wish(1, (amount,)),))
