from __future__ import annotations

import asyncio

import pytest

from authz.futures import after


def a_future() -> asyncio.Future[int]:
    return asyncio.get_running_loop().create_future()


async def test_the_second_is_what_is_made_of_the_first() -> None:
    first = a_future()
    second = after(first, lambda done: done.result() + 1)
    first.set_result(1)

    assert await second == 2


@pytest.mark.parametrize("early", [True, False], ids=["the first's", "its own"])
async def test_trouble_is_passed_on(early: bool) -> None:
    first = a_future()
    second = after(first, lambda done: done.result() // 0)
    if early:
        first.set_exception(LookupError())
    else:
        first.set_result(1)

    with pytest.raises(LookupError if early else ZeroDivisionError):
        await second


async def test_whoever_cancels_one_cancels_both() -> None:
    for cancelled, other in [(0, 1), (1, 0)]:
        first = a_future()
        pair = first, after(first, asyncio.Future.result)
        pair[cancelled].cancel()
        await asyncio.wait([pair[other]])
        assert pair[other].cancelled()


async def test_what_comes_after_a_cancel_is_nobodys_trouble() -> None:
    first = a_future()
    second = after(first, asyncio.Future.result)
    first.set_exception(LookupError())
    second.cancel()
    await asyncio.wait([second])

    assert second.cancelled()
