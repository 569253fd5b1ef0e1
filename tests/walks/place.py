"""A sidecar and an Envoy as processes of their own, and all that outlives them."""

from __future__ import annotations

import asyncio
import contextlib
import json
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
from harness.load import load
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
    async def serving(self, sidecar: str = "") -> AsyncIterator[process.Command]:
        """The sidecar with the control plane; or another one at `sidecar`, which no Envoy follows."""
        words = [
            "serve", "--json", "--data-dir", self.directory, "--port", self.port, "--backend", self.backend,
            "--sidecar-address", sidecar or self.sidecar, "--drain-seconds", "0.5",
            *(() if sidecar else ("--xds-address", self.xds)),
        ]  # fmt: skip
        async with process.authz(*words) as command:
            await command.event("ready")
            yield command

    def bootstrap(self, *others: str) -> Path:
        """What `authz envoy bootstrap` prints, with `others` as further sidecars."""
        admin = f"unix:{self.directory}/admin"
        sidecars = [self.sidecar, *others]
        document = bootstrap.dynamic(Settings(), sidecars=sidecars, xds=self.xds, admin=admin, node_id="envoy-1")
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
