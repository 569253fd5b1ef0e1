"""The sidecar and Envoy as processes of their own that die under load: nobody is wrongly admitted, all come back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authz.admin import deploy, keys
from authz.app import wait_live
from authz.model.service import SourceText
from authz.proxy import free_port
from authz.settings import Settings
from authz.store.base import Store
from authz.store.sql import open_store
from authz.xds import bootstrap
from harness import http, process
from harness.http import Upstream
from harness.load import Load, load
from harness.waiting import until
from walks.documents import GUARDED, OPEN, document

HOST = "recovery.example.test"
ADMITTED = 200


def the_document(version: int = 0) -> str:
    counted = {**OPEN, "x-google-quota": {"metricCosts": {"calls": 1}}}
    return document(
        HOST,
        {
            "/open": {"get": OPEN},
            "/guarded": {"get": {"operationId": f"guarded{version}", **GUARDED}},
            "/counted": {"get": counted},
            f"/version{version}": {"get": OPEN},
        },
        x_google_management={
            "metrics": [{"name": "calls", "valueType": "INT64", "metricKind": "DELTA"}],
            "quota": {
                "limits": [{"name": "c", "metric": "calls", "unit": "1/min/{project}", "values": {"STANDARD": 10**6}}]
            },
        },
    )


@dataclass
class Place:
    """Where everything is that outlives a process."""

    directory: Path
    store: Store
    port: int
    sidecar: str
    xds: str
    backend: str
    key: str

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[process.Command]:
        words = [
            "serve", "--json", "--data-dir", self.directory, "--port", self.port, "--backend", self.backend,
            "--sidecar-address", self.sidecar, "--xds-address", self.xds, "--drain-seconds", "0.5",
        ]  # fmt: skip
        async with process.authz(*words) as command:
            await command.event("ready")
            yield command

    def bootstrap(self) -> Path:
        """What `authz envoy bootstrap` prints."""
        admin = f"unix:{self.directory}/admin"
        document = bootstrap.dynamic(Settings(), sidecars=[self.sidecar], xds=self.xds, admin=admin, node_id="envoy-1")
        path = self.directory / "bootstrap.json"
        path.write_text(json.dumps(document))
        return path

    async def deploy(self, version: int = 0, *, wait: bool = True) -> None:
        source = SourceText("openapi.json", the_document(version))
        made = deploy.deploy(self.store, [source], now=time.time())
        if wait:
            await wait_live(self.store, made)

    async def get(self, path: str, key: str = "") -> int:
        headers = [("x-api-key", key)] if key else []
        try:
            return (await http.fetch(self.port, "GET", path, headers, host=HOST)).status
        except (OSError, asyncio.IncompleteReadError):
            return 0

    async def answers(self, path: str, key: str = "", status: int = ADMITTED) -> None:
        async def is_so() -> bool:
            return await self.get(path, key) == status

        await until(is_so, within=process.PATIENCE)

    def loaded(self) -> Any:
        guarded = {"good": self.key, "bad": "no-such-key"}
        requests = {name: ("GET", "/guarded", [("x-api-key", key)]) for name, key in guarded.items()}
        others = {"none": "/guarded", "open": "/open", "counted": "/counted"}
        return load(
            self.port, requests | {name: ("GET", path, []) for name, path in others.items()}, host=HOST, pause=0.002
        )


@contextlib.asynccontextmanager
async def a_place(directory: Path, *, over: str = "unix") -> AsyncIterator[Place]:
    def address(name: str) -> str:
        return f"unix:{directory}/{name}" if over == "unix" else f"127.0.0.1:{free_port()}"

    async with Upstream() as backend:
        with contextlib.closing(open_store(directory)) as store:
            key = keys.create(store, "ann", now=time.time()).text
            yield Place(
                directory, store, free_port(), address("check"), address("xds"), f"http://{backend.address}", key
            )


def never_wrong(told: Load) -> None:
    """Nobody passed who may not, and whoever may was told the truth."""
    assert told.outcomes("bad") <= {400, 503, "broken"}
    assert told.outcomes("none") <= {401, 503, "broken"}
    assert told.outcomes("good") <= {200, 503, "broken"}


async def more(told: Load, *names: str, outcome: int = ADMITTED, times: int = 20) -> None:
    """Wait for some more of an outcome of each of these requests."""
    wanted = {name: told.counts[name][outcome] + times for name in names}
    await until(lambda: all(told.counts[name][outcome] >= n for name, n in wanted.items()), within=process.PATIENCE)


async def test_both_are_killed_and_come_back(tmp_path: Path) -> None:
    async with a_place(tmp_path) as place, contextlib.AsyncExitStack() as stack:
        first_envoy = await stack.enter_async_context(process.envoy(place.bootstrap()))
        # Envoy is there first: its port is closed until it has routes and knows whom to ask.
        assert await place.get("/open") == 0
        first = await stack.enter_async_context(place.serving())
        await place.deploy(1)
        await place.answers("/guarded", place.key)

        async with place.loaded() as told:
            await more(told, "good", "open", "counted")
            await first.stop(signal.SIGKILL)
            await more(told, "good", "bad", "none", outcome=503)
            await more(told, "open", "counted")
            await stack.enter_async_context(place.serving())
            await recovered(told)
            # What needs nobody's word was never disturbed; what only counts was let through (`quota_when_down`).
            assert (told.outcomes("open"), told.outcomes("counted")) == ({200}, {200})

            told.counts.clear()
            await more(told, "good", times=50)
            assert {name: told.outcomes(name) for name in ("good", "open", "counted")} == EVERYTHING_PASSES
            first_envoy.send_signal(signal.SIGKILL)
            await first_envoy.wait()
            await until(lambda: all("broken" in told.outcomes(name) for name in ("good", "bad", "none", "open")))
            await stack.enter_async_context(process.envoy(place.bootstrap()))
            await recovered(told)

            told.counts.clear()
            await place.deploy(2)
            assert await place.get("/version2") == 200
            await more(told, "good", times=50)
            assert {name: told.outcomes(name) for name in ("good", "open", "counted")} == EVERYTHING_PASSES
        never_wrong(told)


EVERYTHING_PASSES = {"good": {200}, "open": {200}, "counted": {200}}


async def recovered(told: Load) -> None:
    """All is as before; until then nobody was wrongly admitted."""
    await more(told, "good", "open", "counted")
    await more(told, "bad", outcome=400)
    await more(told, "none", outcome=401)
    never_wrong(told)


async def test_a_deploy_while_the_sidecar_was_away_is_live_when_it_is_back(tmp_path: Path) -> None:
    async with a_place(tmp_path, over="tcp") as place, process.envoy(place.bootstrap()):
        async with place.serving() as first:
            await place.deploy(1)
            await place.answers("/guarded", place.key)
            assert await first.stop(signal.SIGTERM) == 0
        assert [await place.get(path, place.key) for path in ("/open", "/guarded")] == [200, 503]

        revoked = keys.create(place.store, "ann", now=time.time()).text
        await place.deploy(2, wait=False)
        keys.revoke(place.store, revoked, now=time.time())
        async with place.loaded() as told, place.serving():
            await place.answers("/version2")
            await place.answers("/guarded", place.key)
            await place.answers("/version1", status=404)
            assert await place.get("/guarded", revoked) == 400
        never_wrong(told)
        assert told.outcomes("open") == {200}
