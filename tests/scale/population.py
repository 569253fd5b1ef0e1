"""A store with as many keys and consumers as wanted: every key's text follows from its number."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import insert

from authz.admin import deploy
from authz.model.auth import ApiKey, Consumer, key_digest
from authz.model.service import SourceText
from authz.sources import compile_texts
from authz.store import tables
from authz.store.sql import SqlStore, open_store
from walks.documents import GUARDED, document

HOST = "scale.example.test"
TEXT = document(HOST, {"/guarded": {"get": GUARDED}})
AT_ONCE = 10_000


def text_of(number: int) -> str:
    """The text of a key: as long as those that we make."""
    return f"ak_{number:032d}"


def uid_of(number: int) -> str:
    return f"key-{number:08d}"


def fill(directory: Path, keys: int, consumers: int) -> tuple[str, str, str]:
    """Make the store, deploy one guarded operation; gives it as Envoy names it (service, config id, selector)."""
    store = open_store(directory)
    try:
        deployed = deploy.deploy(store, [SourceText("scale.json", TEXT)], now=time.time())
        _add_consumers(store, consumers)
        for start in range(0, keys, AT_ONCE):
            store.add_keys(list(_keys(range(start, min(start + AT_ONCE, keys)), consumers)))
        (config,) = compile_texts([SourceText("scale.json", TEXT)]).configs
        return HOST, deployed.services[0].config.id, config.operations[0].selector
    finally:
        store.close()


def _add_consumers(store: SqlStore, count: int) -> None:
    # One by one, each in a transaction of its own, they would take a minute.
    rows = [
        {"number": n + 1, "name": f"consumer-{n}", "kind": "PROJECT", "status": "active", "created_at": 0.0}
        for n in range(count)
    ]
    with store._write() as connection:
        connection.execute(insert(tables.consumer), rows)


def _keys(numbers: range, consumers: int) -> Iterator[ApiKey]:
    for number in numbers:
        owner = Consumer(number % consumers + 1, f"consumer-{number % consumers}")
        yield ApiKey(uid_of(number), key_digest(text_of(number)), owner, hint=text_of(number)[:8], created_at=1.0)
