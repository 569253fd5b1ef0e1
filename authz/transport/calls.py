"""One call: from the parts of its request to its handler's answer. It knows gRPC's rules and no HTTP/2."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final

from authz.errors import Refusal
from authz.transport import framing
from authz.transport.base import Handler
from authz.transport.framing import Rejected
from authz.transport.limits import Shared

log = logging.getLogger(__name__)

_CROWDED: Final = framing.refusal(framing.RESOURCE_EXHAUSTED, "too many unfinished requests at once")
_TOO_LATE: Final = framing.refusal(framing.DEADLINE_EXCEEDED, "the answer was not there in time")


class Call:
    """A request without an answer yet: still on its way in, or waiting for its handler in a `task`."""

    __slots__ = ("_body", "_handler", "_path", "_shared", "_timeout", "age", "task")

    def __init__(self, shared: Shared, path: bytes, handler: Handler, timeout: bytes | None) -> None:
        self._shared = shared
        self._path = path
        self._handler = handler
        self._timeout = timeout
        self._body: bytearray | None = None
        self.task: asyncio.Task[None] | None = None
        self.age = 0

    def take(self, data: bytes, *, ended: bool) -> bytes | Awaitable[bytes] | None:
        """A part of the request, mostly all of it. Returns the handler's answer once it can be asked for one.

        Raises:
            Rejected: the call ends with a status.
        """
        body = data if ended and self._body is None else self._hold(data)
        message = framing.message(body, self._shared.limits.message, ended=ended)
        if message is None:
            return None
        self.release()
        try:
            return self._handler(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this call only
            raise Rejected(self._failure(error)) from None

    def _hold(self, data: bytes) -> bytearray:
        """Keep a part until the rest has come; all of it so far."""
        shared = self._shared
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
            self._shared.held -= len(self._body)
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
        log.error("%s failed", self._path.decode("ascii", "replace"), exc_info=error)
        return framing.refusal(framing.INTERNAL, "the call failed here; the log says why")
