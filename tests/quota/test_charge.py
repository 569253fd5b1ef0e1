from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.model.quota import Unit
from authz.quota.ask import Ask, BadAsk
from authz.quota.charge import charges, window
from authz.quota.counters.base import Charge
from authz.rulebook.book import ChargeRule, OperationRule, Rulebook

SERVICE, CONFIG, OPERATION = "bookstore.example.com", "2026-11-21r0", "1.bookstore.ListShelves"
NOW = datetime(2026, 11, 21, 21, 8, 30, tzinfo=UTC).timestamp() + 0.5


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())


def a_rule(limit: str = "reads", value: int = 10, unit: Unit = Unit.MINUTE, amount: int = 1) -> ChargeRule:
    return ChargeRule((SERVICE, limit), limit, "requests", value, unit, 1, amount)


def a_book(*rules: ChargeRule, overrides: dict[tuple[str, str, int], int] | None = None) -> Rulebook:
    operation = OperationRule(SERVICE, CONFIG, OPERATION, "ListShelves", charges=rules)
    return Rulebook(1, {(SERVICE, CONFIG, OPERATION): operation}, overrides=overrides or {})


def an_ask(subject: str = "consumer:42", consumer: int | None = 42, **changed: str) -> Ask:
    names = {"service": SERVICE, "config": CONFIG, "operation": OPERATION} | changed
    return Ask(**names, subject=subject, consumer=consumer)


def test_every_limit_of_the_operation_is_charged_in_its_own_window() -> None:
    book = a_book(a_rule("reads", 10, Unit.MINUTE, 2), a_rule("monthly", 1000, Unit.MONTH))

    assert charges(book, an_ask(), NOW) == (
        Charge((SERVICE, "reads", "consumer:42"), "reads", at(2026, 11, 21, 21, 8), at(2026, 11, 21, 21, 9), 10, 2),
        Charge((SERVICE, "monthly", "consumer:42"), "monthly", at(2026, 11, 1), at(2026, 12, 1), 1000, 1),
    )


def test_an_operation_without_limits_has_no_charges() -> None:
    assert charges(a_book(), an_ask(), NOW) == ()


@pytest.mark.parametrize("what", ["service", "config", "operation"])
def test_an_operation_that_the_book_does_not_know_is_a_bad_ask(what: str) -> None:
    with pytest.raises(BadAsk, match="other"):
        charges(a_book(a_rule()), an_ask(**{what: "other"}), NOW)


@pytest.mark.parametrize("value", [0, 1, 500, -1])
def test_a_consumers_override_replaces_the_value_and_nothing_else(value: int) -> None:
    rule, override = a_rule(), {(SERVICE, "reads", 42): value}

    (plain,) = charges(a_book(rule), an_ask(), NOW)
    (overridden,) = charges(a_book(rule, overrides=override), an_ask(), NOW)

    assert overridden.limit == value
    assert (overridden.key, overridden.start, overridden.end) == (plain.key, plain.start, plain.end)


@pytest.mark.parametrize("key", [("other", "reads", 42), (SERVICE, "other", 42), (SERVICE, "reads", 43)])
def test_an_override_of_another_service_limit_or_consumer_is_not_ours(key: tuple[str, str, int]) -> None:
    (charge,) = charges(a_book(a_rule(), overrides={key: 1}), an_ask(), NOW)

    assert charge.limit == 10


def test_an_address_is_anonymous_and_has_no_overrides() -> None:
    book = a_book(a_rule(), overrides={(SERVICE, "reads", 42): 99})

    (charge,) = charges(book, an_ask("address:203.0.113.9", None), NOW)

    assert (charge.key, charge.limit, charge.anonymous) == ((SERVICE, "reads", "address:203.0.113.9"), 10, True)


@pytest.mark.parametrize(
    ("unit", "interval", "start", "end"),
    [
        (Unit.SECOND, 1, (2026, 11, 21, 21, 8, 30), (2026, 11, 21, 21, 8, 31)),
        (Unit.SECOND, 20, (2026, 11, 21, 21, 8, 20), (2026, 11, 21, 21, 8, 40)),
        (Unit.MINUTE, 1, (2026, 11, 21, 21, 8), (2026, 11, 21, 21, 9)),
        (Unit.MINUTE, 15, (2026, 11, 21, 21, 0), (2026, 11, 21, 21, 15)),
        (Unit.HOUR, 1, (2026, 11, 21, 21), (2026, 11, 21, 22)),
        (Unit.HOUR, 2, (2026, 11, 21, 20), (2026, 11, 21, 22)),
        (Unit.DAY, 1, (2026, 11, 21), (2026, 11, 22)),
        (Unit.DAY, 7, (2026, 11, 19), (2026, 11, 26)),  # Thursdays, as 1970-01-01 was one
        (Unit.WEEK, 1, (2026, 11, 16), (2026, 11, 23)),  # Mondays
        (Unit.WEEK, 2, (2026, 11, 9), (2026, 11, 23)),
        (Unit.MONTH, 1, (2026, 11, 1), (2026, 12, 1)),
        (Unit.MONTH, 3, (2026, 10, 1), (2027, 1, 1)),
        (Unit.MONTH, 12, (2026, 1, 1), (2027, 1, 1)),
        (Unit.MONTH, 5, (2026, 9, 1), (2027, 2, 1)),
    ],
)
def test_windows_are_aligned_to_the_clock(
    unit: Unit, interval: int, start: tuple[int, ...], end: tuple[int, ...]
) -> None:
    assert window(unit, interval, int(NOW)) == (at(*start), at(*end))


@pytest.mark.parametrize("interval", [1, 10**6])
def test_the_last_month_that_the_calendar_has_ends(interval: int) -> None:
    start, end = window(Unit.MONTH, interval, at(9999, 11, 30))

    assert start <= at(9999, 11, 30) < end


moments = st.datetimes(datetime(1971, 1, 1), datetime(2500, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(moments, st.sampled_from(Unit), st.integers(1, 60))
def test_windows_hold_their_moment_and_follow_each_other_without_a_gap(
    moment: datetime, unit: Unit, interval: int
) -> None:
    second = int(moment.timestamp())

    start, end = window(unit, interval, second)

    assert start <= second < end
    assert window(unit, interval, start) == window(unit, interval, end - 1) == (start, end)
    assert window(unit, interval, end)[0] == end
    if start > at(1970, 2, 1):
        assert window(unit, interval, start - 1)[1] == start


@given(moments)
def test_single_units_begin_where_the_calendar_says(moment: datetime) -> None:
    second = moment.replace(microsecond=0)
    midnight = second.replace(hour=0, minute=0, second=0)
    starts = {
        Unit.SECOND: second,
        Unit.MINUTE: second.replace(second=0),
        Unit.HOUR: second.replace(minute=0, second=0),
        Unit.DAY: midnight,
        Unit.WEEK: midnight - timedelta(days=midnight.weekday()),
        Unit.MONTH: midnight.replace(day=1),
    }

    for unit, start in starts.items():
        assert window(unit, 1, int(second.timestamp()))[0] == start.timestamp(), unit


@given(moments, st.sampled_from([Unit.SECOND, Unit.MINUTE, Unit.HOUR, Unit.DAY, Unit.WEEK]), st.integers(1, 60))
def test_several_units_make_windows_of_exactly_so_many(moment: datetime, unit: Unit, interval: int) -> None:
    second = int(moment.timestamp())
    one_start, one_end = window(unit, 1, second)
    start, end = window(unit, interval, second)

    assert end - start == interval * (one_end - one_start)
    assert (one_start - start) % (one_end - one_start) == 0


@given(moments, st.integers(1, 60))
def test_several_months_begin_and_end_on_the_first(moment: datetime, interval: int) -> None:
    start, end = (datetime.fromtimestamp(t, UTC) for t in window(Unit.MONTH, interval, int(moment.timestamp())))

    assert (start.day, start.hour, start.minute, start.second) == (end.day, end.hour, end.minute, end.second)
    assert start.day == 1
    assert (end.year - start.year) * 12 + end.month - start.month == interval
    assert ((start.year - 1970) * 12 + start.month - 1) % interval == 0
