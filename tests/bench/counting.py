"""A Redis server for the points that count there."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.load import Processes
from bench.machine import NotMeasured
from harness.waiting import until


@dataclass(frozen=True, slots=True)
class Counted:
    """A server: what a sidecar is told so that it counts there, and whose CPU that costs."""

    settings: Mapping[str, object]
    processes: Processes
    _server: Any

    def must_have_counted(self) -> None:
        """Whoever was asked by now has left something there; else the figures would be those of memory.

        Raises:
            NotMeasured: there is nothing.
        """
        try:
            asyncio.run(until(lambda: self._server.say("DBSIZE"), within=2))
        except AssertionError as error:
            raise NotMeasured("a sidecar that should count in Redis has left nothing there") from error


@contextlib.contextmanager
def redis() -> Iterator[Counted | None]:
    """A server of its own until left; None where none is installed."""
    if not _binaries():
        yield None
        return
    from harness.redis_server import Server

    server = Server(_binaries()[0])
    try:
        asyncio.run(server.start())
        yield Counted({"quota_counters": server.url}, {"Redis": [server._process.pid]}, server)
    finally:
        server.end()


def note() -> str:
    """Which server it is, or why there are no such points."""
    if found := _binaries():
        return f"Redis is {found[0].name} on TCP."
    return "Quotas on Redis were left out: the extra `test` brings no server for this machine."


@functools.cache
def _binaries() -> tuple[Any, ...]:
    try:
        from harness.redis_server import BINARIES
    except AssertionError:
        return ()
    return BINARIES
