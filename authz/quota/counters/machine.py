"""The ledger of one machine: one process keeps its pages, and all processes ask that one over a private Unix socket.

A message is a JSON array on a line: its kind, and what belongs to it. Whoever asks gives the question a number, and
the answer carries it. Recalls and the number of members come unasked. Both ends are this program; a peer that says
something else is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from authz.quota.clock import Clock, SteadyClock
from authz.quota.counters.ledger import Balance, Entry, LedgerLost, Line, Recalled, Settlement, Window, Wish
from authz.quota.counters.pages import Pages

log = logging.getLogger(__name__)

TIMEOUT: Final = 0.25
"""Seconds within which an answer comes or the ledger is lost."""

_LONGEST_LINE: Final = 2**24
_MOST_UNREAD: Final = 2**22
"""Bytes that may wait for a member to read them: then it is stuck, and its claims stay where they are."""

_FREED_PER_ENTRY: Final = 16
FREED_PER_TICK: Final = 256
"""Windows that are over: each takes about a microsecond to forget, so nobody waits for it."""
_TICK: Final = 0.05
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.5


class LedgerHost:
    """Keeps the pages, for whoever may open the socket at `path`: this user's processes."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or SteadyClock()
        self._pages = Pages()
        self._members: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._freeing: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many windows take up memory."""
        return len(self._pages)

    async def start(self) -> None:
        """Listen."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        # Nobody can connect before it listens, so it is private from its first moment.
        self._path.chmod(0o600)
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=_LONGEST_LINE)
        self._freeing = asyncio.create_task(self._free())

    async def close(self) -> None:
        """Cut everybody off; the pages are forgotten. Does nothing if not started."""
        if self._server is None or self._freeing is None:
            return
        self._freeing.cancel()
        await asyncio.gather(self._freeing, return_exceptions=True)
        self._server.close()
        for member in tuple(self._members):
            member.close()
        # asyncio itself waits for its servers' connections from Python 3.12 on.
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()
        self._path.unlink(missing_ok=True)
        self._server = None

    async def _free(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self._pages.free(self._clock(), FREED_PER_TICK)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._members.add(writer)
        self._tell_members()
        try:
            while line := await reader.readline():
                self._hear(json.loads(line), writer)
        except (ValueError, TypeError, LookupError) as error:
            log.error("a member of the machine's ledger is cut off: %r", error)  # noqa: TRY400 - it says enough
        except OSError:
            pass
        finally:
            self._members.discard(writer)
            writer.close()
            self._tell_members()

    def _hear(self, message: list[Any], writer: asyncio.StreamWriter) -> None:
        match message:
            case ["settle", number, entries]:
                now = self._clock()
                settled = [self._pages.settle(_entry(one), now) for one in entries]
                self._pages.free(now, _FREED_PER_ENTRY * len(entries))
                _say(writer, "answer", number, settled)
            case ["time", number]:
                _say(writer, "answer", number, self._clock())
            case ["recall", windows]:
                for member in self._members - {writer}:
                    _say(member, "recall", windows)
            case _:
                raise ValueError(f"it said {message!r:.80}")

    def _tell_members(self) -> None:
        for member in self._members:
            _say(member, "members", len(self._members))


class MachineLedger:
    """A `Ledger` whose pages another process (or this one) keeps at `path`. It connects again by itself."""

    def __init__(self, path: Path, timeout: float = TIMEOUT) -> None:
        self._path = path
        self._timeout = timeout
        self._members = 1
        self._recalled: Recalled = lambda _: None
        self._writer: asyncio.StreamWriter | None = None
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._keeping: asyncio.Task[None] | None = None

    @property
    def members(self) -> int:
        """How many processes share it, as last seen."""
        return self._members

    @property
    def memory(self) -> str:
        """One host has one memory: whoever outlives it ends."""
        return "pages"

    @property
    def hears(self) -> bool:
        """Recalls come over the connection that questions go over."""
        return self._writer is not None

    async def start(self, recalled: Recalled) -> None:
        """Connect, as far as that is possible now, and keep at it."""
        self._recalled = recalled
        tried = asyncio.Event()
        self._keeping = asyncio.create_task(self._keep_connected(tried))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                await tried.wait()

    async def settle(self, entries: Sequence[Entry]) -> Sequence[Settlement | LedgerLost]:
        """Make each entry's step, in order; all in one message.

        Raises:
            LedgerLost: it could not be asked, or did not answer in time.
        """
        return [_settlement(one) for one in await self._ask("settle", entries)]

    async def time(self) -> float:
        """The host's clock.

        Raises:
            LedgerLost: it cannot be asked.
        """
        return float(await self._ask("time"))

    async def recall(self, windows: Sequence[Window]) -> None:
        """Ask the other members for what they hold of these."""
        if self._writer is not None:
            _say(self._writer, "recall", windows)

    async def close(self) -> None:
        """Disconnect."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def _ask(self, kind: str, *words: object) -> Any:
        if self._writer is None:
            raise LedgerLost(f"nobody keeps the machine's ledger at {self._path}")
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        _say(self._writer, kind, number, *words)
        try:
            async with asyncio.timeout(self._timeout):
                return await answer
        except TimeoutError:
            raise LedgerLost(f"the machine's ledger did not answer within {self._timeout:g} s") from None
        finally:
            del self._asked[number]

    async def _keep_connected(self, tried: asyncio.Event) -> None:
        pause = _FIRST_PAUSE
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(str(self._path), limit=_LONGEST_LINE)
                self._writer, pause = writer, _FIRST_PAUSE
                await self._listen(reader, writer, tried)
            tried.set()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greeted: asyncio.Event) -> None:
        try:
            while line := await reader.readline():
                self._hear(json.loads(line))
                greeted.set()  # the first that comes is the number of members
        except (ValueError, TypeError, LookupError) as error:
            log.error("the machine's ledger makes no sense: %r", error)  # noqa: TRY400 - it says enough
        finally:
            self._writer = None
            writer.close()
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(LedgerLost("the machine's ledger ended the connection"))

    def _hear(self, message: list[Any]) -> None:
        match message:
            case ["answer", number, answer]:
                if (asked := self._asked.get(number)) is not None and not asked.done():
                    asked.set_result(answer)
            case ["recall", windows]:
                for window in windows:
                    self._recalled(_window(window))
            case ["members", int(members)]:
                self._members = max(1, members)
            case _:
                raise ValueError(f"it said {message!r:.80}")


def _say(writer: asyncio.StreamWriter, *message: object) -> None:
    if writer.transport.get_write_buffer_size() > _MOST_UNREAD:
        writer.transport.abort()
    elif not writer.is_closing():
        writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")


def _window(said: list[Any]) -> Window:
    (*names, subject), start, end = said
    # Every window of a limit has the same names; only its subject is its own.
    return Window((*map(sys.intern, names), subject), start, end)


def _entry(said: list[Any]) -> Entry:
    turn, lines, wishes = said
    return Entry(
        turn,
        tuple([Line(_window(window), *rest) for window, *rest in lines]),
        tuple([Wish(requests, tuple(amounts)) for requests, amounts in wishes]),
    )


def _settlement(said: list[Any]) -> Settlement:
    admitted, balances, now, late = said
    return Settlement(tuple(admitted), tuple([Balance(*balance) for balance in balances]), now, late)
