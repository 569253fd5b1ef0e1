"""One call: from the parts of its request to its handler's answer. It knows gRPC's rules and no HTTP/2."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from authz.errors import Refusal
from authz.transport import framing
from authz.transport.base import Handler, Handlers
from authz.transport.framing import Rejected
from authz.transport.limits import Complaints, Limits

log = logging.getLogger(__name__)

_CROWDED: Final = framing.refusal(framing.RESOURCE_EXHAUSTED, "too many unfinished requests at once")
_TOO_LATE: Final = framing.refusal(framing.DEADLINE_EXCEEDED, "the answer was not there in time")


class Shared:
    """What all calls of one server have in common: its methods, its limits, the bytes of unfinished requests."""

    def __init__(self, handlers: Handlers, limits: Limits) -> None:
        self.methods = {path.encode(): Method(path, handler, self) for path, handler in handlers.items()}
        self.limits = limits
        self.complaints = Complaints()
        self.held = 0


@dataclass(frozen=True, slots=True)
class Method:
    """What a path stands for."""

    path: str
    handler: Handler
    shared: Shared


class Call:
    """A request without an answer yet: still on its way in, or waiting for its handler in a `task`."""

    __slots__ = ("_body", "_method", "_timeout", "age", "task")

    def __init__(self, method: Method, timeout: bytes | None) -> None:
        self._method = method
        self._timeout = timeout
        self._body: bytearray | None = None
        self.task: asyncio.Task[None] | None = None
        self.age = 0

    def take(self, data: bytes, ended: bool) -> bytes | Awaitable[bytes] | None:
        """A part of the request, mostly all of it. Returns the handler's answer once it can be asked for one.

        Raises:
            Rejected: the call ends with a status.
        """
        body = data if ended and self._body is None else self._hold(data)
        message = framing.message(body, self._method.shared.limits.message, ended)
        if message is None:
            return None
        if self._body is not None:
            self.release()
        try:
            return self._method.handler(message if isinstance(message, bytes) else bytes(message))
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this call only
            raise Rejected(self._failure(error)) from None

    def _hold(self, data: bytes) -> bytearray:
        """Keep a part until the rest has come; all of it so far."""
        shared = self._method.shared
        if shared.held + len(data) > shared.limits.held:
            raise Rejected(_CROWDED)
        shared.held += len(data)
        if self._body is None:
            self._body = bytearray()
        self._body += data
        return self._body

    async def wait(self, reply: Awaitable[bytes]) -> bytes:
        """The answer of a handler that waits for something, within the caller's deadline.

        Raises:
            Rejected: the call ends with a status.
        """
        try:
            async with asyncio.timeout(framing.timeout(self._timeout)) as deadline:
                return await reply
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this call only
            raise Rejected(_TOO_LATE if deadline.expired() else self._failure(error)) from None

    def release(self) -> None:
        """Free what is held of the request."""
        if self._body is not None:
            self._method.shared.held -= len(self._body)
            self._body = None

    def drop(self) -> None:
        """Nobody waits for the answer any more."""
        self.release()
        if self.task is not None:
            self.task.cancel()

    def _failure(self, error: Exception) -> framing.Headers:
        """The answer when the handler raised."""
        if isinstance(error, Refusal):
            return framing.refusal(error.code, error.message)
        log.error("%s failed", self._method.path, exc_info=error)
        return framing.refusal(framing.INTERNAL, "the call failed here; the log says why")
