"""The seam between HTTP/2 and meaning: a handler takes a request message's bytes and returns the reply's.

A transport knows gRPC framing and nothing of what it carries; a handler knows protobuf and nothing of HTTP/2.
A handler answers at once (bytes) on the usual way and returns an awaitable only when it must fetch something. It
refuses a call by raising `authz.errors.Refusal`; any other exception becomes INTERNAL and is logged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

Handler = Callable[[bytes], bytes | Awaitable[bytes]]
Handlers = Mapping[str, Handler]
"""gRPC method path (`/package.Service/Method`) to its handler."""


class Transport(Protocol):
    """A running gRPC server of unary methods."""

    @property
    def address(self) -> str:
        """Where it listens: `HOST:PORT` with the real port, or `unix:PATH`."""
        ...

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            StateError: the address cannot be bound.
        """
        ...

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let running ones end for at most `grace` seconds, close."""
        ...
