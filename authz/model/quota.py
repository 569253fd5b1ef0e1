"""What is counted, how much is allowed, and what one call takes."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Unit(enum.Enum):
    """The calendar unit of a window, aligned to UTC; a week begins on Monday, months are calendar months."""

    SECOND = "s"
    MINUTE = "min"
    HOUR = "h"
    DAY = "d"
    WEEK = "w"
    MONTH = "mo"


UNLIMITED = -1

COUNTERS_BACK_IN = 1
"""The seconds after which a call may be tried again that was refused because nothing could be counted."""


@dataclass(frozen=True, slots=True)
class Metric:
    """google.api.MetricDescriptor, as far as quotas need it (INT64, DELTA)."""

    name: str
    display_name: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """google.api.QuotaLimit: at most `value` of `metric` per consumer in each window of `interval` units.

    `value` -1 is unlimited and 0 blocks.
    """

    name: str
    metric: str
    value: int
    unit: Unit = Unit.MINUTE
    interval: int = 1
    display_name: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """One entry of google.api.MetricRule.metric_costs: what one call adds to a metric (0 or more)."""

    metric: str
    amount: int


@dataclass(frozen=True, slots=True)
class Override:
    """A consumer's own value for a service's limit (or for all limits of a metric, when `limit` is empty).

    Changing it keeps the count.
    """

    service: str
    consumer: int
    metric: str
    value: int
    limit: str = ""


class Charged(NamedTuple):
    """What became of one call's charges, for whoever answers it.

    `lost`: nothing was counted. `headers` tell the caller where its limits stand, as serialised HeaderValues of
    Envoy's; `text` says why the call may not pass, and `details` gives one more such header for callers in gRPC.
    """

    passes: bool
    lost: bool = False
    headers: tuple[bytes, ...] = ()
    text: str = ""
    details: Callable[[], bytes] | None = None
