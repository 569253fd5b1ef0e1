"""Two gateways, each a whole one with an Envoy of its own, that share their quotas through a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from authz.admin import keys
from harness import gateway, http
from harness.http import Upstream
from harness.redis_server import BINARIES, Server, a_server
from harness.waiting import until
from walks.documents import GUARDED, document3

HOST = "shared.example.test"
LIMIT = 60
DEADLINE = 0.25
SLOW = 1.5
"""What a busy machine may add to a request's time."""

TEXT = document3(
    HOST,
    {
        "/read": {"get": {**GUARDED, "x-google-quota": {"metricCosts": {"reads": 1}}}},
        "/free": {"get": {**GUARDED, "x-google-quota": {"metricCosts": {"frees": 1}}}},
    },
    limits={"reads": ("reads", "d", LIMIT), "frees": ("frees", "d", -1)},
)


@dataclass
class Door:
    """One gateway, and the key of the consumer that both know."""

    running: gateway.Running
    key: str

    async def status(self, path: str = "/read") -> int:
        began = time.monotonic()
        answer = await http.fetch(self.running.port, "GET", path, [("x-api-key", self.key)], host=HOST)
        assert time.monotonic() - began < DEADLINE + SLOW
        return answer.status


@contextlib.asynccontextmanager
async def two_doors(redis: Server, directory: Path, **settings: object) -> AsyncIterator[Sequence[Door]]:
    async with contextlib.AsyncExitStack() as stack:
        backend = await stack.enter_async_context(Upstream())
        doors = []
        for name in ("a", "b"):
            values = {"quota_counters": redis.url, "backend": f"http://{backend.address}", **settings}
            running = await stack.enter_async_context(
                gateway.running(directory / name, [TEXT], now=time.time(), **values)
            )
            doors.append(Door(running, keys.create(running.store, "ann", now=time.time()).text))
        yield doors


async def statuses(doors: Sequence[Door], times: int, *, at_once: int = 10) -> Counter[int]:
    """So many requests, through all doors in turn."""
    turns = itertools.islice(itertools.cycle(doors), times)
    found: Counter[int] = Counter()
    while wave := [*itertools.islice(turns, at_once)]:
        found.update(await asyncio.gather(*[door.status() for door in wave]))
    return found


@pytest.fixture
async def redis() -> AsyncIterator[Server]:
    async with a_server(BINARIES[-1]) as server:
        yield server


async def test_a_limit_is_one_limit_whichever_gateway_is_asked(redis: Server, tmp_path: Path) -> None:
    async with two_doors(redis, tmp_path) as doors:
        assert await statuses(doors, 2 * LIMIT) == {200: LIMIT, 429: LIMIT}
        assert await statuses(doors[:1], 3) == {429: 3}
        assert [await door.status("/free") for door in doors] == [200, 200]


DOWN = {"allow": {200}, "deny": {200, 503}, "local": {200, 429}}


@pytest.mark.parametrize("in_check", [True, False], ids=["asked once", "asked twice"])
@pytest.mark.parametrize(("when_down", "expected"), DOWN.items(), ids=DOWN)
async def test_without_its_redis_a_gateway_does_what_the_setting_says(
    redis: Server, tmp_path: Path, when_down: str, expected: set[int], in_check: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """And when Redis is back, though empty, the limit is what it was, without a word from anybody."""
    async with two_doors(redis, tmp_path, quota_when_down=when_down, quota_in_check=in_check) as doors:
        before = await statuses(doors, 20)
        redis.kill()
        without = await statuses(doors, 3 * LIMIT)
        assert {*without} == expected
        # A share is of what was left when a gateway last asked: it does not know what the other has admitted since.
        most = {"allow": 4 * LIMIT, "deny": LIMIT, "local": LIMIT + before[200]}[when_down]
        assert before[200] + without[200] <= most

        await redis.start()
        await until(lambda: _told(caplog) == [2, 2], within=20)
        after = await statuses(doors, 2 * LIMIT)
        assert {*after} <= {200, 429}
        assert after[429] > LIMIT

    assert before == {200: 20}


def _told(caplog: pytest.LogCaptureFixture) -> list[int]:
    """How many gateways said that quotas are not shared, and that they are again."""
    said = [record.getMessage() for record in caplog.records]
    return [sum(text.startswith(start) for text in said) for start in ("Quotas are not shared", "Quotas are shared")]
