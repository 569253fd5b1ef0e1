"""Waiting for conditions instead of for time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(condition: Callable[[], Awaitable[T] | T], *, within: float = 10.0, pause: float = 0.02) -> T:
    """What the condition gives once it gives something true; fails with the last value when the time is up."""
    end = time.monotonic() + within
    while True:
        found = condition()
        value = await found if isinstance(found, Awaitable) else found
        if value:
            return value
        assert time.monotonic() < end, f"still {value!r} after {within:g} s"
        await asyncio.sleep(pause)


async def a_minute_with_time_left(seconds: int = 10) -> None:
    """Until the minute that quotas count in will not end for a while."""
    await until(lambda: time.time() % 60 < 60 - seconds, within=seconds + 5)


async def seconds_until(condition: Callable[[], Awaitable[object]], *, within: float = 10.0) -> float:
    """How long it takes until a condition holds."""
    begin = time.monotonic()
    await until(condition, within=within, pause=0.005)
    return time.monotonic() - begin
