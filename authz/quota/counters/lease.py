"""Lease: what one process has of one window, and who waits for more of it. Pure: no clock, no I/O.

What a process has claimed of a window is in one of three places: spent, reserved for a request that waits for units
of another window, or in the balance, from which requests are answered at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from authz.model.quota import UNLIMITED
from authz.quota.counters.base import Charge, Spent
from authz.quota.counters.ledger import Entry, Line, Window, Wish


class Lease:
    """One window of one counter, as this process knows it.

    `owner` is the name under which it stands in the ledger; `told` is what the ledger believes that we hold. Of all
    other owners together `elsewhere` is claimed, `held_elsewhere` thereof not spent for all that is known.
    Below `low` a new advance is asked for; `since` and `spent_then` are when it was asked last, and what was spent.
    `heard` is when the ledger last told of it: what others have spent may be given back, so old news refuses nobody.
    Until `unheard`, holders that did not answer are not asked again. `share`: what may still be spent while the
    ledger is lost (None: not worked out yet).
    """

    __slots__ = (
        "balance", "elsewhere", "heard", "held_elsewhere", "low", "owner", "reserved", "share", "since", "spent",
        "spent_then", "told", "unheard",
    )  # fmt: skip

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.spent = self.balance = self.reserved = self.told = 0
        self.elsewhere = self.held_elsewhere = 0
        self.low = self.spent_then = 0
        self.since = self.heard = self.unheard = 0.0
        self.share: int | None = None

    @property
    def total(self) -> int:
        """What is used up of the window, as far as is known; units that others hold count as used."""
        return self.elsewhere + self.spent

    @property
    def held(self) -> int:
        """What is claimed and not spent."""
        return self.balance + self.reserved

    def covers(self, charge: Charge) -> bool:
        """Whether the charge can be taken here and now. The limit may have been lowered since the units came."""
        return self.balance >= charge.amount and self.elsewhere + self.spent + charge.amount <= charge.limit

    def refuses(self, charge: Charge) -> bool:
        """Whether, by what was last heard, so much is spent that the charge cannot be taken, whoever returns what."""
        return _counts(charge) and self.elsewhere - self.held_elsewhere + self.spent + charge.amount > charge.limit

    def lacks(self, charge: Charge) -> bool:
        """Whether, by what is known, the units of others would be needed."""
        return _counts(charge) and self.elsewhere + self.spent + self.held + charge.amount > charge.limit

    def line(self, window: Window, *, advance: int = 0, limit: int = UNLIMITED) -> Line:
        """What to tell the ledger."""
        return Line(window, self.owner, self.spent + self.held, self.held, advance, limit)


def _counts(charge: Charge) -> bool:
    return charge.amount > 0 and charge.limit != UNLIMITED


def take(charges: Sequence[Charge], leases: Sequence[Lease]) -> bool:
    """Take all charges from the leases' balances, or none."""
    for charge, lease in zip(charges, leases, strict=True):
        if charge.amount and charge.limit != UNLIMITED and not lease.covers(charge):
            return False
    for charge, lease in zip(charges, leases, strict=True):
        if charge.limit != UNLIMITED:
            lease.balance -= charge.amount
        lease.spent += charge.amount
    return True


def take_share(charges: Sequence[Charge], leases: Sequence[Lease], members: int) -> bool:
    """Take all charges or none, from what is held and from this process's share of what was left.

    What was left is divided by the processes; where that is less than one, each may take one.
    """
    for charge, lease in zip(charges, leases, strict=True):
        if lease.share is None:
            left = charge.limit - lease.total - lease.held
            lease.share = max(left // members, min(left, 1), 0)
        if _counts(charge) and lease.balance + lease.share < charge.amount:
            return False
    for charge, lease in zip(charges, leases, strict=True):
        if _counts(charge):
            held = min(lease.balance, charge.amount)
            lease.balance -= held
            lease.share = (lease.share or 0) - (charge.amount - held)
        lease.spent += charge.amount
    return True


def totals(leases: Sequence[Lease]) -> tuple[int, ...]:
    """Each lease's total."""
    return tuple([lease.elsewhere + lease.spent for lease in leases])


class Waiting:
    """A request that lacks units of some windows. What it needs of the others is reserved for it meanwhile.

    `since` is when it first found that others hold what it lacks.
    """

    __slots__ = ("charges", "future", "lacking", "leases", "since")

    def __init__(self, charges: Sequence[Charge], leases: Sequence[Lease], future: asyncio.Future[Spent]) -> None:
        self.charges = charges
        self.leases = leases
        self.future = future
        self.since = 0.0
        self.lacking: list[int] = []
        for index, (charge, lease) in enumerate(zip(charges, leases, strict=True)):
            if not _counts(charge):
                continue
            if lease.covers(charge):
                lease.balance -= charge.amount
                lease.reserved += charge.amount
            else:
                self.lacking.append(index)

    def admit(self) -> None:
        """It has what it lacked: everything is spent, and the caller is told."""
        for _, charge, lease in self._reserved():
            lease.reserved -= charge.amount
        for charge, lease in zip(self.charges, self.leases, strict=True):
            lease.spent += charge.amount
        self.future.set_result(Spent(True, totals(self.leases)))

    def deny(self) -> None:
        """Nothing is spent, and the caller is told."""
        self.give_back()
        if not self.future.done():
            self.future.set_result(Spent(False, totals(self.leases)))

    def give_back(self) -> None:
        """What was reserved goes back into the balances."""
        for _, charge, lease in self._reserved():
            lease.reserved -= charge.amount
            lease.balance += charge.amount

    def release(self, recalled: Container[Lease]) -> None:
        """What is reserved of these leases is given up: from now on it lacks that too, and wishes for all at once.

        Else two requests, each with what the other lacks, would wait for one another.
        """
        for index, charge, lease in self._reserved():
            if lease in recalled:
                lease.reserved -= charge.amount
                lease.balance += charge.amount
                self.lacking.append(index)

    def refused(self) -> bool:
        """Whether what it lacks is gone for good."""
        return any(self.leases[index].refuses(self.charges[index]) for index in self.lacking)

    def _reserved(self) -> list[tuple[int, Charge, Lease]]:
        """The charges, by place, for which units are kept back."""
        pairs = enumerate(zip(self.charges, self.leases, strict=True))
        return [(at, charge, lease) for at, (charge, lease) in pairs if _counts(charge) and at not in self.lacking]


@dataclass(slots=True)
class Account:
    """All that one subject's requests want of the ledger. There is one only while they want something.

    One step is under way at a time (`asking`, about the windows `asked`): a line must tell what the one before it
    brought.
    """

    subject: str
    waiting: list[Waiting] = field(default_factory=list)
    thirsty: dict[Lease, Charge] = field(default_factory=dict)
    recalled: dict[Lease, Window] = field(default_factory=dict)
    asked: dict[Lease, Window] = field(default_factory=dict)
    asking: bool = False
    pause: float = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing is wanted."""
        return not (self.asking or self.waiting or self.thirsty or self.recalled)


class Ask(NamedTuple):
    """An entry on its way: whose it is, the leases of its lines, and the requests behind each of its wishes."""

    account: Account
    entry: Entry
    leases: tuple[Lease, ...]
    wishing: tuple[list[Waiting], ...]


def wishes(waiting: Sequence[Waiting], leases: Sequence[Lease]) -> tuple[tuple[Wish, ...], tuple[list[Waiting], ...]]:
    """The requests that wait, in order, those that lack the same in a row taken together."""
    places = {lease: index for index, lease in enumerate(leases)}
    wanted: list[tuple[tuple[int, ...], list[Waiting]]] = []
    for one in waiting:
        amounts = [0] * len(leases)
        for index in one.lacking:
            amounts[places[one.leases[index]]] = one.charges[index].amount
        if wanted and wanted[-1][0] == tuple(amounts):
            wanted[-1][1].append(one)
        else:
            wanted.append((tuple(amounts), [one]))
    return tuple([Wish(len(group), amounts) for amounts, group in wanted]), tuple([group for _, group in wanted])
