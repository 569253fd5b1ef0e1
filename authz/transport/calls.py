"""One call: from the parts of its request to its handler's answer. It knows gRPC's rules and no HTTP/2."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from authz.errors import Refusal
from authz.transport import framing
from authz.transport.base import Handler, Handlers
from authz.transport.framing import Rejected
from authz.transport.limits import Complaints, Limits

log = logging.getLogger(__name__)

_CROWDED: Final = framing.refusal(framing.RESOURCE_EXHAUSTED, "too many unfinished requests at once")
STOPPED: Final = framing.refusal(framing.UNAVAILABLE, "the server stops")

Late = Callable[[], None]


class Shared:
    """What the connections and calls of one server have in common. `held`: bytes of unfinished requests."""

    def __init__(self, handlers: Handlers, limits: Limits) -> None:
        self.methods = {path.encode(): Method(path, handler, self) for path, handler in handlers.items()}
        self.limits = limits
        self.complaints = Complaints()
        self.connections: set[Open] = set()
        self.held = 0
        self.stopping = False


class Open(Protocol):
    """A connection as its server sees it."""

    closed: asyncio.Future[None]

    def tick(self) -> None:
        """One second has passed."""
        ...

    def drain(self) -> None:
        """Ask for no more calls; those under way may end, then the connection does."""
        ...

    def stop(self) -> None:
        """End what runs, saying so, and the connection."""
        ...

    def abort(self) -> None:
        """End the connection, whatever is left to say."""
        ...


@dataclass(frozen=True, slots=True)
class Method:
    """What a path stands for."""

    path: str
    handler: Handler
    shared: Shared

    def ask(self, message: bytes) -> bytes | Awaitable[bytes]:
        """The handler's answer.

        Raises:
            Rejected: the call ends with a status.
        """
        try:
            return self.handler(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this call only
            raise Rejected(self.failure(error)) from None

    def failure(self, error: BaseException) -> framing.Headers:
        """The answer when the handler raised."""
        if isinstance(error, Refusal):
            return framing.refusal(error.code, error.message)
        log.error("%s failed", self.path, exc_info=error)
        return framing.refusal(framing.INTERNAL, "the call failed here; the log says why")


@dataclass(frozen=True, slots=True)
class Request:
    """What the headers of a request say."""

    method: Method
    timeout: bytes | None


class Call:
    """A request that cannot be answered at once: still on its way in, or waiting for its handler."""

    __slots__ = ("_body", "_deadline", "_method", "_task", "_timeout", "age")

    def __init__(self, request: Request) -> None:
        self._method = request.method
        self._timeout = request.timeout
        self._body: bytearray | None = None
        self._task: asyncio.Future[bytes] | None = None
        self._deadline: asyncio.TimerHandle | None = None
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
        return self._method.ask(bytes(message))

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

    def wait(self, reply: Awaitable[bytes], settled: Callable[[asyncio.Future[bytes]], None], late: Late) -> None:
        """Have `settled` called when a handler that waits is done, or `late` when the caller's time is up.

        No coroutine of ours stands around the handler's: a call that is dropped before it ran would never await it.
        """
        self._task = asyncio.ensure_future(reply)
        self._task.add_done_callback(settled)
        seconds = framing.timeout(self._timeout)
        if seconds is not None:
            self._deadline = self._task.get_loop().call_later(seconds, late)

    def outcome(self, done: asyncio.Future[bytes]) -> bytes:
        """The answer of a handler that waited.

        Raises:
            Rejected: the call ends with a status.
        """
        self.release()
        if done.cancelled():  # not by us, or nobody would ask: what it waited for was shut down
            raise Rejected(STOPPED)
        if (error := done.exception()) is not None:
            raise Rejected(self._method.failure(error))
        return done.result()

    def release(self) -> None:
        """Free what is held for the call."""
        if self._body is not None:
            self._method.shared.held -= len(self._body)
            self._body = None
        if self._deadline is not None:
            self._deadline.cancel()

    def drop(self) -> None:
        """Nobody waits for the answer any more."""
        self.release()
        if self._task is not None:
            self._task.cancel()

    @property
    def arriving(self) -> bool:
        """Whether its request is not complete yet."""
        return self._task is None
