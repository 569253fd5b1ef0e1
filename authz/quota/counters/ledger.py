"""The seam between processes that share windows and the place where they share them: who has claimed how much.

A process does not ask for each unit. It *claims* units of a window in advance, spends them locally, and tells the
ledger its running totals whenever it asks again. So a window is a small table, owner to claim, and one rule keeps it
exact: the claims of all owners never exceed the limit when something is granted.

An owner's line is a running total and carries the owner's turn. So telling the same again is harmless, an answer that
was lost costs nothing (the next line says what was really received), a line that comes late is ignored, and a ledger
that lost its memory learns it again from its owners.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

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
