"""The gRPC library behind a real Envoy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from authz.model.inventory import Inventory
from harness.grpc_stage import Stage, a_stage

Open = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def opened(tmp_path_factory: pytest.TempPathFactory) -> Open:
    """`async with opened(inventory, setting=value) as stage`"""

    def make(inventory: Inventory | None = None, **settings: Any) -> AbstractAsyncContextManager[Stage]:
        # A Unix socket's path is short: pytest's own directories carry the test's name.
        return a_stage(tmp_path_factory.mktemp("g"), inventory, **settings)

    return make
