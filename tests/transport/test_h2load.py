"""Both transports under h2load, a client of another make. It is a system's package: without it, nothing is collected
here, and the same load comes from the bench's own sender (`tests/bench/test_bench.py`).
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from authz.transport.base import Handlers, Transport
from authz.transport.grpcio import GrpcioTransport
from authz.transport.nghttp2 import Nghttp2Transport
from bench.drivers import Grpc

ECHO, LATER = "/test.Echo/Echo", "/test.Echo/Later"
SECONDS = 0.3
MESSAGE = b"said" * 75
CASES = [
    (kind, method, connections)
    for kind in (Nghttp2Transport, GrpcioTransport)
    for method in (ECHO, LATER)
    for connections in (1, 32)
    if shutil.which("h2load")
]


async def later(data: bytes) -> bytes:
    await asyncio.sleep(0)
    return data


HANDLERS: Handlers = {ECHO: lambda data: data, LATER: later}

if CASES:

    @pytest.mark.parametrize(("kind", "method", "connections"), CASES)
    async def test_every_call_is_answered(kind: type[Transport], method: str, connections: int, tmp_path: Path) -> None:
        transport = kind(HANDLERS, f"unix:{tmp_path}/s")
        await transport.start()
        try:
            # It refuses figures whose answers are not as long as they must be.
            run = await asyncio.to_thread(Grpc(transport.address, method, MESSAGE, MESSAGE, connections).drive, SECONDS)
        finally:
            await transport.stop(1)

        assert run.requests > connections
        assert run.errors == 0
