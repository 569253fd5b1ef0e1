"""One worker: a process that answers Check and RateLimit as its leader tells it (`python -m authz.sidecar.worker FD`).

It follows nothing by itself but the store's keys, on demand. Its leader's end is its own: without anybody who tells
it of new rules and revoked keys it must not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from typing import Final

from authz.errors import AuthzError
from authz.sidecar import loop
from authz.sidecar.orders import Begin, Channel, Counted, Failed, Forget, Order, Report, Serving, Stop, Take, Taken
from authz.sidecar.process import Sidecar, counters_of
from authz.store.sql import open_store
from authz.telemetry import Tally
from authz.transport.base import Transport

_COUNT_SECONDS: Final = 1.0
_LAST_SECONDS: Final = 2.0
"""After its leader's end, what is still under way has this long before the process just ends."""


class Worker:
    """Carries out one leader's orders."""

    def __init__(self, begin: Begin, channel: Channel, sidecar: Sidecar, tally: Tally) -> None:
        self._address = begin.address
        self._channel = channel
        self._sidecar = sidecar
        self._tally = tally
        self._books: asyncio.Queue[Take] = asyncio.Queue()
        self._transport: Transport | None = None

    async def work(self) -> None:
        """Serve from the first book on, until the leader says stop, or says nothing any more.

        Raises:
            StateError: the address cannot be bound.
        """
        # Keys are forgotten while a book's key sets are being fetched: a revocation must not wait for them.
        obeying = asyncio.create_task(self._obey())
        others: list[asyncio.Task[None]] = [asyncio.create_task(self._take_books()), asyncio.create_task(self._count())]
        try:
            await asyncio.wait([obeying, *others], return_when=asyncio.FIRST_COMPLETED)
            for other in others:
                if other.done():
                    other.result()
            await self._stop(await obeying)
        finally:
            for task in (obeying, *others):
                task.cancel()
            await asyncio.gather(obeying, *others, return_exceptions=True)

    async def _obey(self) -> float:
        """Carry out orders; how long what is under way may take at the end."""
        while (order := await self._channel.receive()) is not None:
            if isinstance(order, Stop):
                return order.grace
            self._carry_out(order)
        asyncio.get_running_loop().call_later(_LAST_SECONDS, os._exit, 1)
        return 0.0

    def _carry_out(self, order: Order | Report) -> None:
        match order:
            case Take():
                self._books.put_nowait(order)
            case Forget(None):
                self._sidecar.keys.clear()
            case Forget(digests):
                self._sidecar.keys.forget(digests or ())

    async def _take_books(self) -> None:
        while True:
            order = await self._books.get()
            await self._sidecar.take(order.book)
            if self._transport is None:
                self._transport = await self._sidecar.serve(self._address)
                self._channel.send(Serving(self._transport.address))
            self._channel.send(Taken(order.turn))

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(_COUNT_SECONDS)
            self._tell_totals()

    def _tell_totals(self) -> None:
        if totals := self._tally.take():
            self._channel.send(Counted(totals))

    async def _stop(self, grace: float) -> None:
        if self._transport is not None:
            await self._transport.stop(grace)
        self._tell_totals()


async def _work(end: socket.socket) -> int:
    channel = await Channel.over(end)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(channel.close)
        begin = await channel.receive()
        if not isinstance(begin, Begin):
            return 1
        loop.write_log(begin.settings, f"worker {begin.number}")
        try:
            await (await _made(begin, channel, stack)).work()
        except AuthzError as error:
            channel.send(Failed(error))
            return error.exit_code
    return 0


async def _made(begin: Begin, channel: Channel, stack: contextlib.AsyncExitStack) -> Worker:
    """A worker with all its parts, which the stack ends."""
    settings, tally = begin.settings, Tally()
    store = stack.enter_context(contextlib.closing(open_store(settings.data_dir)))
    counters = counters_of(settings, tally, begin.ledger)
    await counters.start()
    stack.push_async_callback(counters.close)
    sidecar = await stack.enter_async_context(Sidecar(settings, store, counters, tally).ready())
    return Worker(begin, channel, sidecar, tally)


def main() -> int:
    """Work for the leader at the other end of the socket whose descriptor is the first argument."""
    # A terminal and a service manager signal every process of ours; when to stop is the leader's to say.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    return loop.run(_work(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    sys.exit(main())
