"""What a leader tells its workers and what they tell it, and the channel between them.

The channel is a pair of connected sockets that a leader makes before it starts a worker: it has no name, and nobody
else can hold an end of it. That is why pickle may travel on it, and why its end means the other's death.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
from dataclasses import dataclass

from authz.errors import AuthzError
from authz.rulebook.book import Rulebook
from authz.settings import Settings
from authz.telemetry import Totals

_LENGTH = 8
_LARGE = 2**16
"""Bytes of a message that is worth a thread: a book of a thousand operations takes milliseconds to read."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The first order: who the worker is, where it shall listen, and where the ledger of the machine is, if any."""

    number: int
    address: str
    ledger: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Take:
    """Answer by this book from now on, and say so."""

    turn: int
    book: Rulebook


@dataclass(frozen=True, slots=True)
class Forget:
    """Ask the store again for these keys; for all of them if None."""

    digests: frozenset[bytes] | None


@dataclass(frozen=True, slots=True)
class Stop:
    """Let what is under way end, for at most so many seconds, and end."""

    grace: float


@dataclass(frozen=True, slots=True)
class Taken:
    """The book of this turn is what the worker answers by."""

    turn: int


@dataclass(frozen=True, slots=True)
class Serving:
    """The worker listens here."""

    address: str


@dataclass(frozen=True, slots=True)
class Counted:
    """What the worker has counted since it last said so."""

    totals: Totals


@dataclass(frozen=True, slots=True)
class Failed:
    """Why the worker ends before its time."""

    error: AuthzError


Order = Begin | Take | Forget | Stop
Report = Taken | Serving | Counted | Failed


class Channel:
    """One end of the pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """A channel over a socket, which it owns from now on."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, message: Order | Report) -> None:
        """Say something; nobody waits until it is heard."""
        self.send_packed(packed(message))

    def send_packed(self, data: bytes) -> None:
        """Say what was packed once for many."""
        if not self._writer.is_closing():
            self._writer.write(len(data).to_bytes(_LENGTH, "big") + data)

    async def receive(self) -> Order | Report | None:
        """The next message; None when the other end is closed."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH), "big")
            data = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            return None
        return _read(data) if length < _LARGE else await asyncio.to_thread(_read, data)

    async def close(self) -> None:
        """Close this end when all that was said is on its way."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return


def packed(message: Order | Report) -> bytes:
    """A message as bytes."""
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def _read(data: bytes) -> Order | Report:
    message: Order | Report = pickle.loads(data)  # noqa: S301 - the other end is our own parent or child
    return message
