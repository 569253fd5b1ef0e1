from __future__ import annotations

import pytest

from authz.quota.counters.base import Charge, Spent
from authz.quota.counters.memory import MemoryCounters

NOW = 1_800_000_000


def a_charge(who: str, window: int = 0, *, limit: int = 10, amount: int = 1, anonymous: bool = False) -> Charge:
    start = NOW + 60 * window
    return Charge(("bookstore", "reads", who), "reads", start, start + 60, limit, amount, anonymous)


def test_past_windows_are_freed_as_calls_come() -> None:
    counters = MemoryCounters()
    for number in range(1000):
        counters.spend([a_charge(f"consumer:{number}")], NOW)

    for _ in range(40):
        counters.spend([a_charge("consumer:1", 1)], NOW + 60)

    assert counters.held() == 1


def test_looking_begins_no_counter() -> None:
    counters = MemoryCounters()

    counters.spend([a_charge("consumer:1", amount=0), a_charge("consumer:2", limit=0)], NOW)

    assert counters.held() == 0


def test_strangers_cannot_fill_the_memory() -> None:
    counters = MemoryCounters(most_anonymous=3)

    admitted = [counters.spend([a_charge(f"address:{n}", anonymous=True)], NOW).admitted for n in range(5)]

    assert admitted == [True, True, True, False, False]
    assert counters.held() == 3


def test_when_strangers_have_filled_it_those_known_and_all_consumers_go_on() -> None:
    counters = MemoryCounters(most_anonymous=2)
    for number in range(9):
        counters.spend([a_charge(f"address:{number}", anonymous=True)], NOW)

    assert counters.spend([a_charge("address:1", anonymous=True)], NOW) == Spent(admitted=True, totals=(2,))
    assert counters.spend([a_charge("consumer:1")], NOW) == Spent(admitted=True, totals=(1,))
    # A stranger who finds no room is told that the limit is used up, which is what it amounts to.
    assert counters.spend([a_charge("address:8", anonymous=True)], NOW) == Spent(admitted=False, totals=(10,))


def test_room_comes_back_with_the_next_window() -> None:
    counters = MemoryCounters(most_anonymous=2)
    for number in range(9):
        counters.spend([a_charge(f"address:{number}", anonymous=True)], NOW)

    assert counters.spend([a_charge("address:8", 1, anonymous=True)], NOW + 60).admitted


@pytest.mark.parametrize("amount", [0, 1])
def test_a_stranger_without_a_limit_passes_uncounted(amount: int) -> None:
    counters = MemoryCounters(most_anonymous=0)

    assert counters.spend([a_charge("address:1", limit=-1, amount=amount, anonymous=True)], NOW).admitted
    assert counters.held() == 0
