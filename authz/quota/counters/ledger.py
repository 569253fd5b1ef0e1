"""The seam between processes that share windows and the place where they share them: who has claimed how much.

A process does not ask for each unit. It *claims* units of a window in advance, spends them locally, and tells the
ledger its running totals whenever it asks again. So a window is a small table, owner to claim, and one rule keeps it
exact: the claims of all owners never exceed the limit when something is granted.

An owner's line is a running total and carries the owner's turn. So telling the same again is harmless, an answer that
was lost costs nothing (the next line says what was really received), a line that comes late is ignored, and a ledger
that lost its memory learns it again from its owners.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from authz.model.quota import UNLIMITED

GRACE = 5
"""Seconds for which a window is still known after its end, so that a question that was on its way is answered."""

SHARE = 3
"""An advance is at most this part, one in SHARE, of what is left: so advances shrink as the window fills."""


class Window(NamedTuple):
    """One counter in one window: the key of its charge, and the bounds in Unix seconds."""

    key: tuple[str, ...]
    start: int
    end: int


class Line(NamedTuple):
    """What an owner tells of one window, and asks of it.

    `claim` is all that the owner has had of the window so far, `held` the part of it that is not spent yet.
    `advance` is the most that it would like beside what its wishes take; `limit` is the window's, -1 unlimited.
    """

    window: Window
    owner: str
    claim: int
    held: int
    advance: int
    limit: int


class Wish(NamedTuple):
    """So many requests of one kind that wait: each takes `amounts` (one per line of the entry, 0 for nothing)."""

    requests: int
    amounts: tuple[int, ...]


class Entry(NamedTuple):
    """One atomic step over the windows of one subject. `turn` grows with each entry of an owner."""

    turn: int
    lines: tuple[Line, ...]
    wishes: tuple[Wish, ...]


class Balance(NamedTuple):
    """A window after the step: the advance that was granted, and what all owners together have claimed and hold."""

    advance: int
    claimed: int
    held: int


class Settlement(NamedTuple):
    """What a step did: how many of each wish are admitted, the windows' balances, and the ledger's time.

    `late`: a window was over for good. Nothing was granted, and the balances say nothing.
    """

    admitted: tuple[int, ...]
    balances: tuple[Balance, ...]
    now: float
    late: bool = False


class LedgerLost(Exception):  # noqa: N818 - reads as what happened
    """The ledger did not answer in time, or not sensibly. Its message is a sentence for people."""


Recalled = Callable[[Window], None]


class Ledger(Protocol):
    """A place that processes share. It may be told the same twice, and asked about many subjects in one go."""

    @property
    def members(self) -> int:
        """How many processes share it, as last seen; at least 1."""
        ...

    @property
    def hears(self) -> bool:
        """Whether recalls of others reach this process. While they do not, nothing should be claimed in advance."""
        ...

    @property
    def memory(self) -> str:
        """What the ledger's memory is called, as `time` last found it: another name, and it may have forgotten all."""
        ...

    async def start(self, recalled: Recalled) -> None:
        """Connect, as far as that is possible now, and keep at it. `recalled` is called when others want units back."""
        ...

    async def settle(self, entries: Sequence[Entry]) -> Sequence[Settlement | LedgerLost]:
        """Make each entry's step, in order; all that is asked for at once travels together.

        Raises:
            LedgerLost: nothing could be asked.
        """
        ...

    async def time(self) -> float:
        """The ledger's clock, in Unix seconds.

        Raises:
            LedgerLost: it cannot be asked.
        """
        ...

    async def recall(self, windows: Sequence[Window]) -> None:
        """Ask whoever holds units of these windows to give them back. Nobody need answer, and errors are silent."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


Page = tuple[Any, ...]
"""A window's owners behind one another, each with claim, held and turn: one flat tuple, which the garbage collector
need not look at. A hundred thousand dictionaries would take it tens of milliseconds, over and over."""

_PARTS: Final = 16
"""A window's pages are kept in so many dictionaries: one of a hundred thousand takes milliseconds when it grows."""


class Pages:
    """The ledger's rule on dictionaries: what `lease.lua` does in Redis, for processes of one machine. Pure but for
    its own tables: no clock, no I/O.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[int, int, int], dict[tuple[str, ...], Page]] = {}
        self._over: list[dict[tuple[str, ...], Page]] = []
        self._soonest_end: float = math.inf

    def __len__(self) -> int:
        return sum(map(len, self._open.values())) + sum(map(len, self._over))

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
        if now >= self._soonest_end + GRACE:
            for part in [part for part in self._open if now >= part[1] + GRACE]:
                self._over.append(self._open.pop(part))
            self._soonest_end = min((end for _, end, _ in self._open), default=math.inf)
        while self._over and most > 0:
            pages = self._over[-1]
            for _ in range(min(most, len(pages))):
                pages.popitem()
                most -= 1
            if not pages:
                self._over.pop()

    def _tell(self, line: Line, turn: int) -> bool:
        """Take in what an owner says; False when it said something later already."""
        page = self._part(line.window).get(line.window.key, ())
        at = _place(page, line.owner)
        if turn <= (page[at + 3] if at < len(page) else 0):
            return False
        self._write(line, line.claim, line.held, turn)
        return True

    def _write(self, line: Line, claim: int, held: int, turn: int) -> None:
        part, key = self._part(line.window), line.window.key
        page = part.get(key, ())
        at = _place(page, line.owner)
        part[key] = (*page[:at], line.owner, claim, held, turn, *page[at + 4 :])

    def _part(self, window: Window) -> dict[tuple[str, ...], Page]:
        number = window.start, window.end, hash(window.key) % _PARTS
        if (part := self._open.get(number)) is None:
            part = self._open[number] = {}
            self._soonest_end = min(self._soonest_end, window.end)
        return part

    def _balance(self, line: Line, advance: int) -> Balance:
        page = self._part(line.window).get(line.window.key, ())
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
