"""Counters that processes share: exact like one counter, nearly as cheap as one of one's own.

A process claims units of a window ahead of time and answers from what it has; only when that runs low does it ask
the ledger (`counters.ledger`), in the background. Advances shrink as the window fills, so that the last units go one
by one. A request that finds nothing left while others hold units calls those back and waits for them: it is refused
only when the units are spent, or when their holder does not answer, because it is dead or cut off.

What one process can lose when it is killed is what it held of each window: at most AHEAD requests' worth or what it
spends in HORIZON seconds, whichever is more, and never more than a third of what was left.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import uuid
from collections.abc import Awaitable, Sequence

from authz.model.quota import UNLIMITED
from authz.quota.clock import Clock
from authz.quota.counters.base import Charge, CountersLost, Spent
from authz.quota.counters.contact import Contact
from authz.quota.counters.lease import Account, Ask, Lease, Waiting, take, take_share, totals, wishes
from authz.quota.counters.ledger import Entry, Ledger, LedgerLost, Settlement, Window
from authz.quota.counters.windows import MOST_ANONYMOUS, Windows
from authz.telemetry import Tally

AHEAD = 128
"""How many requests' worth is claimed ahead at least. 1,000 units then take about 17 steps of one process, and of
eight whose demand ends just when the units do, about 48."""

HORIZON = 0.5
"""For how many seconds ahead a busy process claims, at the pace of its last advance."""

PATIENCE = 0.1
"""How many seconds a request waits for units that others hold. Handing them back takes a few milliseconds."""

NEWS = 0.5
"""For how many seconds the ledger's word that a window is used up is not asked for again."""

UNHEARD = 0.5
"""For how many seconds a holder that did not answer is not asked again."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.032
_GOODBYE = 1.0
"""Seconds for giving everything back at the end."""


class LeasedCounters:
    """Counts on a ledger, within one event loop.

    While the ledger is lost, what is held is still spent. Beyond that, `share` decides: with it, each process admits
    its part of what was left (the limit divided by the processes last seen); without, `CountersLost` is raised.
    """

    def __init__(self, ledger: Ledger, tally: Tally, *, share: bool = False) -> None:
        self._ledger = ledger
        self._shares = share
        self._name = uuid.uuid4().hex[:12]
        self._names = itertools.count(1)
        self._windows: Windows[Lease] = Windows()
        self._accounts: dict[str, Account] = {}
        self._due: list[Account] = []
        self._contact = Contact(ledger, tally, self._windows.items, self._is_asking)
        self._tasks: set[asyncio.Future[None]] = set()
        self.clock: Clock = self._contact.clock

    async def start(self) -> None:
        """Find the ledger, and its time; where it is away, go on looking for it."""
        await self._ledger.start(self._recalled)
        try:
            await self._contact.look()
        except LedgerLost as lost:
            self._contact.lose(lost)
        self._begin(self._contact.keep())

    async def close(self) -> None:
        """Give back what is not spent and let go of the ledger."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiting in [waiting for account in self._accounts.values() for waiting in account.waiting]:
            waiting.give_back()
            waiting.future.cancel()
        # A step that is under way may be made, though nobody hears of it any more.
        under_way = {lease: window for account in self._accounts.values() for lease, window in account.asked.items()}
        self._accounts.clear()
        held = {lease: window for window, lease in self._windows.items() if lease.held or lease.told} | under_way
        for lease in held:
            lease.balance = lease.reserved = 0
        with contextlib.suppress(LedgerLost, TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await self._contact.tell([(window, lease) for lease, window in held.items()])
        await self._ledger.close()

    def held(self) -> int:
        """How many counters take up memory."""
        return len(self._windows)

    @property
    def lost(self) -> str:
        """Why the ledger cannot be asked; empty while it can."""
        return self._contact.lost

    @property
    def is_busy(self) -> bool:
        """Whether anything is being asked of the ledger."""
        return bool(self._accounts)

    # -- a request --------------------------------------------------------------------------------------------

    def spend(self, charges: Sequence[Charge], now: float) -> Spent | asyncio.Future[Spent]:
        """Take all charges or none, at once where units are at hand. All charges must have one subject, `key[-1]`.

        Raises:
            CountersLost: units would have to be asked for, and the ledger is lost.
        """
        self._windows.turn(now)
        leases = [self._windows.find(charge) or self._lease(charge) for charge in charges]
        if take(charges, leases):
            for charge, lease in zip(charges, leases, strict=True):
                if lease.balance < lease.low or _is_untold(charge, lease):
                    self._refill(charge, lease)
            return Spent(True, totals(leases))
        for charge, lease in zip(charges, leases, strict=True):
            if self._is_refused(charge, lease):
                return Spent(False, totals(leases))
        if self._contact.lost:
            return self._without(charges, leases)
        return self._wait(charges, leases)

    def _lease(self, charge: Charge) -> Lease:
        lease = Lease(self._name)
        if charge.anonymous and (charge.limit == UNLIMITED or len(self._windows) >= MOST_ANONYMOUS):
            # It is not kept, since it is worth no memory or there is none; and there is nothing to ask about it.
            lease.elsewhere, lease.heard = max(0, charge.limit), math.inf
            return lease
        if charge.end <= self._windows.latest_over:
            # What stood under the old name is forgotten here, and must not be taken back by its first line.
            lease.owner = f"{self._name}.{next(self._names)}"
        self._windows.keep(charge, lease)
        return lease

    def _is_refused(self, charge: Charge, lease: Lease) -> bool:
        """Whether the ledger need not be asked: the answer is known. Old news is asked about, by one request."""
        if lease.refuses(charge):
            now = self._contact.monotonic()
            if charge.amount > charge.limit or self._contact.lost or now - lease.heard < NEWS:
                return True
            lease.heard = now
            return False
        return bool(lease.unheard) and self._contact.monotonic() < lease.unheard and lease.lacks(charge)

    def _wait(self, charges: Sequence[Charge], leases: Sequence[Lease]) -> asyncio.Future[Spent]:
        waiting = Waiting(charges, leases, asyncio.get_running_loop().create_future())
        account = self._account(charges[0].key[-1])
        account.waiting.append(waiting)
        self._ask(account)
        return waiting.future

    def _refill(self, charge: Charge, lease: Lease) -> None:
        lease.low = 0  # until it has come
        if not self._contact.lost:
            account = self._account(charge.key[-1])
            account.thirsty[lease] = charge
            self._ask(account)

    def _account(self, subject: str) -> Account:
        if (account := self._accounts.get(subject)) is None:
            account = self._accounts[subject] = Account(subject)
        return account

    # -- asking the ledger ------------------------------------------------------------------------------------

    def _ask(self, account: Account) -> None:
        """Have the account's wishes sent with everybody else's of this turn of the loop."""
        if account.asking or account.idle:
            return
        account.asking = True
        if not self._due:
            asyncio.get_running_loop().call_soon(self._send)
        self._due.append(account)

    def _send(self) -> None:
        due, self._due = self._due, []
        self._begin(self._settle([self._compose(account) for account in due]))

    def _compose(self, account: Account) -> Ask:
        account.waiting = [waiting for waiting in account.waiting if _is_wanted(waiting)]
        for waiting in account.waiting if account.recalled else ():
            waiting.release(account.recalled)
        wanted = dict(account.thirsty)
        wanted.update((one.leases[index], one.charges[index]) for one in account.waiting for index in one.lacking)
        lacking = {one.leases[index] for one in account.waiting for index in one.lacking}
        # What is called back, or is less than a request needs, leaves the balance before the ledger is told of it.
        for lease in lacking.union(account.recalled):
            lease.balance = lease.low = 0
        lines = {lease: lease.line(window) for lease, window in account.recalled.items() if lease not in wanted} | {
            lease: lease.line(_window(charge), advance=self._advance(account, charge, lease), limit=charge.limit)
            for lease, charge in wanted.items()
        }
        account.thirsty, account.recalled = {}, {}
        leases = tuple(lines)
        wished, wishing = wishes(account.waiting, leases)
        account.asked = {lease: line.window for lease, line in lines.items()}
        return Ask(account, Entry(self._contact.turn(), tuple(lines.values()), wished), leases, wishing)

    def _advance(self, account: Account, charge: Charge, lease: Lease) -> int:
        """How much to claim beside what is needed now. Whoever cannot be called back must not."""
        now = self._contact.monotonic()
        pace = (lease.spent - lease.spent_then) / max(now - lease.since, 0.01) if lease.since else 0
        lease.since, lease.spent_then = now, lease.spent
        if lease in account.recalled or not self._ledger.hears or charge.limit == UNLIMITED:
            return 0
        return max(AHEAD * charge.amount, int(pace * HORIZON))

    async def _settle(self, asks: list[Ask]) -> None:
        answers = await self._contact.settle([ask.entry for ask in asks])
        recalled = []
        for ask, answer in zip(asks, answers, strict=True):
            if isinstance(answer, LedgerLost):
                self._abandon(ask, str(answer))
            elif answer.late:
                self._abandon(ask, "this process's clock was behind the ledger's")
            else:
                recalled += self._book(ask, answer)
            self._go_on(ask.account)
        if recalled:
            await self._contact.recall(recalled)

    def _go_on(self, account: Account) -> None:
        """The account's step is over: make the next, after a pause if requests wait for what others hold."""
        account.asking, account.asked = False, {}
        if account.idle:
            self._accounts.pop(account.subject, None)
        elif account.pause:
            asyncio.get_running_loop().call_later(account.pause, self._ask, account)
        else:
            self._ask(account)

    # -- what the ledger said ---------------------------------------------------------------------------------

    def _book(self, ask: Ask, settlement: Settlement) -> list[Window]:
        """Take in what a step brought; gives the windows whose units must be called back from others."""
        windows, now = {}, self._contact.monotonic()
        for index, (lease, line) in enumerate(zip(ask.leases, ask.entry.lines, strict=True)):
            advance, claimed, held = settlement.balances[index]
            counts = zip(settlement.admitted, ask.entry.wishes, strict=True)
            taken = sum(count * wish.amounts[index] for count, wish in counts)
            lease.elsewhere = claimed - line.claim - taken - advance
            lease.told = line.held + advance
            lease.held_elsewhere = held - lease.told
            lease.balance += advance
            lease.low = advance // 4
            lease.heard = now
            windows[lease] = line.window
        short = self._serve(ask, settlement.admitted)
        account = ask.account
        account.waiting = short + account.waiting[sum(map(len, ask.wishing)) :]
        account.pause = min(max(account.pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE) if short else 0.0
        if _FIRST_PAUSE < account.pause < _LONGEST_PAUSE:
            return []  # they have been called, and are on their way
        lacking = {waiting.leases[index] for waiting in short for index in waiting.lacking}
        return [windows[lease] for lease in lacking if lease.held_elsewhere]

    def _serve(self, ask: Ask, admitted: Sequence[int]) -> list[Waiting]:
        """Answer the requests behind the wishes; gives those that must wait on."""
        short = []
        for count, group in zip(admitted, ask.wishing, strict=True):
            for waiting in group[:count]:
                self._admit(ask.account, waiting)
            short += group[count:]
        return [waiting for waiting in short if not self._deny(waiting)]

    def _admit(self, account: Account, waiting: Waiting) -> None:
        if not waiting.future.done():
            waiting.admit()
            return
        # Its caller left while the step was under way: what it got is there for others, everywhere.
        waiting.give_back()
        for index in waiting.lacking:
            waiting.leases[index].balance += waiting.charges[index].amount
            account.recalled[waiting.leases[index]] = _window(waiting.charges[index])

    def _deny(self, waiting: Waiting) -> bool:
        """Refuse a request that got nothing, if its units are gone for good or do not come; says whether it was."""
        if not waiting.refused():
            now = self._contact.monotonic()
            waiting.since = waiting.since or now
            if now - waiting.since < PATIENCE:
                return False
            for index in waiting.lacking:
                waiting.leases[index].unheard = now + UNHEARD
        waiting.deny()
        return True

    def _recalled(self, window: Window) -> None:
        """Somebody else lacks units of this window."""
        lease = self._windows.find(window)
        if lease is not None and lease.told and not self._contact.lost:
            account = self._account(window.key[-1])
            account.recalled[lease] = window
            self._ask(account)

    def _is_asking(self, window: Window) -> bool:
        account = self._accounts.get(window.key[-1])
        return account is not None and account.asking

    # -- without the ledger -----------------------------------------------------------------------------------

    def _abandon(self, ask: Ask, why: str) -> None:
        """Answer all of an account's requests without the ledger. The next line says what was really received."""
        for lease, line in zip(ask.leases, ask.entry.lines, strict=True):
            self._contact.owe(lease, line.window)
        account = ask.account
        waiting, account.waiting = account.waiting, []
        account.thirsty, account.recalled, account.pause = {}, {}, 0.0
        for one in waiting:
            one.give_back()
            if one.future.done():
                continue
            try:
                one.future.set_result(self._without(one.charges, one.leases))
            except CountersLost:
                one.future.set_exception(CountersLost(why))

    def _without(self, charges: Sequence[Charge], leases: Sequence[Lease]) -> Spent:
        """Admit what fits into this process's share of what was left.

        Raises:
            CountersLost: shares are not wanted.
        """
        if not self._shares:
            raise CountersLost(self._contact.lost)
        admitted = take_share(charges, leases, self._ledger.members)
        for charge, lease in zip(charges, leases, strict=True):
            self._contact.owe(lease, _window(charge))
        return Spent(admitted, totals(leases))

    def _begin(self, job: Awaitable[None]) -> None:
        task = asyncio.ensure_future(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_untold(charge: Charge, lease: Lease) -> bool:
    """What is spent without a limit needs nobody's leave, but must be known when a limit comes."""
    return charge.limit == UNLIMITED and lease.spent >= lease.spent_then + AHEAD * charge.amount > 0


def _window(charge: Charge) -> Window:
    return Window(charge.key, charge.start, charge.end)


def _is_wanted(waiting: Waiting) -> bool:
    """Whether its caller is still there; if not, what was reserved for it is free again."""
    if waiting.future.done():
        waiting.give_back()
        return False
    return True
