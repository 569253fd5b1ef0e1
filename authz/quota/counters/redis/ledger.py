"""The ledger on a Redis site: steps, the clock, recalls, and who is there."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Coroutine, Sequence
from typing import Any

from redis.exceptions import NoScriptError

from authz.quota.counters.ledger import Entry, LedgerLost, Recalled, Settlement, Window
from authz.quota.counters.redis import address, ears, step, trouble
from authz.quota.counters.redis.address import Node
from authz.quota.counters.redis.route import route
from authz.quota.counters.redis.step import Command, Script

MEMBERS = "authz:quota:members"
MEMORY = "authz:quota:memory"
"""Whoever comes first names the memory. A server that forgot this name has forgotten the rest, too."""

_BEAT = 2.0
"""How often a process says that it lives, in seconds."""

_FORGOTTEN = 10.0
"""After so many seconds without a word a process counts as gone."""


class RedisLedger:
    """Windows in the Redis of a URL (`redis.address` has its forms), in one event loop.

    `timeout` bounds each call as a whole, in seconds: finding the server, connecting, and the answer.
    """

    def __init__(self, url: str, *, timeout: float = 0.25) -> None:
        self._site = address.parse(url)
        self._limit = timeout
        self._name = uuid.uuid4().hex
        self._lease = Script.named("lease.lua")
        self._register = Script.named("members.lua")
        self._route = route(self._site, timeout, self._lease.load, self._register.load)
        self._ears = ears.Ears(self._name, timeout, self._anywhere)
        self._members = 1
        self._memory = ""
        self._changed = asyncio.Event()
        """Somebody has come or goes."""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def members(self) -> int:
        """How many processes share it, as last seen; at least 1."""
        return self._members

    @property
    def memory(self) -> str:
        """What the server's memory is called."""
        return self._memory

    @property
    def hears(self) -> bool:
        """Whether recalls of others reach this process."""
        return self._ears.open

    async def start(self, recalled: Recalled) -> None:
        """Connect, as far as that is possible now, and keep at it."""
        await self._beat()
        self._begin(self._ears.listen(recalled, self._changed.set))
        self._begin(self._keep_beating())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limit):
                await self._ears.tried.wait()
        await self.recall(())

    async def settle(self, entries: Sequence[Entry]) -> Sequence[Settlement | LedgerLost]:
        """Make each entry's step, in order; all that is asked for at once travels together.

        Raises:
            LedgerLost: nothing could be asked.
        """
        if not entries:
            return []
        replies = await self._run(self._lease, [step.command(self._lease, entry) for entry in entries])
        return [self._settlement(entry, reply) for entry, reply in zip(entries, replies, strict=True)]

    async def time(self) -> float:
        """The server's clock, in Unix seconds. In a Cluster it is always the same node's, for all processes.

        Raises:
            LedgerLost: it cannot be asked.
        """
        slot = step.slot_of(MEMORY)
        commands = [("SET", MEMORY, self._name, "NX"), ("GET", MEMORY)]
        replies = await self._ask(
            [Command(step.slot_of(MEMBERS), ("TIME",)), *(Command(slot, words) for words in commands)]
        )
        time, _, memory = replies
        if isinstance(memory, bytes):
            self._memory = memory.decode(errors="replace")
        try:
            return int(time[0]) + int(time[1]) / 1e6
        except (TypeError, ValueError, LookupError):
            raise self._failure(time) from None

    async def recall(self, windows: Sequence[Window]) -> None:
        """Ask whoever holds units of these windows to give them back; without any, say that one comes or goes."""
        words = ("PUBLISH", ears.CHANNEL, ears.message(self._name, windows))
        with contextlib.suppress(LedgerLost):
            await self._ask([Command(step.slot_of(MEMBERS), words)])

    async def close(self) -> None:
        """Leave, and let go of connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._beat(stay=False)
        await self.recall(())
        await self._route.close()

    # -- asking -----------------------------------------------------------------------------------------------

    async def _run(self, script: Script, commands: Sequence[Command]) -> list[Any]:
        """Run a script by its digest. A server that has lost it has done nothing, and is sent the whole of it."""
        deadline = asyncio.get_running_loop().time() + self._limit
        replies = await self._route.ask(commands, deadline)
        unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = await self._route.ask([script.whole(commands[index]) for index in unknown], deadline)
            for index, reply in zip(unknown, again, strict=True):
                replies[index] = reply
        return replies

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        return await self._route.ask(commands, asyncio.get_running_loop().time() + self._limit)

    async def _anywhere(self) -> Node:
        return await self._route.anywhere(asyncio.get_running_loop().time() + self._limit)

    def _settlement(self, entry: Entry, reply: Any) -> Settlement | LedgerLost:
        return step.settlement(entry, reply) or self._failure(reply)

    def _failure(self, reply: Any) -> LedgerLost:
        if isinstance(reply, LedgerLost):
            return reply
        return trouble.lost(self._place, reply if isinstance(reply, Exception) else TypeError())

    @property
    def _place(self) -> str:
        return ", ".join(node.place for node in self._site.nodes)

    # -- being there ------------------------------------------------------------------------------------------

    async def _keep_beating(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_BEAT):  # wait_for may swallow a cancellation before Python 3.12
                    await self._changed.wait()
            self._changed.clear()
            await self._beat()

    async def _beat(self, *, stay: bool = True) -> None:
        """Say that this process lives, and see how many do. While Redis is away, the last number stands."""
        values = (self._name, int(_FORGOTTEN * 1000), int(stay))
        with contextlib.suppress(LedgerLost):
            (count,) = await self._run(self._register, [self._register.by_digest([MEMBERS], values)])
            if isinstance(count, int):
                self._members = max(1, count)

    def _begin(self, job: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(job))
