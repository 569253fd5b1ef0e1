"""Questions to a sidecar as Envoy asks them, and what the process that answers them costs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
from envoy.service.auth.v3 import external_auth_pb2

from authz import wire
from harness import process
from scale.population import text_of

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cost:
    """What so many questions took: the sidecar's CPU, and the time until all were answered."""

    questions: int
    cpu: float
    wall: float
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def microseconds(self) -> float:
        return self.cpu / self.questions * 1e6


class Asker:
    """Asks one sidecar process about one operation."""

    def __init__(self, channel: grpc.aio.Channel, pid: int, operation: tuple[str, str, str]) -> None:
        self.pid = pid
        self._ask = channel.unary_unary(wire.CHECK_METHOD)
        self._operation = operation

    async def status(self, text: str) -> int:
        """The HTTP status that a caller with this key gets; 200 for a pass."""
        answer = external_auth_pb2.CheckResponse.FromString(await self._ask(self.question(text)))
        return answer.denied_response.status.code if answer.HasField("denied_response") else 200

    def question(self, text: str) -> bytes:
        message = external_auth_pb2.CheckRequest()
        http = message.attributes.request.http
        http.method, http.path, http.host = "GET", "/guarded", self._operation[0]
        http.headers["x-api-key"] = text
        context = message.attributes.context_extensions
        context["service"], context["config"], context["operation"] = self._operation
        return bytes(message.SerializeToString())

    async def all(self, texts: Iterable[str], at_once: int = 32) -> Cost:
        """Ask about every key, so many at once."""
        waiting, statuses = iter(list(texts)), Counter[int]()

        async def caller() -> None:
            for text in waiting:
                statuses[await self.status(text)] += 1

        cpu, began = self.cpu(), time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(at_once)))
        return Cost(statuses.total(), self.cpu() - cpu, time.perf_counter() - began, statuses)

    def cpu(self) -> float:
        """Seconds of CPU that the sidecar has used, all threads; the kernel counts these in nanoseconds."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def resident(self) -> float:
        """Its resident memory in MB."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE / 2**20


@contextlib.asynccontextmanager
async def sidecar(directory: Path, operation: tuple[str, str, str], *more: object) -> AsyncIterator[Asker]:
    """`authz serve` on a store that is there."""
    place = f"unix:{directory}/sidecar"
    async with process.authz("serve", "--json", "--data-dir", directory, "--sidecar-address", place, *more) as serve:
        await serve.event("ready")
        async with grpc.aio.insecure_channel(place) as channel:
            yield Asker(channel, serve.pid, operation)
        await serve.stop()


def texts_of(numbers: Iterable[int]) -> list[str]:
    return [text_of(number) for number in numbers]
