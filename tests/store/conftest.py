"""The backends of the store, each opened twice: by the one who writes and by the one who reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from authz.store.base import Store
from authz.store.sql import open_store, open_url

Opener = Callable[[], Store]

# A new backend is one more line: what opens it, given an empty directory.
BACKENDS: dict[str, Callable[[Path], Store]] = {
    "sqlite": open_store,
    "url": lambda directory: open_url(f"sqlite:///{directory}/other.db"),
}


@pytest.fixture(params=BACKENDS)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same store again and again; closes all in the end."""
    opened: list[Store] = []

    def open_again() -> Store:
        opened.append(BACKENDS[request.param](tmp_path))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: Opener) -> Store:
    """The one who writes."""
    return opener()


@pytest.fixture(params=["one connection", "another process's view"])
def reader(request: pytest.FixtureRequest, opener: Opener, store: Store) -> Store:
    """The one who reads: the writer itself, or somebody who opened the store on their own."""
    return store if request.param == "one connection" else opener()
