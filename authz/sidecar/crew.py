"""The workers of one machine as their leader sees them: started, told, and started again when they die.

A worker is a fresh interpreter and no fork: gRPC's threads and the event loop would not survive one. The leader's
book is always the first to change; `take` comes back when every worker that lives has changed its own, so that Envoy
can then be told. Who does not change it in time serves stale rules, and is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from authz.errors import AuthzError, StateError
from authz.rulebook.book import Rulebook
from authz.settings import Settings
from authz.sidecar.orders import Begin, Channel, Counted, Failed, Forget, Order, Report, Serving, Stop, Take, Taken
from authz.sidecar.orders import packed as _packed
from authz.telemetry import Tally

log = logging.getLogger(__name__)

Serves = Callable[[int, int, str], None]
"""A worker's number, its process id, and the address at which it answers now."""

_MODULE: Final = "authz.sidecar.worker"
_START: Final = 30.0
_START_OF_EACH: Final = 2.0
"""Seconds: most of a start is imports, and all workers start at once on whatever processors there are."""
_TAKE_SECONDS: Final = 10.0
"""How long a worker that serves may be at work on a book, beside what fetching may take."""
_END_SECONDS: Final = 3.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0


@dataclass(eq=False, slots=True)
class _Worker:
    """One worker: what stays when its process is another. `channel` is None while there is no process."""

    number: int
    address: str
    channel: Channel | None = None
    process: asyncio.subprocess.Process | None = None
    taken: int = 0
    serving: bool = False
    failure: AuthzError | None = None

    def has(self, turn: int) -> bool:
        """Whether nobody is answered by an older book here."""
        return self.channel is None or self.taken >= turn

    def kill(self) -> None:
        """End the process at once."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()


class Crew:
    """All workers but the leader itself, which may be none. `ledger` is the path of the machine's ledger, if any."""

    def __init__(
        self, settings: Settings, addresses: Sequence[str], tally: Tally, *, ledger: str = "", serves: Serves
    ) -> None:
        self._settings = settings
        self._tally = tally
        self._ledger = ledger
        self._serves = serves
        self._workers = [_Worker(number, address) for number, address in enumerate(addresses, 1)]
        self._keepers: list[asyncio.Task[None]] = []
        self._changed = asyncio.Condition()
        self._turn = 0
        self._book = b""
        self._stopping = asyncio.Event()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where they listen."""
        return tuple(worker.address for worker in self._workers)

    async def start(self) -> None:
        """Start all of them; they serve when they have a book."""
        self._keepers = [asyncio.create_task(self._keep(worker)) for worker in self._workers]

    async def serving(self) -> None:
        """Wait until all of them serve.

        Raises:
            StateError: one cannot.
        """
        workers = self._workers
        seconds = self._start_seconds
        await self._wait(lambda: all(one.serving for one in workers) or any(one.failure for one in workers), seconds)
        for worker in workers:
            if worker.failure:
                raise worker.failure
            if not worker.serving:
                raise StateError(f"Worker {worker.number} does not serve after {seconds:g} s", "Its log says why.")

    async def stop(self, grace: float) -> None:
        """Let them drain for at most `grace` seconds; none is left afterwards."""
        self._stopping.set()
        self._tell(_packed(Stop(grace)))
        # Who does not serve yet has nothing to end.
        if any(worker.serving for worker in self._workers):
            await asyncio.wait(self._keepers, timeout=grace + _END_SECONDS)
        for worker in self._workers:
            worker.kill()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    # -- what the follower of the store says (`rollout.Peers`) -------------------------------------------------

    async def take(self, book: Rulebook) -> None:
        """Have all of them answer by this book."""
        if not self._workers:
            return
        turn = self._turn + 1
        self._book, self._turn = await asyncio.to_thread(_packed, Take(turn, book)), turn
        self._tell(self._book)
        await self._end_late(turn, self._settings.fetch_timeout + _TAKE_SECONDS, starting=False)
        await self._end_late(turn, self._start_seconds, starting=True)

    async def _end_late(self, turn: int, seconds: float, *, starting: bool) -> None:
        """Wait until all have the book, those that are starting too or not; and for nobody longer than that."""

        def late() -> list[_Worker]:
            return [one for one in self._workers if not one.has(turn) and (starting or one.serving)]

        await self._wait(lambda: not late(), seconds)
        for worker in late():
            log.error("worker %d has not taken the new rules within %g s: it is ended", worker.number, seconds)
            worker.kill()
            worker.channel = None

    def forget(self, digests: Iterable[bytes]) -> None:
        """Have all of them ask the store again for these keys."""
        self._tell(_packed(Forget(frozenset(digests))))

    def clear(self) -> None:
        """Have all of them ask the store again for every key."""
        self._tell(_packed(Forget(None)))

    @property
    def _start_seconds(self) -> float:
        return _START + _START_OF_EACH * len(self._workers)

    def _tell(self, message: bytes) -> None:
        for worker in self._workers:
            if worker.channel is not None:
                worker.channel.send_packed(message)

    async def _wait(self, condition: Callable[[], bool], seconds: float) -> None:
        """Until it holds, but not for longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(condition)

    # -- one worker -------------------------------------------------------------------------------------------

    async def _keep(self, worker: _Worker) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                ending = await self._run(worker)
            except OSError as error:
                ending = f"cannot be started: {error.strerror}"
            if self._stopping.is_set():
                return
            pause = _FIRST_PAUSE if time.monotonic() - began > _LONGEST_PAUSE else min(pause * 2, _LONGEST_PAUSE)
            log.error("worker %d %s; it is started again in %g s", worker.number, ending, pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _run(self, worker: _Worker) -> str:
        """One process from its start to its end; how that came."""
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as unless_owned:
            unless_owned.callback(ours.close)
            worker.process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", _MODULE, str(theirs.fileno()), pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, env=_environment(),
            )  # fmt: skip
            unless_owned.pop_all()
        channel = await Channel.over(ours)
        worker.channel, worker.taken, worker.failure = channel, 0, None
        try:
            await self._listen(worker, channel)
        finally:
            code = await self._end(worker, channel, worker.process)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return (
            f"(process {worker.process.pid}) ended with {how}{f': {worker.failure.message}' if worker.failure else ''}"
        )

    async def _listen(self, worker: _Worker, channel: Channel) -> None:
        channel.send(Begin(worker.number, worker.address, self._ledger, self._settings))
        if self._book:
            channel.send_packed(self._book)
        while (report := await channel.receive()) is not None:
            self._hear(worker, report)
            async with self._changed:
                self._changed.notify_all()

    def _hear(self, worker: _Worker, report: Order | Report) -> None:
        match report:
            case Taken(turn):
                worker.taken = turn
            case Serving(address):
                worker.address, worker.serving = address, True
                self._serves(worker.number, worker.process.pid if worker.process else 0, address)
            case Counted(totals):
                self._tally.include(totals)
            case Failed(error):
                worker.failure = error

    async def _end(self, worker: _Worker, channel: Channel, process: asyncio.subprocess.Process) -> int:
        """Its exit code, when nothing of the process is left, whether it ended by itself or only stopped talking."""
        worker.channel, worker.serving = None, False
        async with self._changed:
            self._changed.notify_all()
        await channel.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                return await process.wait()
        worker.kill()
        return await process.wait()


def _environment() -> dict[str, str]:
    """A worker is the same program as its leader, whatever directory it is started in."""
    path = os.pathsep.join(one or str(os.getcwd()) for one in sys.path)  # noqa: PTH109 - as the import system does
    return {"GRPC_ENABLE_FORK_SUPPORT": "0", "GRPC_VERBOSITY": "NONE", **os.environ, "PYTHONPATH": path}
