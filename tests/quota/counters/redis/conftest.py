"""Every test that asks for a server runs on each kind of it that is installed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harness.redis_server import BINARIES, NAMES, Server, a_server


@pytest.fixture(params=BINARIES, ids=NAMES)
def binary(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
async def server(binary: Path) -> AsyncIterator[Server]:
    async with a_server(binary) as server:
        yield server
