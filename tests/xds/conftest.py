"""A backend that records, and a real Envoy in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from harness.dataplane import Start, a_gateway
from harness.http import Upstream


@pytest.fixture
async def backend() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory, backend: Upstream) -> Start:
    """`async with start(inventory, setting=value) as gateway`"""
    # A Unix socket's path is short: pytest's own directories carry the test's name.
    directory = tmp_path_factory.mktemp("e")
    return lambda inventory, **settings: a_gateway(directory, backend, inventory, **settings)
