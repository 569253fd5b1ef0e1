"""Redis dies, stops, fills up, forgets and changes places while several processes count on it.

All along every request is answered in time, none is refused that should not be, and afterwards all is as it was, by
itself and with one line in the log for each change. A request that is "lost" is one that `quota_when_down` decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from authz.quota.counters.leases import PATIENCE
from harness.redis_server import BINARIES, Server, a_cluster, a_watched_server
from harness.waiting import until
from quota.counters.worker import Worker, workers

DEADLINE = 0.25 + PATIENCE
"""How long a request can take: what Redis is waited for, and what units of others are waited for."""

SLOW = 1.0
"""What a busy machine may add to it."""

PLENTY = 10**9


class Crowd:
    """Some processes under load, and what became of all their requests."""

    def __init__(self, everybody: Sequence[Worker]) -> None:
        self.everybody = everybody
        self.counted = dict.fromkeys(("admitted", "denied", "lost"), 0)
        self.longest = 0.0
        self.said: list[list[str]] = [[] for _ in everybody]
        self.away: list[str] = []
        self.events: list[list[int]] = []

    async def look(self) -> None:
        reports = [await worker.report() for worker in self.everybody]
        for report, said in zip(reports, self.said, strict=True):
            for name in self.counted:
                self.counted[name] += report[name]
            self.longest = max(self.longest, report["longest"])
            said.extend(report["said"])
        self.away = [report["away"] for report in reports]
        self.events = [report["events"] for report in reports]

    async def notices(self) -> None:
        """All processes find that the ledger is away."""
        await until(self._all_are_away, within=20)

    async def recovers(self) -> None:
        """All processes share it again, and for a while nothing is lost any more."""
        await until(self._nobody_is_away, within=20)
        before = dict(self.counted)
        await until(lambda: self._has_grown(before, 200), within=20)
        assert self.counted["lost"] == before["lost"]

    async def has_admitted(self, more: int) -> None:
        before = dict(self.counted)
        await until(lambda: self._has_grown(before, more), within=20)

    async def _all_are_away(self) -> bool:
        await self.look()
        return all(self.away)

    async def _nobody_is_away(self) -> bool:
        await self.look()
        return not any(self.away)

    async def _has_grown(self, before: dict[str, int], more: int) -> bool:
        await self.look()
        return self.counted["admitted"] >= before["admitted"] + more


@contextlib.asynccontextmanager
async def a_crowd(url: str, **limits: int) -> AsyncIterator[Crowd]:
    async with workers(url, 3) as everybody:
        crowd = Crowd(everybody)
        for worker in everybody:
            await worker.load(0.002, **limits)
        await crowd.has_admitted(200)
        yield crowd


Blow = Callable[[Server], Awaitable[None]]


async def kill(server: Server) -> None:
    server.kill()


async def pause(server: Server) -> None:
    server.pause()


async def fill(server: Server) -> None:
    await server.say("CONFIG", "SET", "maxmemory", "1")


async def start(server: Server) -> None:
    await server.start()


async def resume(server: Server) -> None:
    server.resume()


async def empty(server: Server) -> None:
    await server.say("CONFIG", "SET", "maxmemory", "0")


BLOWS: dict[str, tuple[Blow, Blow, str]] = {
    "killed": (kill, start, "(has ended the connection|cannot be reached)"),
    "stopped": (pause, resume, "does not answer within 0.25 s"),
    "filled": (fill, empty, "is full: raise maxmemory"),
}


@pytest.mark.parametrize(("blow", "cure", "sentence"), BLOWS.values(), ids=BLOWS)
async def test_under_load_redis_is(server: Server, blow: Blow, cure: Blow, sentence: str) -> None:
    async with a_crowd(server.url, reads=PLENTY) as crowd:
        for _ in range(2):
            await blow(server)
            await crowd.notices()
            await asyncio.sleep(0.5)
            await cure(server)
            await crowd.recovers()

    _check(crowd, sentence, times=2)


@pytest.mark.parametrize(("blow", "cure"), [(one, other) for one, other, _ in BLOWS.values()], ids=BLOWS)
async def test_no_more_than_the_limit_is_admitted_although_redis_is(server: Server, blow: Blow, cure: Blow) -> None:
    """What the outage decides is apart: it is known by itself."""
    async with a_crowd(server.url, reads=4000) as crowd:
        await blow(server)
        await crowd.notices()
        await cure(server)
        await until(crowd._nobody_is_away, within=20)
        await until(lambda: _denies(crowd), within=20)

    # One that was killed has forgotten what its users must tell it again.
    assert 4000 <= crowd.counted["admitted"] <= 4000 * (1.05 if blow is kill else 1)
    assert crowd.counted["lost"] > 0


def _check(crowd: Crowd, sentence: str, *, times: int = 1) -> None:
    assert crowd.counted["denied"] == 0
    assert crowd.longest < DEADLINE + SLOW
    assert crowd.events == [[times, times]] * len(crowd.everybody)
    for said in crowd.said:
        assert len(said) == 2 * times, said
        for lost, back in zip(said[::2], said[1::2], strict=True):
            assert re.fullmatch(
                f"Quotas are not shared for now, and quota_when_down decides: Redis at [^ ]+ {sentence}.*", lost
            ), lost
            assert back == "Quotas are shared again."


async def test_a_redis_that_comes_back_empty_learns_what_was_spent(server: Server) -> None:
    """Its memory is gone, its users' is not."""
    async with a_crowd(server.url, reads=3000) as crowd:
        await crowd.has_admitted(500)
        server.kill()
        await crowd.notices()
        await server.start()
        await until(crowd._nobody_is_away, within=20)
        await until(lambda: _denies(crowd), within=20)

    # What others admitted since one's last step is not known until they have told it again; here is time for that.
    assert 3000 <= crowd.counted["admitted"] <= 3000 * 1.05


async def _denies(crowd: Crowd) -> bool:
    await crowd.look()
    return crowd.counted["denied"] > 20


async def test_sentinels_exchange_the_primary() -> None:
    async with a_watched_server(BINARIES[0]) as watched, a_crowd(watched.url, reads=PLENTY) as crowd:
        watched.primary.kill()
        await crowd.notices()
        await crowd.recovers()

    _check(crowd, "(has ended the connection|cannot be reached)")


async def test_a_cluster_loses_a_primary() -> None:
    async with a_cluster(BINARIES[-1]) as cluster, a_crowd(cluster.url, reads=6000) as crowd:
        (owner,) = [node for node in cluster.nodes[:3] if await node.say("KEYS", "*{c}*")]
        owner.kill()
        await crowd.notices()
        await crowd.recovers()
        _check(crowd, "(has ended the connection|cannot be reached)")
        await until(lambda: _denies(crowd), within=20)

    # Writes that the failover lost are told again.
    assert 6000 <= crowd.counted["admitted"] <= 6000 * 1.05
