"""Several processes that answer on one machine: Envoy asks all of them, and they answer as one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from authz.admin import keys
from authz.proxy import free_port
from authz.rulebook.book import Rulebook
from harness import gateway, http, process
from harness.http import Upstream
from harness.load import load
from harness.waiting import until
from walks.documents import GUARDED, OPEN, document3

HOST = "workers.example.test"
WORKERS = 3
LIMIT = 100

METERED = {**GUARDED, "x-google-quota": {"metricCosts": {"reads": 1}}}


def the_document(number: int = 0, **paths: Any) -> str:
    """What is loaded stays, everything about it changes with the number."""
    guarded = {"operationId": f"guarded{number}", **GUARDED}
    return document3(
        HOST,
        {"/guarded": {"get": guarded}, "/metered": {"get": METERED}, **paths},
        limits={"reads": ("reads", "d", LIMIT)},
    )


class Stage:
    def __init__(self, running: gateway.Running) -> None:
        self.running = running

    def key(self, consumer: str) -> str:
        return keys.create(self.running.store, consumer, now=time.time()).text

    async def status(self, path: str, key: str = "") -> int:
        headers = [("x-api-key", key)] if key else []
        return (await http.fetch(self.running.port, "GET", path, headers, host=HOST)).status

    async def statuses(self, path: str, key: str, *, times: int, at_once: int = 20) -> Counter[int]:
        found: Counter[int] = Counter()
        while sum(found.values()) < times:
            wave = min(at_once, times - sum(found.values()))
            found.update(await asyncio.gather(*(self.status(path, key) for _ in range(wave))))
        return found

    async def asked(self) -> list[int]:
        """How many questions Envoy has asked each process so far, by its own count."""
        said = await self.running.proxy.admin("/clusters")
        found = dict(re.findall(r"^authz_sidecar::(.+)::rq_total::(\d+)$", said, re.MULTILINE))
        return [int(found[one.removeprefix("unix:")]) for one in self.running.gateway.sidecars]

    def process_of(self, worker: int) -> int:
        process = self.running.gateway.crew._workers[worker - 1].process
        assert process
        return process.pid


@contextlib.asynccontextmanager
async def a_stage(directory: Path, workers: int = WORKERS) -> AsyncIterator[Stage]:
    async with (
        Upstream() as backend,
        gateway.running(
            directory, [the_document()], now=time.time(), workers=workers, backend=f"http://{backend.address}"
        ) as running,
    ):
        yield Stage(running)


async def test_they_answer_as_one(tmp_path: Path) -> None:
    """All are asked; a limit is one limit, a revoked key is revoked for all, and what they count is told in one sum."""
    async with a_stage(tmp_path) as stage:
        before = await stage.asked()
        key, other = stage.key("ann"), stage.key("ann")
        assert await stage.statuses("/guarded", key, times=90) == {200: 90}
        assert min(now - then for now, then in zip(await stage.asked(), before, strict=True)) >= 10

        assert await stage.statuses("/metered", other, times=3 * LIMIT, at_once=60) == {200: LIMIT, 429: 2 * LIMIT}

        revoked = time.monotonic()
        keys.revoke(stage.running.store, key, now=time.time())
        await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - revoked)))
        assert await stage.statuses("/guarded", key, times=60) == {400: 60}

        tally = stage.running.gateway.tally
        await until(lambda: tally.total("check", decision="allow") == 90 + LIMIT)
        await until(lambda: tally.total("check", decision="QUOTA_USED_UP") == 2 * LIMIT)
        assert tally.total("quota", decision="allow") == LIMIT


async def test_a_deploy_under_load_fails_no_request(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        key = stage.key("ann")
        request = ("GET", "/guarded", [("x-api-key", key)])
        async with load(stage.running.port, {str(n): request for n in range(4)}, host=HOST) as told:
            for number in range(1, 6):
                new = f"/new/{number}"
                await stage.running.deploy(the_document(number, **{new: {"get": OPEN}}), now=time.time())
                assert await stage.statuses(new, "", times=6) == {200: 6}
                seen = told.done("0")
                await until(lambda seen=seen: told.done("0") > seen + 20)

        assert {name: told.outcomes(name) for name in told.counts} == {str(n): {200} for n in range(4)}


async def test_envoy_is_told_when_all_have_the_rules_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_stage(tmp_path, workers=1) as stage:
        crew, taking, go = stage.running.gateway.crew, asyncio.Event(), asyncio.Event()

        async def hold(_: Rulebook) -> None:
            taking.set()
            await go.wait()

        monkeypatch.setattr(crew, "take", hold)
        deploying = asyncio.create_task(
            stage.running.deploy(the_document(1, **{"/new": {"get": OPEN}}), now=time.time())
        )
        await taking.wait()
        # Long enough for an Envoy that was told: it takes a snapshot in a few milliseconds.
        for _ in range(20):
            assert await stage.status("/new") == 404
        go.set()
        await deploying

        assert await stage.status("/new") == 200


async def test_one_that_is_killed_under_load_comes_back_with_the_rules_of_now(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        key = stage.key("ann")
        request = ("GET", "/guarded", [("x-api-key", key)])
        async with load(stage.running.port, {str(n): request for n in range(4)}, host=HOST) as told:
            killed = stage.process_of(2)
            os.kill(killed, signal.SIGKILL)
            await stage.running.deploy(the_document(1, **{"/new": {"get": OPEN}}), now=time.time())
            await until(lambda: stage.process_of(2) != killed)
            before = (await stage.asked())[2]

            async def is_asked() -> bool:
                return (await stage.asked())[2] > before + 20

            await until(is_asked, within=30)
            outcomes = sum(told.counts.values(), Counter())
            seen = {name: told.done(name) for name in told.counts}
            await until(lambda: all(told.done(name) > seen[name] + 50 for name in seen))
            outcomes = sum(told.counts.values(), Counter()) - outcomes

        assert set(outcomes) == {200}
        # What was on its way to it is refused, and what came before Envoy knew; its closed connections tell it at once.
        assert sum(told.counts.values(), Counter())[503] <= 4 * len(told.counts)


def words(directory: Path, *more: object) -> list[object]:
    return ["serve", "--json", "--workers", WORKERS, "--data-dir", directory / "data", *more]


def is_open(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(address.removeprefix("unix:")) == 0


async def test_ready_is_said_when_all_serve_and_a_signal_ends_them_all(tmp_path: Path) -> None:
    async with process.authz(*words(tmp_path)) as serve:
        await serve.event("ready")
        workers = [event for event in serve.events if event["event"] == "worker"]
        assert sorted(event["number"] for event in workers) == [1, 2]
        assert sorted(event["process"] for event in workers) == sorted(serve.children())
        assert all(is_open(event["address"]) for event in workers)
        # A terminal's Ctrl-C reaches every process; what happens then is the leader's to say.
        for event in workers:
            os.kill(event["process"], signal.SIGINT)

        assert await serve.stop(signal.SIGTERM) == 0

    assert not any(process.is_running(event["process"]) for event in workers)
    assert not any(is_open(event["address"]) for event in workers)
    assert serve.errors == []


async def test_without_their_leader_they_end_at_once(tmp_path: Path) -> None:
    place = f"unix:{tmp_path}/sidecar"
    async with process.authz(*words(tmp_path, "--sidecar-address", place)) as serve:
        await serve.event("ready")
        workers = serve.children()
        assert len(workers) == WORKERS - 1
        await serve.stop(signal.SIGKILL)
        await until(lambda: not any(map(process.is_running, workers)), within=4)

    # What they left behind is in nobody's way.
    async with process.authz(*words(tmp_path, "--sidecar-address", place)) as again:
        assert (await again.event("ready"))["url"] == place
        assert await again.stop(signal.SIGTERM) == 0


@contextlib.contextmanager
def a_port_before_one_that_is_taken() -> Iterator[int]:
    while True:
        port = free_port()
        try:
            taken = socket.create_server(("127.0.0.1", port + 1))
        except OSError:
            continue
        with taken:
            yield port
        return


async def test_one_that_cannot_start_is_one_clear_message(tmp_path: Path) -> None:
    with a_port_before_one_that_is_taken() as port:
        code, out, err = await process.output(*words(tmp_path, "--sidecar-address", f"127.0.0.1:{port}"))

    told = [event for event in map(json.loads, out.splitlines()) if event["event"] == "error"]
    assert code == 1
    assert [event["error"] for event in told] == [f"Cannot listen on 127.0.0.1:{port + 1}."]
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--sidecar-address", "127.0.0.1:65535"), "65537"),
        (("--workers", "0"), "--workers is 0"),
        (("--workers", "65"), "--workers is 65"),
    ],
)
async def test_too_many_is_a_usage_error(tmp_path: Path, more: tuple[str, ...], says: str) -> None:
    code, out, _ = await process.output(*words(tmp_path, *more))

    assert code == 2
    assert says in out
