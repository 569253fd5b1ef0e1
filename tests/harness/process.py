"""The command `authz` as a process of its own, read event by event; and the Envoy that somebody runs beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from authz import proxy
from authz.settings import Settings

PATIENCE = 30.0


class Command:
    """One running `authz …`. `events` are the JSON lines of its standard output so far, `said` what stands beside."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.errors: list[str] = []
        self._changed = asyncio.Event()
        self._readers = [asyncio.create_task(self._read_events()), asyncio.create_task(self._read_errors())]

    @property
    def pid(self) -> int:
        return self.process.pid

    async def _read_events(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            with contextlib.suppress(ValueError):
                self.events.append(json.loads(line))
            self.said.append(line.decode())
            self._changed.set()

    async def _read_errors(self) -> None:
        assert self.process.stderr
        async for line in self.process.stderr:
            self.errors.append(line.decode())

    async def event(self, name: str) -> dict[str, Any]:
        """The first event of a name, as soon as there is one."""
        async with asyncio.timeout(PATIENCE):
            while not (found := [one for one in self.events if one.get("event") == name]):
                assert self.process.returncode is None, "".join(self.said + self.errors)
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 0.2)
        return found[0]

    async def ended(self) -> int:
        """The exit code, when all that was written has been read."""
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
            await asyncio.gather(*self._readers)
        return code

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await self.ended()

    def children(self) -> list[int]:
        """The processes that it started and that still run."""
        return [pid for pid, parent in _parents() if parent == self.pid]


def _parents() -> list[tuple[int, int]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                _, _, rest = (entry / "stat").read_text().rpartition(")")
                state, parent, *_ = rest.split()
                found += [(int(entry.name), int(parent))] if state != "Z" else []
    return found


def is_running(pid: int) -> bool:
    return any(pid == one for one, _ in _parents())


@contextlib.asynccontextmanager
async def authz(*words: object, environ: Mapping[str, str] | None = None) -> AsyncIterator[Command]:
    """Run `authz WORDS…` on the transport that the run is for; whatever still runs at the end is killed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTHZ_")}
    if transport := os.environ.get("AUTHZ_TEST_TRANSPORT"):
        environment["AUTHZ_TRANSPORT"] = transport
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "authz", *map(str, words),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**environment, **(environ or {})},
    )  # fmt: skip
    command = Command(process)
    try:
        yield command
    finally:
        if process.returncode is None:
            await command.stop(signal.SIGKILL)
        await command.ended()


async def output(*words: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command that ends by itself."""
    async with authz(*words) as command:
        code = await command.ended()
    return code, "".join(command.said), "".join(command.errors)


@contextlib.asynccontextmanager
async def envoy(bootstrap: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """An Envoy that nobody but the test runs."""
    process = await asyncio.create_subprocess_exec(
        str(proxy.find(Settings())), "--config-path", str(bootstrap),
        "--concurrency", "1", "--disable-hot-restart", "--log-level", "error",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
