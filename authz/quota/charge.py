"""Charges: which counters an Ask takes from, how much, and in which window. Pure; time is an argument.

Windows are fixed and aligned to UTC, so that every gateway sees the same ones without asking anybody:

* seconds, minutes, hours and days, times an interval, are multiples of their length since 1970-01-01T00:00Z;
  `2 h` runs from even hours, `7 d` from Thursdays, since that day was one;
* weeks begin on Monday and count from the first Monday, 1970-01-05: `2 w` is every other one from there on;
* months are calendar months counted from January 1970: `3 mo` is the usual quarter, `12 mo` the year.

A counter's name holds neither its window nor its limit's value: the window is the charge's, and a limit that is
raised or lowered in mid-window keeps what was counted.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache

from authz.model.quota import Unit
from authz.quota.ask import Ask, BadAsk
from authz.quota.counters.base import Charge
from authz.rulebook.book import ChargeRule, Rulebook

_DAY = 86_400
_SECONDS = {Unit.SECOND: 1, Unit.MINUTE: 60, Unit.HOUR: 3_600, Unit.DAY: _DAY, Unit.WEEK: 7 * _DAY}
_FIRST_MONDAY = 4 * _DAY
_LAST_MONTH = (9999 - 1970) * 12 + 11  # where Python's calendar ends; an absurd interval must not raise


def charges(book: Rulebook, ask: Ask, now: float) -> tuple[Charge, ...]:
    """What the call takes, from each limit that its operation counts against; nothing for one without limits.

    Raises:
        BadAsk: the book does not know the operation.
    """
    rule = book.operations.get((ask.service, ask.config, ask.operation))
    if rule is None:
        name = f"{ask.service} {ask.config} {ask.operation}"
        raise BadAsk(f"unknown {name}", f"the rulebook has no operation {name}")
    second = math.floor(now)
    return tuple([_charge(book, charge, ask, second) for charge in rule.charges])


def _charge(book: Rulebook, rule: ChargeRule, ask: Ask, second: int) -> Charge:
    value, consumer = rule.value, ask.consumer
    if consumer is not None:
        value = book.overrides.get((ask.service, rule.limit, consumer), value)
    start, end = window(rule.unit, rule.interval, second)
    return Charge((*rule.counter, ask.subject), rule.limit, start, end, value, rule.amount, consumer is None)


# Every call of a second asks for the same few windows; remembered, one costs half its arithmetic, a month far less.
@lru_cache(maxsize=1024)
def window(unit: Unit, interval: int, second: int) -> tuple[int, int]:
    """The bounds, in Unix seconds, of the window that holds a second: start <= second < end."""
    if unit is Unit.MONTH:
        return _months(interval, datetime.fromtimestamp(second, UTC))
    length = _SECONDS[unit] * interval
    origin = _FIRST_MONDAY if unit is Unit.WEEK else 0
    start = second - (second - origin) % length
    return start, start + length


def _months(interval: int, now: datetime) -> tuple[int, int]:
    month = (now.year - 1970) * 12 + now.month - 1
    first = month - month % interval
    return _month_start(first), _month_start(first + interval)


def _month_start(month: int) -> int:
    month = min(month, _LAST_MONTH)
    return int(datetime(1970 + month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp())
