"""Futures one after another, for handlers that answer at once when they can and must not become coroutines for that:
a coroutine that is dropped before it ran lets go of nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

First = TypeVar("First")
Second = TypeVar("Second")


def after(first: asyncio.Future[First], then: Callable[[asyncio.Future[First]], Second]) -> asyncio.Future[Second]:
    """What `then` makes of a future that is done, well or with an exception. Whoever cancels the one cancels both."""
    second: asyncio.Future[Second] = first.get_loop().create_future()

    def settle(_: object) -> None:
        if second.done() or first.cancelled():
            first.cancelled() or first.exception()
            second.cancel()
            return
        try:
            second.set_result(then(first))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
            second.set_exception(error)

    first.add_done_callback(settle)
    second.add_done_callback(lambda _: second.cancelled() and first.cancel())
    return second
