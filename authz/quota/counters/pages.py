"""The ledger's rule in Python: what a step does to the windows that processes share."""

from __future__ import annotations

from typing import Any

from authz.model.quota import UNLIMITED
from authz.quota.counters.ledger import GRACE, SHARE, Balance, Entry, Line, Settlement, Wish
from authz.quota.counters.windows import Windows

Page = tuple[Any, ...]
"""A window's owners behind one another, each with claim, held and turn: one flat tuple, which the garbage collector
need not look at. A hundred thousand dictionaries would take it tens of milliseconds, over and over."""


class Pages:
    """The ledger's rule on dictionaries: what `lease.lua` does in Redis, for processes of one machine. Pure but for
    its own tables: no clock, no I/O.
    """

    def __init__(self) -> None:
        self._pages: Windows[Page] = Windows()

    def __len__(self) -> int:
        return len(self._pages)

    def settle(self, entry: Entry, now: float) -> Settlement:
        """Make one step."""
        if any(now >= line.window.end + GRACE for line in entry.lines):
            nothing = Balance(0, 0, 0)
            return Settlement((0,) * len(entry.wishes), (nothing,) * len(entry.lines), now, late=True)
        news = [self._tell(line, entry.turn) for line in entry.lines]
        if not all(news):
            balances = [self._balance(line, 0) for line in entry.lines]
            return Settlement((0,) * len(entry.wishes), tuple(balances), now)
        free = [self._free(line) for line in entry.lines]
        admitted = tuple([_admit(wish, free) for wish in entry.wishes])
        balances = []
        for index, (line, left) in enumerate(zip(entry.lines, free, strict=True)):
            taken = sum(count * wish.amounts[index] for count, wish in zip(admitted, entry.wishes, strict=True))
            advance = max(0, min(line.advance, left // SHARE))
            self._write(line, line.claim + taken + advance, line.held + advance, entry.turn)
            balances.append(self._balance(line, advance))
        return Settlement(admitted, tuple(balances), now)

    def free(self, now: float, most: int) -> None:
        """Forget at most so many windows that are over for good."""
        self._pages.turn(now - GRACE, most)

    def _tell(self, line: Line, turn: int) -> bool:
        """Take in what an owner says; False when it said something later already."""
        page = self._pages.find(line.window) or ()
        at = _place(page, line.owner)
        if turn <= (page[at + 3] if at < len(page) else 0):
            return False
        self._write(line, line.claim, line.held, turn)
        return True

    def _write(self, line: Line, claim: int, held: int, turn: int) -> None:
        page = self._pages.find(line.window) or ()
        at = _place(page, line.owner)
        self._pages.keep(line.window, (*page[:at], line.owner, claim, held, turn, *page[at + 4 :]))

    def _balance(self, line: Line, advance: int) -> Balance:
        page = self._pages.find(line.window) or ()
        return Balance(advance, sum(page[1::4]), sum(page[2::4]))

    def _free(self, line: Line) -> int:
        if line.limit == UNLIMITED:
            return _ENDLESS
        return max(0, line.limit - self._balance(line, 0).claimed)


def _place(page: Page, owner: str) -> int:
    """Where an owner stands in a page, or would."""
    for at in range(0, len(page), 4):
        if page[at] == owner:
            return at
    return len(page)


def _admit(wish: Wish, free: list[int]) -> int:
    """How many of the wish fit, each as a whole; takes them out of what is free."""
    fits = [left // amount for left, amount in zip(free, wish.amounts, strict=True) if amount]
    count = min([wish.requests, *fits])
    for index, amount in enumerate(wish.amounts):
        free[index] -= count * amount
    return count


_ENDLESS = 2**53
"""What is free of an unlimited window: the largest range in which Lua's numbers are exact."""
