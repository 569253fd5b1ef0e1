"""A ledger in this process for tests: the rule of `Pages`, with members that can be delayed, cut off and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from authz.quota.counters.ledger import Entry, LedgerLost, Recalled, Settlement, Window
from authz.quota.counters.pages import Pages


class Hub:
    """What members share. `now` is the ledger's clock, `delay` how many turns of the loop an answer takes."""

    def __init__(self, now: float = 0.0, delay: int = 1) -> None:
        self.pages = Pages()
        self.now = now
        self.delay = delay
        self.lost = ""
        self.answers_lost = False
        self.settled = 0
        self.joined: list[Member] = []

    def join(self) -> Member:
        return Member(self)


class Member:
    """One process's way to the hub; a `Ledger`. `deaf` and `hears` are about recalls."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.hears = True
        self.deaf = False
        self.recalled: Recalled = lambda _: None
        hub.joined.append(self)

    @property
    def members(self) -> int:
        return len(self.hub.joined)

    @property
    def memory(self) -> str:
        return str(id(self.hub.pages))

    async def start(self, recalled: Recalled) -> None:
        self.recalled = recalled

    async def settle(self, entries: Sequence[Entry]) -> Sequence[Settlement | LedgerLost]:
        self.hub.settled += 1
        await self._on_the_way()
        answers = [self.hub.pages.settle(entry, self.hub.now) for entry in entries]
        await self._on_the_way()
        if self.hub.answers_lost:
            raise LedgerLost("the answer is lost")
        return answers

    async def time(self) -> float:
        await self._on_the_way()
        return self.hub.now

    async def recall(self, windows: Sequence[Window]) -> None:
        for member in self.hub.joined:
            for window in windows:
                if member is not self and not member.deaf:
                    member.recalled(window)

    async def close(self) -> None:
        if self in self.hub.joined:
            self.hub.joined.remove(self)

    async def _on_the_way(self) -> None:
        for _ in range(self.hub.delay):
            await asyncio.sleep(0)
        if self.hub.lost:
            raise LedgerLost(self.hub.lost)
