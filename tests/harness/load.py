"""Constant load on connections that stay open: every answer is kept, and so is every connection that broke."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from harness.http import read_message

Answer = TypeVar("Answer")


async def crowd(calls: Iterable[Awaitable[Answer]], *, at_once: int = 40) -> list[Answer]:
    """What many calls come to. Not all at once: one process makes them, judges them and answers them."""
    places = asyncio.Semaphore(at_once)

    async def one(call: Awaitable[Answer]) -> Answer:
        async with places:
            return await call

    return await asyncio.gather(*map(one, calls))


@dataclass
class Load:
    """What became of the requests so far, by name of the request: a status, or `broken`."""

    counts: defaultdict[str, Counter[int | str]] = field(default_factory=lambda: defaultdict(Counter))

    def done(self, name: str) -> int:
        return sum(self.counts[name].values())

    def outcomes(self, name: str) -> set[int | str]:
        return set(self.counts[name])


@contextlib.asynccontextmanager
async def load(
    port: int, requests: dict[str, tuple[str, str, Sequence[tuple[str, str]]]], *, host: str, pause: float = 0.005
) -> AsyncIterator[Load]:
    """Send each request (method, path, headers), over and over, on a connection of its own, until left.

    A broken connection is made again after a moment, so that the load goes on while whatever listens restarts.
    """
    told = Load()
    stopping = asyncio.Event()

    async def repeat(name: str, message: bytes) -> None:
        counts = told.counts
        while not stopping.is_set():
            try:
                await _talk(port, message, lambda status: counts[name].update([status]), stopping, pause)
            except (OSError, asyncio.IncompleteReadError):
                counts[name]["broken"] += 1
                await asyncio.sleep(0.02)

    workers = []
    for name, (method, path, headers) in requests.items():
        lines = [f"{method} {path} HTTP/1.1", f"host: {host}", *(f"{k}: {v}" for k, v in headers)]
        workers.append(asyncio.create_task(repeat(name, "\r\n".join([*lines, "", ""]).encode())))
    try:
        yield told
    finally:
        stopping.set()
        await asyncio.gather(*workers)


async def _talk(port: int, message: bytes, tell: Callable[[int], None], stopping: asyncio.Event, pause: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while not stopping.is_set():
            writer.write(message)
            async with asyncio.timeout(15):
                start, headers, _ = await read_message(reader)
            tell(int(start.split()[1]))
            if ("connection", "close") in headers:
                return
            await asyncio.sleep(pause)
    finally:
        writer.close()
