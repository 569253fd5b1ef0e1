"""What the campaign (`python -m tests.scale`) measures with a million keys, in small: behaviour, and no figures."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from authz.app import Gateway
from authz.settings import Settings
from authz.store.sql import open_store
from harness.waiting import seconds_until
from scale import population
from scale.asking import Asker, sidecar, texts_of
from scale.population import text_of, uid_of

KEYS, CONSUMERS = 20_000, 2_000
REMEMBERED = 500


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, str, str]]:
    directory = tmp_path_factory.mktemp("scale")
    return directory, population.fill(directory, KEYS, CONSUMERS)


@pytest.fixture
async def asker(filled: tuple[Path, tuple[str, str, str]]) -> AsyncIterator[Asker]:
    async with sidecar(*filled, "--key-cache-size", REMEMBERED) as asker:
        yield asker


async def test_any_of_many_keys_passes_and_a_revoked_one_does_not(
    asker: Asker, filled: tuple[Path, tuple[str, str, str]]
) -> None:
    chosen = random.Random(1).sample(range(KEYS), 3000)
    strangers = [f"no-such-key-{number}" for number in range(1000)]

    assert (await asker.all(texts_of(chosen))).statuses == {200: 3000}
    assert (await asker.all(strangers)).statuses == {400: 1000}

    number = chosen[0]
    assert await asker.status(text_of(number)) == 200
    with closing(open_store(filled[0])) as store:
        store.revoke_key(uid_of(number), time.time())

    async def is_refused() -> bool:
        return await asker.status(text_of(number)) == 400

    assert await seconds_until(is_refused) < 1.0
    assert await asker.status(text_of(chosen[1])) == 200


async def test_starting_reads_no_key(
    filled: tuple[Path, tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    with closing(open_store(filled[0])) as store:
        for name in ("key", "keys", "keys_like", "consumers"):
            monkeypatch.setattr(store, name, lambda *_, name=name: asked.append(name))
        gateway = Gateway(Settings(data_dir=filled[0]), store, tmp_path)
        async with gateway.running():
            assert gateway.follower.book.book.operations

    assert asked == []
