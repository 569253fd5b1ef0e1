"""A whole gateway in the test's own event loop: store, sidecar, control plane and a real Envoy on free ports."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from authz.admin import deploy
from authz.app import Gateway, wait_live
from authz.model.service import SourceText
from authz.proxy import Proxy, free_port
from authz.settings import Settings
from authz.store.base import Store
from authz.store.sql import open_store


@dataclasses.dataclass
class Running:
    settings: Settings
    store: Store
    gateway: Gateway
    proxy: Proxy

    @property
    def port(self) -> int:
        return self.settings.port

    async def deploy(self, *texts: str, now: float, force: bool = False) -> deploy.Deployment:
        """Deploy as `authz deploy` does and wait until Envoy has it."""
        sources = [SourceText(f"document-{n}.yaml", text) for n, text in enumerate(texts)]
        made = deploy.deploy(self.store, sources, force=force, now=now)
        await wait_live(self.store, made)
        return made


def settings(data_dir: Path, **values: Any) -> Settings:
    """Settings that suit a test: free port, one worker, a store of its own, the transport that the run is for."""
    known: dict[str, Any] = {
        "port": free_port(), "envoy_concurrency": 1, "data_dir": data_dir, "drain_seconds": 1.0, "poll_seconds": 0.05,
        "transport": os.environ.get("AUTHZ_TEST_TRANSPORT", Settings().transport),
    }  # fmt: skip
    return Settings.read(known | values, {})


@contextlib.asynccontextmanager
async def running(
    data_dir: Path, texts: Sequence[str] = (), *, now: float, force: bool = False, **values: Any
) -> AsyncIterator[Running]:
    """Start everything, deploy, and wait until Envoy serves."""
    chosen = settings(data_dir, **values)
    with tempfile.TemporaryDirectory(prefix="authz-") as run_dir, contextlib.closing(open_store(data_dir)) as store:
        gateway = Gateway(chosen, store, Path(run_dir))
        async with gateway.running(), gateway.envoy() as proxy:
            whole = Running(chosen, store, gateway, proxy)
            if texts:
                await whole.deploy(*texts, now=now, force=force)
            await proxy.wait_ready()
            yield whole
