"""Every walk is taken on every transport."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.transports import transport

__all__ = ["transport"]


@pytest.fixture(autouse=True)
def _on_this_transport(request: pytest.FixtureRequest, transport: str) -> Iterator[None]:
    yield
    stage = request.node.funcargs.get("stage")
    assert stage is None or stage.running.settings.transport == transport, "the stage must ask for `transport`"
