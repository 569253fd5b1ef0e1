"""The promises of leases, with several real processes that share a real Redis."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Sequence

import pytest

from authz.quota.counters.leases import PATIENCE
from authz.quota.counters.ledger import SHARE
from harness.redis_server import BINARIES, Server, a_server
from harness.waiting import until
from quota.counters.worker import Worker, workers

SLOW = 1.0
"""What a busy machine may add to a time."""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Any will do: that their steps are the same, `test_ledger` sees."""
    async with a_server(BINARIES[-1]) as server:
        yield server


async def drained(everybody: Sequence[Worker], calls: int, **limits: int) -> dict[str, int]:
    """All processes at once make their part of so many requests; the sums of what became of them."""
    reports = await asyncio.gather(*[worker.drain(calls // len(everybody), **limits) for worker in everybody])
    return {name: sum(report[name] for report in reports) for name in ("admitted", "denied", "lost")}


async def test_with_demand_enough_exactly_the_limit_is_admitted(server: Server) -> None:
    """Twice the limit is asked for: no unit stays with a process that has no use for it while others are refused."""
    async with workers(server.url, 4) as everybody:
        for number, limit in enumerate([2, 60, 1000, 5000]):
            assert await drained(everybody, 2 * limit, **{f"limit-{number}": limit}) == {
                "admitted": limit, "denied": limit, "lost": 0,
            }  # fmt: skip


async def test_several_limits_of_a_request_are_taken_together_or_not_at_all(server: Server) -> None:
    async with workers(server.url, 3) as everybody:
        first = await drained(everybody, 600, narrow=200, wide=500)
        second = await drained(everybody, 600, wide=500)

    assert (first["admitted"], second["admitted"]) == (200, 300)


async def test_a_request_costs_a_twentieth_of_a_round_trip_at_most(server: Server) -> None:
    async with workers(server.url, 4) as everybody:
        before = await _round_trips(server)
        counted = await drained(everybody, 4000, reads=100_000)
        spent = await _round_trips(server) - before

    assert counted["admitted"] == 4000
    assert spent <= 4000 * 0.05


async def test_at_the_smallest_limit_of_that_promise_it_holds_until_the_window_is_nearly_full(server: Server) -> None:
    """Units are called back from one another, as often as the machine is slow to give them: the usual window counts."""
    spent = []
    async with workers(server.url, 2) as everybody:
        for number in range(5):
            before = await _round_trips(server)
            counted = await drained(everybody, 900, **{f"limit-{number}": 1000})
            spent.append(await _round_trips(server) - before)
            assert counted["admitted"] == 900

    assert statistics.median(spent) <= 900 * 0.05, spent


async def _round_trips(server: Server) -> int:
    """How often steps were asked for, and units recalled; what goes together in one packet counts each for itself."""
    lines = dict(line.split(":", 1) for line in (await server.say("INFO", "commandstats")).split() if ":" in line)
    names = [f"cmdstat_{name}" for name in ("evalsha", "eval", "publish")]
    return sum(int(lines[name].split(",")[0].removeprefix("calls=")) for name in names if name in lines)


async def test_no_process_starves_while_another_sits_on_units(server: Server) -> None:
    async with workers(server.url, 2) as (early, late):
        await early.drain(1, reads=100)

        report = await late.drain(150, reads=100)

    assert (report["admitted"], report["denied"]) == (99, 51)
    assert report["longest"] < PATIENCE + SLOW


async def test_a_process_that_leaves_gives_back_what_it_did_not_spend(server: Server) -> None:
    async with workers(server.url, 1) as (leaving,):
        await leaving.drain(10, reads=1000)
    async with workers(server.url, 1) as (other,):
        assert (await other.drain(1000, reads=1000))["admitted"] == 990


async def test_a_process_that_is_killed_takes_with_it_no_more_than_it_held(server: Server) -> None:
    async with workers(server.url, 2) as (killed, other):
        spent = (await killed.drain(10, reads=1000))["admitted"]
        await killed.kill()
        report = await other.drain(1100, reads=1000)

    admitted = spent + report["admitted"]
    assert 1000 - 1000 // SHARE <= admitted <= 1000
    assert report["longest"] < PATIENCE + SLOW


async def test_wall_clocks_that_differ_by_an_hour_do_not_split_a_window(server: Server) -> None:
    async with workers(server.url, 3, skews=[3600, -3600]) as everybody:
        assert (await drained(everybody, 300, reads=100))["admitted"] == 100
    async with workers(server.url, 3, skews=[LENGTH_OFF, -LENGTH_OFF]) as everybody:
        assert (await drained(everybody, 300, writes=100))["admitted"] == 100


LENGTH_OFF = 100_000
"""So far off that each process would count in a window of its own, by its wall clock."""


async def test_processes_that_come_and_go_under_load_stay_exact(server: Server) -> None:
    admitted = 0
    async with workers(server.url, 1) as (steady,):
        await steady.load(0.001, reads=3000)
        for _ in range(2):
            async with workers(server.url, 2) as passing:
                admitted += (await drained(passing, 400, reads=3000))["admitted"]
        await steady.tell("stop")
        admitted += (await steady.report())["admitted"]
        admitted += (await steady.drain(3200, reads=3000))["admitted"]

    assert admitted == 3000


async def test_under_an_even_load_few_steps_are_made(server: Server) -> None:
    counted = {"admitted": 0, "lost": 0, "denied": 0}
    async with workers(server.url, 2) as everybody:
        for worker in everybody:
            await worker.load(0.002, reads=10**9)

        async def enough() -> bool:
            for worker in everybody:
                report = await worker.report()
                counted.update({name: counted[name] + report[name] for name in counted})
            return counted["admitted"] > 2000

        await until(enough, within=20, pause=0.1)
        steps = sum([(await worker.report())["settled"] for worker in everybody])

    assert steps <= counted["admitted"] * 0.05
    assert counted["lost"] == counted["denied"] == 0
