"""Contact with a ledger: whether it answers, its time, and what it must be told again when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Iterable, Sequence

from authz.quota.clock import LedgerClock
from authz.quota.counters.lease import Lease
from authz.quota.counters.ledger import Entry, Ledger, LedgerLost, Settlement, Window
from authz.telemetry import Tally

log = logging.getLogger(__name__)

EVENTS = "ledger"
"""The tally's name; label `event` is settled (a batch of steps was sent), recalled, lost or back."""

Held = tuple[Window, Lease]

_KEPT_IN_TOUCH = 2.0
_FIRST_PROBE, _LONGEST_PROBE = 0.05, 1.0
_TOLD_AT_ONCE = 200
_MANY = 10_000


class Contact:
    """Everything that is said to one ledger passes here.

    `everything` gives all leases; `is_asking` says that a step about a window is under way, whose outcome is not
    known yet: what is known would contradict it.
    """

    def __init__(
        self,
        ledger: Ledger,
        tally: Tally,
        everything: Callable[[], Iterable[Held]],
        is_asking: Callable[[Window], bool],
    ) -> None:
        self.clock = LedgerClock()
        self.lost = ""
        """Why the ledger cannot be asked; empty while it can."""
        self._ledger = ledger
        self._tally = tally
        self._everything = everything
        self._is_asking = is_asking
        self._turns = itertools.count(1)
        self._unsettled: dict[Lease, Window] = {}
        self._many = _MANY
        self._memory = ""
        self._wake = asyncio.Event()

    def monotonic(self) -> float:
        """Seconds since some moment, for ages and pauses."""
        return self.clock.monotonic()

    def turn(self) -> int:
        """The next entry's turn."""
        return next(self._turns)

    async def settle(self, entries: Sequence[Entry]) -> Sequence[Settlement | LedgerLost]:
        """Make steps, in one round trip. Never raises: what fails is lost, and looked for from now on."""
        sent = self.clock.monotonic()
        self._tally.add(EVENTS, event="settled")
        try:
            answers = await self._ledger.settle(entries)
        except LedgerLost as lost:
            answers = [lost] * len(entries)
        except Exception as error:
            log.exception("the ledger failed")
            answers = [LedgerLost(f"it failed: {error!r}")] * len(entries)
        for answer in answers:
            if isinstance(answer, LedgerLost):
                self.lose(answer)
            else:
                self.clock.follow(answer.now, sent)
        return answers

    async def recall(self, windows: Sequence[Window]) -> None:
        """Call units back from whoever holds them."""
        self._tally.add(EVENTS, event="recalled")
        await self._ledger.recall(windows)

    def lose(self, lost: LedgerLost) -> None:
        """The ledger did not do what it was asked for."""
        if not self.lost:
            self.lost = str(lost)
            self._tally.add(EVENTS, event="lost")
            log.error("Quotas are not shared for now, and quota_when_down decides: %s (see quota_counters)", lost)
            self._wake.set()

    def owe(self, lease: Lease, window: Window) -> None:
        """What the ledger knows of this lease is wrong; tell it when it is back."""
        self._unsettled[lease] = window
        if len(self._unsettled) > self._many:  # an outage outlasts windows: what is over need not be told
            now = self.clock()
            self._unsettled = {lease: window for lease, window in self._unsettled.items() if window.end > now}
            self._many = max(_MANY, 2 * len(self._unsettled))

    async def keep(self) -> None:
        """Follow the ledger's time; once it is lost, look for it, and tell it what it missed when it is back."""
        pause = _KEPT_IN_TOUCH
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            try:
                await self.look()
                pause = _KEPT_IN_TOUCH
            except Exception as error:  # noqa: BLE001 - nobody else would look for it
                self.lose(error if isinstance(error, LedgerLost) else LedgerLost(f"it failed: {error!r}"))
                pause = _FIRST_PROBE if pause == _KEPT_IN_TOUCH else min(pause * 2, _LONGEST_PROBE)
            self._wake.clear()

    async def look(self) -> None:
        """Ask the ledger its time, and if it was lost, whether steps are made again.

        Raises:
            LedgerLost: it cannot be asked.
        """
        sent = self.clock.monotonic()
        self.clock.follow(await self._ledger.time(), sent)
        memory, self._memory = self._memory, self._ledger.memory
        if not self.lost:
            if memory and memory != self._memory:
                log.warning("The ledger has lost its memory; it is told again what was spent.")
                await self._remind()
            return
        unsettled, self._unsettled = self._unsettled, {}
        try:
            await self.tell([(window, lease) for lease, window in unsettled.items()])
        except LedgerLost:
            now = self.clock()
            self._unsettled |= {lease: window for lease, window in unsettled.items() if window.end > now}
            raise
        for lease in unsettled:
            lease.share = None
        self.lost = ""
        self._tally.add(EVENTS, event="back")
        log.warning("Quotas are shared again.")
        # It may have lost its memory, and learns again what was spent. Nobody waits for that.
        await self._remind()

    async def _remind(self) -> None:
        """Tell all that there is to tell.

        Raises:
            LedgerLost: not all could be told.
        """
        await self.tell([(window, lease) for window, lease in self._everything() if lease.spent or lease.told])

    async def tell(self, held: Sequence[Held]) -> None:
        """Tell running totals, without wishes.

        Raises:
            LedgerLost: not all could be told.
        """
        for start in range(0, len(held), _TOLD_AT_ONCE):
            chunk = [one for one in held[start : start + _TOLD_AT_ONCE] if not self._is_asking(one[0])]
            entries = [Entry(self.turn(), (lease.line(window),), ()) for window, lease in chunk]
            for (_, lease), entry in zip(chunk, entries, strict=True):
                lease.told = entry.lines[0].held
            for answer in await self._ledger.settle(entries) if entries else ():
                if isinstance(answer, LedgerLost):
                    raise answer
