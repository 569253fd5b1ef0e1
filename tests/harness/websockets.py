"""A WebSocket backend, which says everything twice, and a client."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web


@dataclass
class Echo:
    """`seen` holds the requests that arrived, upgrades or not; `port` is where it listens."""

    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Echo]:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.path_qs, {name.lower(): value for name, value in request.headers.items()}))
        socket = web.WebSocketResponse()
        if not socket.can_prepare(request):
            return web.Response(text="no upgrade")
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data * 2)
        return socket


@contextlib.asynccontextmanager
async def connected(
    port: int, path: str, headers: Iterable[tuple[str, str]] = (), *, host: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A WebSocket through a gateway.

    Raises:
        aiohttp.WSServerHandshakeError: it was refused.
    """
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session,
        session.ws_connect(f"http://127.0.0.1:{port}{path}", headers={"host": host, **dict(headers)}) as socket,
    ):
        yield socket
