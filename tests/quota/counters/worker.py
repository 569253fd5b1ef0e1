"""A process of its own that counts on a shared Redis, or on the ledger of this machine; and the handle on it.

What it is told comes as a line of JSON on its standard input, what it answers goes as one to its standard output.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

LENGTH = 100_000
"""Seconds of the windows that are counted in: no test is likely to see one end."""

Limits = dict[str, int]


class Worker:
    """The handle on one process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def tell(self, do: str, **more: Any) -> Any:
        """Have something done; gives the answer when it is done."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> Any:
        assert self.process.stdout
        async with asyncio.timeout(60):
            line = await self.process.stdout.readline()
        assert line, "the process has died"
        return json.loads(line)

    async def drain(self, calls: int, *, tasks: int = 4, **limits: int) -> dict[str, Any]:
        """So many requests, each taking one unit of every limit, from so many tasks at once."""
        return dict(await self.tell("drain", calls=calls, tasks=tasks, limits=limits))

    async def load(self, pause: float = 0.0, *, tasks: int = 4, **limits: int) -> None:
        """Requests without an end."""
        await self.tell("load", pause=pause, tasks=tasks, limits=limits)

    async def report(self) -> dict[str, Any]:
        """What became of all requests since the last report."""
        return dict(await self.tell("report"))

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


@contextlib.asynccontextmanager
async def workers(
    url: str, count: int, *, skews: Sequence[float] = (), share: bool = False
) -> AsyncIterator[list[Worker]]:
    """So many processes, all started; `skews` is how far the wall clock of each is off.

    `url` is a Redis', or `machine:` and the path of a ledger's socket.
    """
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, __file__, url, str(skew), str(int(share)),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment,
        )
        for skew in (*skews, *[0.0] * (count - len(skews)))
    ]  # fmt: skip
    everybody = [Worker(process) for process in processes]
    try:
        for worker in everybody:
            assert await worker.answer() == "ready"
        yield everybody
    finally:
        for worker in everybody:
            if worker.process.returncode is None and worker.process.stdin:
                worker.process.stdin.close()  # it leaves in order
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(worker.process.wait(), 5)
            await worker.kill()


class Counting:
    """Inside the process."""

    def __init__(self, url: str, *, share: bool) -> None:
        from authz.quota.counters.leases import LeasedCounters
        from authz.quota.counters.machine import MachineLedger
        from authz.quota.counters.redis import RedisLedger
        from authz.telemetry import Tally

        self.tally = Tally()
        kind, _, path = url.partition(":")
        ledger = MachineLedger(Path(path)) if kind == "machine" else RedisLedger(url)
        self.counters = LeasedCounters(ledger, self.tally, share=share)
        self.tasks: list[asyncio.Task[None]] = []
        self.said: list[str] = []
        self.clear()

    def clear(self) -> None:
        self.counted = {"admitted": 0, "denied": 0, "lost": 0}
        self.longest = 0.0
        self.stamps: dict[str, float] = {}

    def charges(self, limits: Limits) -> list[Any]:
        from authz.quota.counters.base import Charge

        start = int(self.counters.clock()) // LENGTH * LENGTH
        return [Charge(("s", of, "c"), of, start, start + LENGTH, limit, 1) for of, limit in limits.items()]

    async def request(self, limits: Limits) -> None:
        import inspect

        from authz.quota.counters.base import CountersLost

        began = time.monotonic()
        try:
            spent = self.counters.spend(self.charges(limits), self.counters.clock())
            admitted = (await spent if inspect.isawaitable(spent) else spent).admitted
            what = "admitted" if admitted else "denied"
        except CountersLost:
            what = "lost"
        self.counted[what] += 1
        self.longest = max(self.longest, time.monotonic() - began)

    async def drain(self, calls: int, tasks: int, limits: Limits) -> dict[str, Any]:
        async def some(number: int) -> None:
            for _ in range(number):
                await self.request(limits)
                await asyncio.sleep(0)

        shares = [calls // tasks + (number < calls % tasks) for number in range(tasks)]
        await asyncio.gather(*map(some, shares))
        return self.report()

    def load(self, pause: float, tasks: int, limits: Limits) -> str:
        async def forever() -> None:
            while True:
                await self.request(limits)
                await asyncio.sleep(pause)

        self.tasks += [asyncio.create_task(forever()) for _ in range(tasks)]
        return "loaded"

    def report(self) -> dict[str, Any]:
        said, self.said[:] = self.said[:], []
        report = {
            **self.counted, "longest": self.longest, "said": said, "away": self.counters.lost,
            "settled": self.tally.total("ledger", event="settled"),
            "events": [self.tally.total("ledger", event=event) for event in ("lost", "back")],
        }  # fmt: skip
        self.clear()
        return report

    async def stop(self) -> str:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []
        return "stopped"


async def _serve(url: str, *, share: bool) -> None:
    import inspect
    import logging

    counting = Counting(url, share=share)
    handler = logging.Handler()
    handler.emit = lambda record: counting.said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("authz").addHandler(handler)
    await counting.counters.start()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps("ready"), flush=True)
    while line := await reader.readline():
        order = json.loads(line)
        answer = getattr(counting, order.pop("do"))(**order)
        print(json.dumps(await answer if inspect.isawaitable(answer) else answer), flush=True)
    await counting.stop()
    await counting.counters.close()


if __name__ == "__main__":
    _, _url, _skew, _share = sys.argv
    _real = time.time
    time.time = lambda: _real() + float(_skew)  # before anything has taken hold of it
    asyncio.run(_serve(_url, share=_share == "1"))
