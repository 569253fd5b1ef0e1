"""The seam between HTTP/2 and meaning: a handler takes a request message's bytes and returns the reply's.

A transport knows gRPC framing and nothing of what it carries; a handler knows protobuf and nothing of HTTP/2.
A handler answers at once (bytes) on the usual way and returns an awaitable only when it must fetch something.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

Handler = Callable[[bytes], bytes | Awaitable[bytes]]
Handlers = Mapping[str, Handler]
"""gRPC method path (`/package.Service/Method`) to its handler."""


class Code(enum.IntEnum):
    """The gRPC status codes that handlers refuse with (`google/rpc/code.proto`)."""

    INVALID_ARGUMENT = 3
    RESOURCE_EXHAUSTED = 8
    INTERNAL = 13
    UNAVAILABLE = 14


class Refusal(Exception):  # noqa: N818 - it is the answer to one call, not an error of the program
    """Raised by a handler: the call ends with this gRPC status instead of a message.

    Envoy treats it as a failed call, so its failure mode decides (ext_authz: deny).
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


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
