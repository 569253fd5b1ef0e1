"""One connection to one server, shared by all who ask: what is asked travels at once, answers come in their order.

Nothing is sent twice here. Whoever got no answer tells the ledger again, with a newer turn: that is always right,
while a step sent twice under one turn would be ignored the second time.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection, SSLConnection
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from authz.quota.counters.ledger import LedgerLost
from authz.quota.counters.redis import trouble
from authz.quota.counters.redis.address import Node

Words = Sequence[str | int]

_NAME = ("CLIENT", "SETNAME", "authz")


async def connect(node: Node, limit: float, *greeting: Words) -> AbstractConnection:
    """Open a connection, log in, see that the server is new enough, and say the greeting, whatever it answers.

    Raises:
        LedgerLost: that is not possible in time.
    """
    connection = node.connection(limit)
    try:
        async with asyncio.timeout(limit):
            if isinstance(connection, SSLConnection):
                await asyncio.to_thread(node.trust.give, connection)
            await connection.connect()
            hello, *_ = await _converse(connection, ("HELLO", "2"), _NAME, *greeting)
            _check_version(hello)
    except TimeoutError:
        await connection.disconnect(nowait=True)
        raise trouble.late(node.place, limit, tls=node.has_tls) from None
    except _BROKEN as error:
        await connection.disconnect(nowait=True)
        raise trouble.lost(node.place, error, early=True) from None
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


async def _converse(connection: AbstractConnection, *commands: Words) -> list[Any]:
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    return [await _reply(connection) for _ in commands]


async def _reply(connection: AbstractConnection) -> Any:
    """The next reply; an error that answers a command is one, too."""
    try:
        return await connection.read_response(timeout=math.inf)
    except ResponseError as error:
        return error


def _check_version(hello: Any) -> None:
    if isinstance(hello, ResponseError):
        raise hello
    fields = dict(zip(hello[::2], hello[1::2], strict=True))
    major, minor, *_ = fields[b"version"].split(b".")
    if (int(major), int(minor)) < trouble.OLDEST:
        raise ResponseError("unknown command: the version is too low")


# Replies are taken apart on the way: from what is not Redis, anything can come.
_BROKEN = (RedisError, OSError, EOFError, TypeError, ValueError, LookupError, AttributeError)


class _Batch:
    """Commands that were sent together, and the replies so far."""

    __slots__ = ("done", "missing", "replies")

    def __init__(self, commands: int) -> None:
        self.missing = commands
        self.replies: list[Any] = []
        self.done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()


class Link:
    """The way to one server. It connects when it is asked, and again after it broke."""

    def __init__(self, node: Node, limit: float, *greeting: Words) -> None:
        self.node = node
        self._limit = limit
        self._greeting = greeting
        self._connection: AbstractConnection | None = None
        self._opening: asyncio.Task[LedgerLost | None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting: deque[_Batch] = deque()

    async def ask(self, commands: Sequence[Words], deadline: float) -> list[Any]:
        """The replies, in order. An error reply stands in its place as an exception.

        Raises:
            LedgerLost: there is no answer until the deadline (by the loop's time), or the connection broke.
        """
        batch = _Batch(len(commands))
        try:
            async with asyncio.timeout_at(deadline):
                connection = self._connection
                if connection is None or not connection.is_connected:
                    connection = await self._open()
                self._waiting.append(batch)
                # Nothing is awaited between these two: the order of batches is that of their bytes.
                await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                return await batch.done
        except TimeoutError:
            late = trouble.late(self.node.place, self._limit, tls=self.node.has_tls and self._connection is None)
            if batch in self._waiting:
                self.drop(late)
            raise late from None
        except (RedisError, OSError) as error:
            broken = trouble.lost(self.node.place, error)
            self.drop(broken)
            raise broken from None

    def drop(self, reason: LedgerLost) -> None:
        """End the connection; whoever waits for an answer is told why there is none."""
        waiting, self._waiting, self._connection = self._waiting, deque(), None
        if self._reading is not None and self._reading is not asyncio.current_task():
            self._reading.cancel()
        self._reading = None
        for batch in waiting:
            if not batch.done.done():
                batch.done.set_exception(LedgerLost(str(reason)))
                batch.done.exception()  # its caller may have left

    async def close(self) -> None:
        """End the connection, and wait until it is."""
        self.drop(LedgerLost("The ledger is closed"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _open(self) -> AbstractConnection:
        """Wait for the connection; all who ask meanwhile wait for the same."""
        if self._opening is None:
            self._opening = self._begin(self._connect())
        opening = self._opening
        await asyncio.wait([opening])  # a caller that leaves does not end what others wait for
        if not opening.cancelled() and (failure := opening.result()) is not None:
            raise LedgerLost(str(failure))
        if self._connection is None:
            raise LedgerLost(f"Redis at {self.node.place} has ended the connection")
        return self._connection

    async def _connect(self) -> LedgerLost | None:
        try:
            connection = await connect(self.node, self._limit, *self._greeting)
        except LedgerLost as lost:
            return lost
        finally:
            self._opening = None
        self._connection = connection
        self._reading = self._begin(self._read(connection))
        return None

    async def _read(self, connection: AbstractConnection) -> None:
        try:
            while True:
                reply = await _reply(connection)
                if not self._waiting:
                    raise InvalidResponse("an answer that nobody asked for")
                batch = self._waiting[0]
                batch.replies.append(reply)
                if len(batch.replies) == batch.missing:
                    self._waiting.popleft()
                    if not batch.done.done():
                        batch.done.set_result(batch.replies)
        except _BROKEN as error:
            if self._connection is connection:
                self.drop(trouble.lost(self.node.place, error))
        finally:
            with contextlib.suppress(*_BROKEN):
                await connection.disconnect(nowait=True)

    def _begin(self, job: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
