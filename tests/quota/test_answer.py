from __future__ import annotations

import pytest

from authz.quota.answer import Answer, Standing, answer
from authz.quota.counters.base import Charge, Spent

NOW = 1_800_000_000.0


def a_charge(name: str = "reads", limit: int = 10, amount: int = 1, *, ends_in: int = 30, window: int = 60) -> Charge:
    end = int(NOW) + ends_in
    return Charge(("bookstore", name, "consumer:1"), name, end - window, end, limit, amount)


def admitted(*pairs: tuple[Charge, int]) -> Answer:
    charges, totals = zip(*pairs, strict=True)
    return answer(charges, Spent(admitted=True, totals=totals), NOW)


def refused(*pairs: tuple[Charge, int]) -> Answer:
    charges, totals = zip(*pairs, strict=True)
    return answer(charges, Spent(admitted=False, totals=totals), NOW)


def test_an_admitted_call_is_told_what_is_left_of_each_limit() -> None:
    said = admitted((a_charge(), 4), (a_charge("bytes", 1000, 50, ends_in=1800, window=3600), 100))

    assert said == Answer(
        admitted=True,
        standings=(
            Standing("reads", limit=10, remaining=6, reset=30, window=60, amount=1, blocks=False),
            Standing("bytes", limit=1000, remaining=900, reset=1800, window=3600, amount=50, blocks=False),
        ),
        retry_after=0,
    )


def test_a_refused_call_is_told_which_limits_block() -> None:
    said = refused((a_charge("full"), 10), (a_charge("roomy"), 3), (a_charge("nearly", amount=5), 6))

    assert [standing.blocks for standing in said.standings] == [True, False, True]
    assert [standing.remaining for standing in said.standings] == [0, 7, 4]


@pytest.mark.parametrize(
    ("limit", "amount", "total", "blocks"),
    [(0, 1, 0, True), (0, 0, 0, False), (-1, 9, 10**12, False), (5, 0, 9, False), (5, 1, 9, True), (5, 6, 0, True)],
)
def test_what_blocks(limit: int, amount: int, total: int, blocks: bool) -> None:
    said = refused((a_charge(limit=limit, amount=amount), total), (a_charge("full"), 10))

    assert said.standings[0].blocks is blocks


@pytest.mark.parametrize("total", [10, 11, 10**9])
def test_nothing_is_ever_left_below_zero(total: int) -> None:
    assert refused((a_charge(), total)).standings[0].remaining == 0


def test_a_caller_comes_back_when_the_last_of_the_blocking_limits_begins_anew() -> None:
    said = refused(
        (a_charge("minute", ends_in=12), 10),
        (a_charge("hour", ends_in=700, window=3600), 10),
        (a_charge("day", ends_in=80000, window=86400), 0),
    )

    assert said.retry_after == 700


@pytest.mark.parametrize(("ahead", "expected"), [(0.0, 30), (0.001, 30), (0.999, 30), (1.0, 29), (29.5, 1)])
def test_a_reset_is_rounded_up_so_that_who_waits_it_out_is_not_early(ahead: float, expected: int) -> None:
    said = answer([a_charge()], Spent(admitted=False, totals=(10,)), NOW + ahead)

    assert said.standings[0].reset == said.retry_after == expected


def test_a_refusal_that_no_limit_explains_still_says_when_to_come_back() -> None:
    assert refused((a_charge(), 0)).retry_after == 1


@pytest.mark.parametrize(
    ("said", "tightest"),
    [
        (admitted((a_charge("a"), 4), (a_charge("b"), 5)), "b"),
        (admitted((a_charge("a", ends_in=9), 4), (a_charge("b", ends_in=10), 4)), "b"),
        (admitted((a_charge("a", limit=-1), 4), (a_charge("b", limit=10**6), 0)), "b"),
        (refused((a_charge("a"), 9), (a_charge("b", amount=5), 7)), "b"),
    ],
    ids=["least left", "longest to wait", "never the unlimited", "one that blocks"],
)
def test_the_limit_to_tell_first(said: Answer, tightest: str) -> None:
    limit = said.tightest()

    assert limit is not None
    assert limit.name == tightest


@pytest.mark.parametrize("said", [Answer(admitted=True), admitted((a_charge(limit=-1), 3))])
def test_without_a_counted_limit_there_is_nothing_to_tell(said: Answer) -> None:
    assert said.tightest() is None
