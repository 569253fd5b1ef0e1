"""Walk 1 when the store dies at run time: what was known may go on, nothing that was not known is let through."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from authz.admin import keys
from authz.errors import StoreError
from harness import gateway, http
from harness.http import Upstream
from harness.waiting import until
from walks.documents import GUARDED, OPEN, document

HOST = "store.example.test"
TEXT = document(HOST, {"/open": {"get": OPEN}, "/guarded": {"get": GUARDED}})


def raise_(running: gateway.Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise StoreError("The disk is gone.")

    for name in ("key", "changes", "revision", "beat"):
        monkeypatch.setattr(running.store, name, broken)
    # The key cache holds the look-up that it was made with.
    monkeypatch.setattr(running.gateway.follower.keys, "_lookup", broken)


def overwrite(running: gateway.Running, _: pytest.MonkeyPatch) -> None:
    for file in running.settings.data_dir.glob("authz.db*"):
        with file.open("r+b") as opened:
            size = opened.seek(0, 2)
            opened.seek(0)
            opened.write(b"\xa5" * size)


def delete(running: gateway.Running, _: pytest.MonkeyPatch) -> None:
    for file in running.settings.data_dir.glob("authz.db*"):
        file.unlink()
    # An open file outlives its name; a gateway with new connections finds nothing.
    running.store.close()


@pytest.mark.parametrize("lose", [raise_, overwrite, delete])
async def test_a_store_that_dies(
    lose: Callable[[gateway.Running, pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        Upstream() as backend,
        gateway.running(tmp_path, [TEXT], now=time.time(), backend=f"http://{backend.address}") as running,
    ):

        async def get(path: str, key: str = "") -> int:
            headers = [("x-api-key", key)] if key else []
            return (await http.fetch(running.port, "GET", path, headers, host=HOST)).status

        known, unused = (keys.create(running.store, "ann", now=time.time()).text for _ in range(2))
        assert await get("/guarded", known) == 200
        lose(running, monkeypatch)

        async def unknown_is_unavailable() -> bool:
            answered = await get("/guarded", f"made-up-{time.time()}")
            assert answered in {400, 503}
            return answered == 503

        await until(unknown_is_unavailable)
        for _ in range(3):
            assert await get("/guarded", "made-up") == 503
            assert await get("/guarded", unused) == 503
            assert await get("/guarded", known) in {200, 503}
            assert await get("/guarded") == 401
            assert await get("/open") == 200
