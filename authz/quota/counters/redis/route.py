"""Which server has a key: the one there is, the primary that sentinels name, or a Cluster's node for its slot.

Where servers change their parts, the route follows: what is doubted is looked up again. All nodes that could know are
asked at once and the first good answer counts, so that one which is away costs no time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Protocol

from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError

from authz.quota.counters.ledger import LedgerLost
from authz.quota.counters.redis import trouble
from authz.quota.counters.redis.address import Node, Site
from authz.quota.counters.redis.link import Link, Words
from authz.quota.counters.redis.step import Command

SLOTS = 16384

_LONGEST_LOOK = 1.0
"""How many seconds a Cluster's nodes have for telling which of them has what, in the background."""


class Route(Protocol):
    """The way to a site."""

    async def ask(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """The replies, in order: an error reply is an exception in its place, and `LedgerLost` where none came.

        Raises:
            LedgerLost: nothing could be asked.
        """
        ...

    async def anywhere(self, deadline: float) -> Node:
        """A server to listen to. In a Cluster any will do: nodes tell each other.

        Raises:
            LedgerLost: none is known.
        """
        ...

    async def close(self) -> None:
        """End all connections."""
        ...


def route(site: Site, limit: float, *greeting: Words) -> Route:
    """The route for a site. Each new connection says the greeting."""
    if site.kind == "cluster":
        return Cluster(site, limit, greeting)
    return Sentinel(site, limit, greeting) if site.kind == "sentinel" else Single(site, limit, greeting)


class Single:
    """One server has everything."""

    def __init__(self, site: Site, limit: float, greeting: Sequence[Words]) -> None:
        self._link = Link(site.primary, limit, *greeting)

    async def ask(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """The replies, in order."""
        return await self._link.ask([command.words for command in commands], deadline)

    async def anywhere(self, deadline: float) -> Node:  # noqa: ARG002 - it is known
        """The server."""
        return self._link.node

    async def close(self) -> None:
        """End the connection."""
        await self._link.close()


class Sentinel:
    """One server has everything, and sentinels say which one."""

    def __init__(self, site: Site, limit: float, greeting: Sequence[Words]) -> None:
        self._site = site
        self._limit = limit
        self._greeting = greeting
        self._sentinels = [Link(node, limit) for node in site.nodes]
        self._primary: Link | None = None

    async def ask(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """The replies, in order. When the primary is gone or none any more, the next question looks for the new one."""
        primary = await self._find(deadline)
        try:
            replies = await primary.ask([command.words for command in commands], deadline)
        except LedgerLost as lost:
            self._doubt(primary, lost)
            raise
        if any(map(trouble.is_replica, replies)):
            self._doubt(primary, LedgerLost(f"Redis at {primary.node.place} is not the primary any more"))
        return replies

    async def anywhere(self, deadline: float) -> Node:
        """The primary."""
        return (await self._find(deadline)).node

    async def close(self) -> None:
        """End all connections."""
        links = [*self._sentinels, *([self._primary] if self._primary else [])]
        await asyncio.gather(*[link.close() for link in links])

    async def _find(self, deadline: float) -> Link:
        if self._primary is None:
            question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._site.service)
            looks = [self._named(link, question, deadline) for link in self._sentinels]
            node = await _first(looks)
            if self._primary is None:
                self._primary = Link(node, self._limit, *self._greeting)
        return self._primary

    async def _named(self, sentinel: Link, question: Words, deadline: float) -> Node:
        (reply,) = await sentinel.ask([question], deadline)
        if isinstance(reply, Exception):
            raise trouble.lost(sentinel.node.place, reply)
        if not isinstance(reply, list):
            raise LedgerLost(f"The sentinel at {sentinel.node.place} knows no service '{self._site.service}'")
        return self._site.primary.at(reply[0].decode(), int(reply[1]))

    def _doubt(self, primary: Link, reason: LedgerLost) -> None:
        if self._primary is primary:
            self._primary = None
            primary.drop(reason)


class Cluster:
    """Each slot is at one of several nodes."""

    def __init__(self, site: Site, limit: float, greeting: Sequence[Words]) -> None:
        self._site = site
        self._limit = limit
        self._greeting = greeting
        self._links: dict[str, Link] = {}
        self._slots: list[Link | None] = []
        self._looking: asyncio.Task[None] | None = None

    async def ask(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """The replies, in order; each node is sent what is for it; what one refers elsewhere goes there."""
        if not self._slots:
            await self._look(deadline)
        replies = await self._ask_owners(commands, deadline)
        for index, (command, reply) in enumerate(zip(commands, replies, strict=True)):
            if isinstance(reply, AskError):  # MovedError is one
                replies[index] = await self._follow(command, reply, deadline)
        if replies and all(isinstance(reply, LedgerLost) for reply in replies):
            raise LedgerLost(str(replies[0]))
        return replies

    async def anywhere(self, deadline: float) -> Node:
        """Any node that is known; another one each time."""
        if not self._slots:
            await self._look(deadline)
        return random.choice(self._known()).node  # noqa: S311 - it guards nothing

    async def close(self) -> None:
        """End all connections."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(*[link.close() for link in self._links.values()])

    async def _ask_owners(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        replies: list[Any] = [None] * len(commands)
        shares: dict[Link, list[int]] = {}
        for index, command in enumerate(commands):
            if (link := self._slots[command.slot]) is None:
                replies[index] = LedgerLost("The Redis Cluster has no node for this counter")
                self._doubt()
            else:
                shares.setdefault(link, []).append(index)
        answered = [self._ask_one(link, [commands[i].words for i in share], deadline) for link, share in shares.items()]
        for share, answers in zip(shares.values(), await asyncio.gather(*answered), strict=True):
            for index, answer in zip(share, answers, strict=True):
                replies[index] = answer
        return replies

    async def _ask_one(self, link: Link, commands: Sequence[Words], deadline: float) -> Sequence[Any]:
        try:
            replies = await link.ask(commands, deadline)
        except LedgerLost as lost:
            self._doubt()
            return [lost] * len(commands)
        for reply in replies:
            if isinstance(reply, AskError) and not reply.host:  # it is where we asked, as in a map
                reply.host = link.node.options["host"]
        if any(isinstance(reply, ClusterDownError) or trouble.is_replica(reply) for reply in replies):
            self._doubt()
        return replies

    async def _follow(self, command: Command, reply: AskError, deadline: float) -> Any:
        """The node has not run the command; the one that it names will."""
        link = self._link(self._site.primary.at(reply.host, reply.port))
        if isinstance(reply, MovedError):
            self._slots[command.slot] = link
            self._doubt()
            return (await self._ask_one(link, [command.words], deadline))[0]
        return (await self._ask_one(link, [("ASKING",), command.words], deadline))[-1]

    def _doubt(self) -> None:
        """Look up in the background who has what now; unless that is being done."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_again())

    async def _look_again(self) -> None:
        try:
            await self._look(asyncio.get_running_loop().time() + _LONGEST_LOOK)
        except LedgerLost:
            return  # what is known stays; whoever fails with it doubts it again

    async def _look(self, deadline: float) -> None:
        ranges = await _first([self._map_of(link, deadline) for link in self._known()])
        slots: list[Link | None] = [None] * SLOTS
        for first, last, (host, port, *_), *_ in ranges:
            link = self._link(self._site.primary.at(host.decode(), port))
            slots[first : last + 1] = [link] * (last + 1 - first)
        self._slots = slots
        gone = LedgerLost("This node has left the Redis Cluster")
        for place in self._links.keys() - {link.node.place for link in (*slots, *self._seeds()) if link}:
            self._links.pop(place).drop(gone)

    async def _map_of(self, link: Link, deadline: float) -> list[Any]:
        """The map of a node that takes part: one that is cut off from the others does not know what it has lost."""
        slots, info = await link.ask([("CLUSTER", "SLOTS"), ("CLUSTER", "INFO")], deadline)
        for reply in (slots, info):
            if isinstance(reply, ResponseError):
                raise trouble.lost(link.node.place, reply)
        if b"cluster_state:ok" not in info:
            raise trouble.lost(link.node.place, ClusterDownError(""))
        # A node may leave its own address away: it is where we asked.
        host = link.node.options["host"].encode()
        return [[first, last, [node[0] or host, node[1]]] for first, last, node, *_ in slots]

    def _known(self) -> list[Link]:
        known = list({link.node.place: link for link in (*self._slots, *self._seeds()) if link}.values())
        random.shuffle(known)
        return known

    def _seeds(self) -> list[Link]:
        return [self._link(node) for node in self._site.nodes]

    def _link(self, node: Node) -> Link:
        if node.place not in self._links:
            self._links[node.place] = Link(node, self._limit, *self._greeting)
        return self._links[node.place]


async def _first(answers: Iterable[Coroutine[Any, Any, Any]]) -> Any:
    """The first answer that is one. What others are still about is ended.

    Raises:
        LedgerLost: there is none; what the last one said.
    """
    tasks = [asyncio.create_task(answer) for answer in answers]
    failure = LedgerLost("Redis has no known address")
    try:
        for next_done in asyncio.as_completed(tasks):
            try:
                return await next_done
            except LedgerLost as lost:
                failure = lost
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    raise LedgerLost(str(failure))
