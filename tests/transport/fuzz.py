"""Anything may arrive on a connection, cut anywhere: it never crashes, keeps nothing, and answers nobody else's call.

`python -m tests.transport.fuzz [EXAMPLES]` looks for a counterexample for longer than the test beside this does, and
prints how many examples it tried and how much memory it ended with. Hypothesis prints a smallest counterexample.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz.errors import Code, Refusal
from authz.transport.base import Handler
from authz.transport.calls import Shared
from authz.transport.http2 import Connection
from authz.transport.limits import Limits
from transport import peer
from transport.peer import Wire

LIMITS = Limits(message=300, held=1500, streams=8, resets=(20, 5), controls=60, unread=30,
                greeting=4, request=3, idle=6, stalled=3)  # fmt: skip
_KEPT, _TIMES = 200, 50
PATHS = ("/test.Echo/Echo", "/test.Echo/Hold", "/test.Echo/Slow", "/test.Echo/Fail", "/test.Echo/Nothing")

Step = tuple[object, ...]

index = st.integers(0, 12)
steps: st.SearchStrategy[Sequence[Step]] = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.integers(0, 4), st.integers(0, 310), st.integers(1, 400), st.booleans()),
        st.tuples(st.just("call"), st.just(0), st.integers(0, 40), st.integers(20, 400), st.just(True)),
        st.tuples(st.just("rest"), index),
        st.tuples(st.just("reset"), index),
        st.tuples(st.just("window"), index, st.integers(0, 2**31 - 1)),
        st.tuples(st.just("frame"), st.integers(0, 20), st.integers(0, 255), index, st.binary(max_size=60)),
        st.tuples(st.just("frame"), st.sampled_from([2, 4, 5, 6, 7, 9]), st.just(0), index, st.binary(max_size=8)),
        st.tuples(st.just("noise"), st.binary(max_size=60)),
        st.tuples(st.just("many"), st.sampled_from([2, 3, 6, 8]), st.integers(1, 80)),
        st.tuples(st.just("deliver"), st.integers(1, 500)),
        st.tuples(st.just("settle"), index, st.sampled_from(["result", "refusal", "error", "cancel"])),
        st.tuples(st.just("tick"), st.integers(1, 8)),
        st.tuples(st.sampled_from(["turn", "stall", "read", "drain", "pong", "stop"])),
    ),
    max_size=40,
)  # fmt: skip


@dataclass
class World:
    """One connection, what was asked on it, and what is still to be sent."""

    asked: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    rest: dict[int, bytes] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    held: list[tuple[bytes, asyncio.Future[bytes]]] = field(default_factory=list)
    out: bytes = peer.PREFACE + peer.frame(peer.SETTINGS)
    honest: bool = True
    """Whether only whole requests were sent so far: then it is known what each stream's answer is."""

    def __post_init__(self) -> None:
        self.shared = Shared(self._handlers(), LIMITS)
        self.wire = Wire(Connection(self.shared))

    def _handlers(self) -> dict[str, Handler]:
        def hold(body: bytes) -> asyncio.Future[bytes]:
            self.held.append((body, asyncio.get_running_loop().create_future()))
            return self.held[-1][1]

        async def slow(body: bytes) -> bytes:
            return await hold(body)

        def fail(_: bytes) -> bytes:
            raise Refusal(Code.UNAVAILABLE, "not now")

        return dict(zip(PATHS, (lambda body: body, hold, slow, fail), strict=False))

    # -- steps: what a peer does

    def call(self, method: int, size: int, part: int, whole: bool) -> None:
        stream = 2 * len(self.asked) + 1
        body = b"%d:" % stream + bytes(size)
        frames = self._frames(stream, peer.message(body), part)
        self.asked[stream] = PATHS[method], body
        self.out += peer.headers(stream, path=PATHS[method], grpc_timeout="1H")
        if whole or len(frames) == 1:
            self.out += b"".join(frames)
        else:
            self.out += frames[0]
            self.rest[stream] = b"".join(frames[1:])

    @staticmethod
    def _frames(stream: int, body: bytes, part: int) -> list[bytes]:
        starts = range(0, len(body), part)
        return [peer.data(stream, body[start : start + part], end=start == starts[-1]) for start in starts]

    def _rest(self, stream: int) -> None:
        self.out += self.rest.pop(2 * stream + 1, b"")

    def reset(self, stream: int) -> None:
        self.gone.add(2 * stream + 1)
        self.out += peer.reset(2 * stream + 1)

    def window(self, stream: int, increment: int) -> None:
        self._frame(peer.WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.honest = False
        self.out += peer.frame(kind, payload, stream, flags)

    def noise(self, data: bytes) -> None:
        self.honest = False
        self.out += data

    def many(self, kind: int, count: int) -> None:
        self.honest = False
        payload = {2: bytes(5), 3: bytes(4), 6: bytes(8), 8: b"\0\0\0\1"}[kind]
        self.out += peer.frame(kind, payload, 1 if kind in {2, 3} else 0) * count

    def deliver(self, size: int) -> None:
        while self.out and not self.wire.paused and not self.wire.closing:
            part, self.out = self.out[:size], self.out[size:]
            self.wire.send(part)

    def settle(self, number: int, how: str) -> None:
        if number >= len(self.held) or self.held[number][1].done():
            return
        body, future = self.held[number]
        match how:
            case "result":
                future.set_result(body)
            case "refusal":
                future.set_exception(Refusal(Code.UNAVAILABLE, "not now"))
            case "error":
                future.set_exception(TimeoutError("not now"))
            case _:
                future.cancel()

    def tick(self, count: int) -> None:
        self.honest &= count < 3
        for _ in range(count):
            if not self.wire.closing:
                self.wire.protocol.tick()

    def stall(self) -> None:
        self.wire.stalled = True

    def read(self) -> None:
        if self.wire.stalled:
            self.wire.read_on()

    def drain(self) -> None:
        self.honest = False
        self.wire.protocol.drain()

    def stop(self) -> None:
        self.honest = False
        self.wire.protocol.stop()

    def pong(self) -> None:
        for kind, _, _, payload in self.wire.reader.frames:
            if kind == peer.PING:
                self.out += peer.frame(peer.PING, payload, flags=peer.ACK)

    async def run(self, some: Sequence[Step]) -> None:
        """Take the steps, then read and send all that is left, and look."""
        does: dict[object, Callable[..., None]] = {"rest": self._rest, "frame": self._frame}
        for name, *arguments in some:
            if name == "turn":
                await turn()
            else:
                does.get(name, getattr(self, f"{name}", None))(*arguments)  # type: ignore[misc]
        self.read()
        self.deliver(10_000)
        await turn()
        self._check_answers()
        await self._check_end()

    def _check_answers(self) -> None:
        for stream, answer in self.wire.reader.answers.items():
            if answer.ended and answer.status == 0 and self.honest:
                assert answer.message == self.asked[stream][1]
        if not self.honest or self.wire.closing or self.wire.reader.goaway:
            return
        for stream, (path, _) in self.asked.items():
            answer = self.wire.answer(stream)
            if path == PATHS[0] and stream not in self.gone | set(self.rest) and answer.reset is None:
                assert answer.ended, stream

    async def _check_end(self) -> None:
        self.wire.close()
        await turn()
        assert not self.shared.connections
        assert self.shared.held == 0
        assert self.wire.protocol.closed.done()
        assert all(future.done() for _, future in self.held)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others


async def turn() -> None:
    """Let what has been scheduled run."""
    for _ in range(5):
        await asyncio.sleep(0)


def check(some: Sequence[Step]) -> None:
    """One connection's life."""

    async def live() -> None:
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        await World().run(some)
        assert not complaints

    asyncio.run(live())


def left_over(examples: Sequence[Sequence[Step]], times: int) -> tuple[int, int]:
    """What living the same connections again and again leaves: objects, and bytes of the process's memory."""
    for _ in range(2):  # what is made once, and kept for good, has been made
        _live_all(examples)
    objects, memory = _size()
    for _ in range(times):
        _live_all(examples)
    more_objects, more_memory = _size()
    return more_objects - objects, more_memory - memory


def _live_all(examples: Sequence[Sequence[Step]]) -> None:
    for some in examples:
        check(some)


def _size() -> tuple[int, int]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(gc.get_objects()), pages * resource.getpagesize()


def main(examples: int) -> None:
    """Look for a counterexample, then for what is left of the connections."""
    logging.disable()
    tried = 0
    kept: list[Sequence[Step]] = []

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(steps)
    def search(some: Sequence[Step]) -> None:
        nonlocal tried
        tried += 1
        check(some)
        if tried % max(1, examples // _KEPT) == 0:
            kept.append(some)

    start = time.monotonic()
    search()
    objects, memory = left_over(kept, _TIMES)
    again = len(kept) * _TIMES
    print(
        f"{tried} connections in {time.monotonic() - start:.0f} s; {again} more left {objects} objects and "
        f"{memory // 1024} KiB"
    )
    assert objects < again / 100
    assert memory < again * 300  # a stream that stays takes more


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
