"""The fast transport: a gRPC server of unary methods on libnghttp2 and asyncio (see `transport.base.Transport`).

This module listens, counts connections and stops; what happens on one of them is `transport.http2`'s.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from typing import Any, Final

from authz.tls import Tls
from authz.transport import address as addresses
from authz.transport.base import Handlers
from authz.transport.calls import Shared
from authz.transport.health import CHECK, Health
from authz.transport.http2 import Connection
from authz.transport.limits import Limits

_BACKLOG: Final = 1024
_TICK: Final = 1.0
_LAST_WORDS: Final = 1.0
"""Seconds that a peer has to read what a stop sends it."""


class Nghttp2Transport:
    """A gRPC server of unary methods on libnghttp2, over TCP or a Unix socket, with TLS where that is given.

    A Unix socket is made for its owner only; one that a dead process left behind is replaced.
    """

    def __init__(
        self, handlers: Handlers, address: str, *, limits: Limits | None = None, tls: Tls | None = None
    ) -> None:
        self._endpoint = addresses.parse(address)
        self._health = Health(handlers)
        self._shared = Shared({CHECK: self._health.check, **handlers}, limits or Limits.here())
        self._tls = tls.context() if tls else None
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        """Where it listens, with the real port once started."""
        return str(self._endpoint)

    @property
    def open_connections(self) -> int:
        """How many peers there are."""
        return len(self._shared.connections)

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            StateError: the address cannot be bound.
        """
        try:
            if isinstance(self._endpoint, addresses.Tcp):
                self._server, self._endpoint = await self._listen(self._endpoint)
            else:
                self._server = await self._listen_privately(self._endpoint)
        except OSError as error:
            raise addresses.not_bound(self._endpoint) from error
        self._ticking = asyncio.get_running_loop().call_later(_TICK, self._tick)

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let running ones end for at most `grace` seconds, close. Does nothing if not started."""
        server, self._server = self._server, None
        self._health.serving = False
        if server is None:
            return
        self._shared.stopping = True
        server.close()
        if isinstance(self._endpoint, addresses.Unix):
            self._endpoint.path.unlink(missing_ok=True)
        for connection in list(self._shared.connections):
            connection.drain()
        await self._wait(grace)
        for connection in list(self._shared.connections):
            connection.stop()
        await self._wait(_LAST_WORDS)
        for connection in list(self._shared.connections):
            connection.abort()
        await self._wait(_LAST_WORDS)
        if self._ticking:
            self._ticking.cancel()

    async def _listen(self, endpoint: addresses.Tcp) -> tuple[asyncio.Server, addresses.Tcp]:
        host = endpoint.host.strip("[]")
        # Two gateways on one port would share its connections without a word.
        server = await asyncio.get_running_loop().create_server(
            self._accept, host, endpoint.port, reuse_port=False, backlog=_BACKLOG, **self._secured()
        )
        return server, addresses.Tcp(endpoint.host, server.sockets[0].getsockname()[1])

    async def _listen_privately(self, endpoint: addresses.Unix) -> asyncio.Server:
        endpoint.clear()
        listener = socket.socket(socket.AF_UNIX)
        try:
            with addresses.owner_only():
                listener.bind(str(endpoint.path))
            return await asyncio.get_running_loop().create_unix_server(
                self._accept, sock=listener, backlog=_BACKLOG, **self._secured()
            )
        except OSError:
            listener.close()
            raise

    def _secured(self) -> dict[str, Any]:
        """TLS, with as much time for its handshake as for a greeting."""
        if self._tls is None:
            return {}
        return {"ssl": self._tls, "ssl_handshake_timeout": self._shared.limits.greeting}

    def _accept(self) -> asyncio.Protocol:
        connection = Connection(self._shared)
        if self._tls:
            # asyncio tells a protocol nothing of a handshake that failed; it only drops it.
            weakref.finalize(connection, self._dropped, connection.closed).atexit = False
        return connection

    def _dropped(self, closed: asyncio.Future[None]) -> None:
        if not (closed.done() or self._shared.stopping):
            self._shared.complaints.add("somebody", "did not get through the TLS handshake")

    def _tick(self) -> None:
        self._ticking = asyncio.get_running_loop().call_later(_TICK, self._tick)
        self._shared.complaints.tick()
        for connection in list(self._shared.connections):
            connection.tick()

    async def _wait(self, seconds: float) -> None:
        """Until there are no connections, but not for longer."""
        if self._shared.connections:
            await asyncio.wait([connection.closed for connection in self._shared.connections], timeout=seconds)
