"""A load generator of our own, for machines that have no other: right, and slow."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc as grpcio

from bench.machine import NotMeasured
from harness.http import read_message


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a load generator saw. Latencies are in microseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int

    @classmethod
    def of(cls, took: Sequence[float], seconds: float, errors: int) -> Run:
        """From the latency of each good call."""
        ordered = sorted(took)
        p50, p99 = (float(ordered[int(len(ordered) * share)]) if ordered else 0.0 for share in (0.50, 0.99))
        return cls(len(ordered), seconds, p50, p99, errors)


def ask(address: str, method: str, message: bytes, *, within: float = 5.0) -> bytes:
    """One answer to one question.

    Raises:
        grpc.RpcError: there is none.
    """
    with grpcio.insecure_channel(address) as channel:
        answer: bytes = channel.unary_unary(method)(message, timeout=within)
        return answer


def grpc(
    address: str, method: str, message: bytes, width: int, seconds: float, *, host: str, headers: Mapping[str, str]
) -> Run:
    """So many calls under way on one connection."""

    async def run() -> Run:
        options = [("grpc.default_authority", host)] if host else []
        async with grpcio.aio.insecure_channel(address, options=options) as channel:
            call = channel.unary_unary(method)
            return await _keep_busy([lambda: call(message, metadata=tuple(headers.items()))] * width, seconds)

    return asyncio.run(run())


def http(port: int, requests: Sequence[bytes], width: int, seconds: float) -> Run:
    """So many connections, each with one request at a time; requests in turn."""

    async def run() -> Run:
        turn = itertools.cycle(requests)
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(width)]
        try:
            return await _keep_busy([_exchange(*each, turn) for each in streams], seconds)
        finally:
            for _, writer in streams:
                writer.close()

    return asyncio.run(run())


Call = Callable[[], Awaitable[object]]


def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turn: itertools.cycle[bytes]) -> Call:
    async def call() -> None:
        writer.write(next(turn))
        start, _, _ = await read_message(reader)
        if start.split()[1] != "200":
            raise NotMeasured(start)

    return call


async def _keep_busy(calls: Sequence[Call], seconds: float) -> Run:
    """Each call again and again, until the time is up."""
    took: list[float] = []
    begin = time.perf_counter()
    end = begin + seconds

    async def repeat(call: Call) -> int:
        errors = 0
        while (start := time.perf_counter()) < end:
            try:
                await call()
            except (OSError, asyncio.IncompleteReadError, grpcio.RpcError, NotMeasured):
                errors += 1
            else:
                took.append((time.perf_counter() - start) * 1e6)
        return errors

    errors = sum(await asyncio.gather(*(repeat(call) for call in calls)))
    return Run.of(took, time.perf_counter() - begin, errors)
