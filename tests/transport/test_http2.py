"""One connection against a peer that sends what it likes, byte by byte. What libnghttp2 guards is proved here too."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from authz.errors import Code, Refusal
from authz.transport import framing
from authz.transport.base import Handler
from authz.transport.calls import Shared
from authz.transport.http2 import Connection
from authz.transport.limits import Limits
from harness.waiting import until
from transport import peer
from transport.peer import ENHANCE_YOUR_CALM, PROTOCOL_ERROR, Wire, call, data, frame, headers, message, reset

LIMITS = Limits(message=1000, held=3000, streams=10, resets=(50, 10), controls=100, greeting=3, request=3, idle=5,
                stalled=3)  # fmt: skip


class Handlers:
    """`Echo` answers at once, `Hold` when told to."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.held: list[asyncio.Future[bytes]] = []
        self.cancelled = 0

    def table(self) -> dict[str, Handler]:
        return {"/test.Echo/Echo": self.echo, "/test.Echo/Hold": self.hold, "/test.Echo/Slow": self.slow}

    def echo(self, body: bytes) -> bytes:
        self.asked.append(body)
        return body

    def hold(self, _: bytes) -> asyncio.Future[bytes]:
        self.held.append(asyncio.get_running_loop().create_future())
        return self.held[-1]

    async def slow(self, body: bytes) -> bytes:
        try:
            return await self.hold(body)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


@pytest.fixture
def shared(handlers: Handlers) -> Shared:
    return Shared(handlers.table(), LIMITS)


@pytest.fixture
async def wire(shared: Shared) -> Wire:
    wire = Wire(Connection(shared))
    wire.greet()
    return wire


async def turn() -> None:
    """Let what has been scheduled run."""
    for _ in range(5):
        await asyncio.sleep(0)


def tick(wire: Wire, times: int) -> None:
    for _ in range(times):
        if not wire.closing:
            wire.protocol.tick()


# -- calls ------------------------------------------------------------------------------------------------------------


async def test_all_calls_of_one_read_are_answered_in_one_write(wire: Wire) -> None:
    before = wire.writes

    wire.send(*(call(1 + 2 * n, b"%d" % n) for n in range(10)))

    assert wire.writes == before + 1
    assert [wire.answer(1 + 2 * n).message for n in range(10)] == [b"%d" % n for n in range(10)]
    assert {wire.answer(1 + 2 * n).status for n in range(10)} == {0}


async def test_calls_that_waited_for_the_same_are_answered_in_one_write(wire: Wire, handlers: Handlers) -> None:
    wire.send(*(call(1 + 2 * n, b"", path="/test.Echo/Hold") for n in range(5)))
    before = wire.writes

    for n, held in enumerate(handlers.held):
        held.set_result(b"%d" % n)
    await turn()

    assert wire.writes == before + 1
    assert [wire.answer(1 + 2 * n).message for n in range(5)] == [b"%d" % n for n in range(5)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
async def test_any_split_of_the_bytes_is_the_same_call(shared: Shared, size: int) -> None:
    whole = peer.PREFACE + frame(peer.SETTINGS) + call(1, b"abc" * 30) + call(3, b"second")
    wire = Wire(Connection(shared))

    for start in range(0, len(whole), size):
        wire.send(whole[start : start + size])

    assert wire.answer(1).message == b"abc" * 30
    assert wire.answer(3).message == b"second"


@pytest.mark.parametrize("size", [1, 4, 5, 6, 50])
async def test_any_split_into_frames_is_the_same_message(wire: Wire, shared: Shared, size: int) -> None:
    body = message(b"0123456789" * 10)

    wire.send(headers(1), headers(3))
    for start in range(0, len(body), size):
        for stream in (1, 3):
            wire.send(data(stream, body[start : start + size], end=False))
    wire.send(data(1, b""), data(3, b""))

    assert wire.answer(1).message == wire.answer(3).message == b"0123456789" * 10
    assert shared.held == 0


async def test_what_is_remembered_of_one_request_is_not_said_of_another(wire: Wire, handlers: Handlers) -> None:
    for n in range(0, 12, 4):
        stream, slow = 1 + 2 * n, "/test.Echo/Slow"
        wire.send(call(stream, b"%d" % n), call(stream + 2, b"", path=slow, grpc_timeout="20m"))
        wire.send(call(stream + 4, b"", path="/test.Echo/Nothing"), call(stream + 6, b"", path=slow, grpc_timeout="1H"))

    await until(lambda: sum(wire.answer(3 + 2 * n).ended for n in range(0, 12, 4)) == 3)

    for n in range(0, 12, 4):
        assert wire.answer(1 + 2 * n).message == b"%d" % n
        assert wire.answer(3 + 2 * n).status == framing.DEADLINE_EXCEEDED
        assert wire.answer(5 + 2 * n).status == framing.UNIMPLEMENTED
        assert not wire.answer(7 + 2 * n).ended
    assert handlers.cancelled == 3


async def test_trailers_may_end_a_request(wire: Wire) -> None:
    trailers = frame(peer.HEADERS, peer.block({"x-more": "1"}), 1, peer.END_HEADERS | peer.END_STREAM)

    wire.send(headers(1), data(1, message(b"abc"), end=False), trailers)

    assert wire.answer(1).message == b"abc"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (call(1, b"", path="/test.Echo/Nothing"), framing.UNIMPLEMENTED),
        (headers(1, path="/test.Echo/Nothing"), framing.UNIMPLEMENTED),
        (headers(1, end=True, path="/"), framing.UNIMPLEMENTED),
        (headers(1, end=True), framing.INTERNAL),
        (headers(1) + data(1, b""), framing.INTERNAL),
        (headers(1) + data(1, message(b"abc")[:-1]), framing.INTERNAL),
        (headers(1) + data(1, message(b"a") * 2), framing.INTERNAL),
        (headers(1) + data(1, message(b"a", compressed=True)), framing.UNIMPLEMENTED),
        (headers(1) + data(1, message(b"a" * 1001)), framing.RESOURCE_EXHAUSTED),
        (headers(1) + data(1, b"\0\xff\xff\xff\xff", end=False), framing.RESOURCE_EXHAUSTED),
    ],
)
async def test_a_request_that_is_no_call_is_refused_and_the_next_one_answered(
    wire: Wire, shared: Shared, request_: bytes, status: int
) -> None:
    wire.send(request_, call(3, b"next"))

    assert wire.answer(1).status == status
    assert wire.answer(1).ended
    assert wire.answer(3).message == b"next"
    assert shared.held == 0


@pytest.mark.parametrize(
    ("request_", "status"), [(headers(1, end=True, method="GET"), "405"), (call(1, b"", content_type="x/y"), "415")]
)
async def test_what_is_no_grpc_gets_an_answer_of_plain_http(wire: Wire, request_: bytes, status: str) -> None:
    wire.send(request_)

    assert wire.answer(1).fields[":status"] == status


async def test_a_peer_is_told_to_stop_sending_what_was_refused_after_it_was_told_why(wire: Wire) -> None:
    wire.send(headers(1, path="/test.Echo/Nothing"))

    assert wire.answer(1).status == framing.UNIMPLEMENTED
    assert wire.answer(1).reset == peer.NO_ERROR
    wire.send(data(1, b"what was on its way"), call(3, b"next"))
    assert wire.answer(3).message == b"next"


async def test_the_callers_deadline_ends_a_call_that_waits(wire: Wire, handlers: Handlers) -> None:
    wire.send(call(1, b"", path="/test.Echo/Slow", grpc_timeout="20m"), call(3, b"", path="/test.Echo/Slow"))

    await until(lambda: wire.answer(1).ended)

    assert wire.answer(1).status == framing.DEADLINE_EXCEEDED
    assert handlers.cancelled == 1
    handlers.held[1].set_result(b"in its own time")
    await turn()
    assert wire.answer(3).message == b"in its own time"


async def test_a_handler_that_waits_may_fail_like_any_other(
    wire: Wire, handlers: Handlers, caplog: pytest.LogCaptureFixture
) -> None:
    wire.send(*(call(1 + 2 * n, b"", path="/test.Echo/Slow") for n in range(4)))
    await turn()

    handlers.held[0].set_exception(Refusal(Code.UNAVAILABLE, "100 % away"))
    handlers.held[1].set_exception(ValueError("secret"))
    handlers.held[2].cancel()
    handlers.held[3].set_exception(TimeoutError())
    with caplog.at_level(logging.ERROR):
        await turn()

    statuses = [wire.answer(1 + 2 * n).status for n in range(4)]
    assert statuses == [Code.UNAVAILABLE, Code.INTERNAL, Code.UNAVAILABLE, Code.INTERNAL]
    assert wire.answer(1).fields["grpc-message"] == "100 %25 away"
    assert "secret" in caplog.text
    assert "secret" not in str(wire.answer(3).fields)


@pytest.mark.parametrize("path", ["/test.Echo/Hold", "/test.Echo/Slow"])
async def test_a_reset_cancels_the_call_even_in_the_read_that_asked_it(
    wire: Wire, handlers: Handlers, path: str
) -> None:
    wire.send(call(1, b"", path=path), reset(1), call(3, b"", path=path))
    wire.send(reset(3))
    await turn()
    gc.collect()  # a coroutine that was never awaited would warn here

    assert all(held.cancelled() for held in handlers.held)
    wire.send(call(5, b"next"))
    assert wire.answer(5).message == b"next"
    assert not wire.answer(1).fields


async def test_a_call_whose_caller_left_in_the_same_read_is_not_answered_to_anybody(wire: Wire) -> None:
    wire.send(call(1, b"one"), reset(1), call(3, b"three"), headers(5), reset(5), call(7, b"seven"))

    assert not wire.answer(1).body
    assert wire.answer(3).message == b"three"
    assert wire.answer(7).message == b"seven"


async def test_a_lost_connection_cancels_its_calls_and_frees_what_they_hold(
    wire: Wire, shared: Shared, handlers: Handlers
) -> None:
    wire.send(call(1, b"", path="/test.Echo/Slow"), headers(3), data(3, message(b"x" * 500)[:300], end=False))
    await turn()
    assert shared.held == 300

    wire.close()
    await turn()

    assert handlers.cancelled == 1
    assert shared.held == 0
    assert not shared.connections


# -- limits: ours ------------------------------------------------------------------------------------------------------


async def test_unfinished_requests_hold_no_more_than_they_may_together(wire: Wire, shared: Shared) -> None:
    other = Wire(Connection(shared))
    other.greet()
    part = message(b"x" * 1000)[:-1]
    for stream in (1, 3):
        wire.send(headers(stream), data(stream, part, end=False))
    other.send(headers(1), data(1, part[:900], end=False))

    other.send(headers(3), data(3, part, end=False), call(5, b"whole"))

    assert other.answer(3).status == framing.RESOURCE_EXHAUSTED
    assert other.answer(5).message == b"whole"
    wire.send(reset(1))
    other.send(headers(7), data(7, part, end=False), data(7, b"x"))
    assert other.answer(7).message == b"x" * 1000


async def test_a_request_that_does_not_end_is_ended(wire: Wire, shared: Shared, handlers: Handlers) -> None:
    wire.send(headers(1), headers(3), data(3, b"\0\0", end=False), call(5, b"", path="/test.Echo/Hold"))

    for _ in range(LIMITS.request + 1):
        wire.send(frame(peer.PING, bytes(8)))
        tick(wire, 1)

    assert wire.answer(1).status == wire.answer(3).status == framing.DEADLINE_EXCEEDED
    assert wire.answer(1).reset == peer.NO_ERROR
    assert shared.held == 0
    handlers.held[0].set_result(b"waiting is the handler's affair")
    await turn()
    assert wire.answer(5).status == 0


@pytest.mark.parametrize("greeting", [b"", peer.PREFACE[:10], peer.PREFACE])
async def test_a_connection_without_a_greeting_is_closed(shared: Shared, greeting: bytes) -> None:
    wire = Wire(Connection(shared))
    for _ in range(LIMITS.greeting):
        wire.send(greeting)
        greeting = b""
        tick(wire, 1)
    assert not wire.closing

    tick(wire, 1)

    assert wire.aborted


async def test_an_idle_connection_is_asked_to_leave_and_then_closed(wire: Wire) -> None:
    for _ in range(3):  # not idle: something comes every now and then
        tick(wire, LIMITS.idle - 1)
        wire.send(frame(peer.PING, bytes(8)))
    assert wire.reader.goaway is None

    tick(wire, LIMITS.idle + 1)
    assert wire.reader.goaway == (2**31 - 1, peer.NO_ERROR)
    assert not wire.closing
    tick(wire, LIMITS.greeting + 1)

    assert wire.closing


async def test_a_call_in_flight_when_an_idle_connection_is_asked_to_leave_is_answered(wire: Wire) -> None:
    tick(wire, LIMITS.idle + 1)

    wire.send(call(1, b"crossed"), _pong(wire))
    await turn()

    assert wire.answer(1).message == b"crossed"
    assert wire.closing
    assert not wire.aborted


async def test_frames_that_ask_for_nothing_have_a_rate(wire: Wire) -> None:
    some = frame(peer.WINDOW_UPDATE, (1).to_bytes(4, "big")) * (LIMITS.controls - 2)
    for _ in range(3):
        wire.send(some)
        tick(wire, 1)
    for n in range(3):  # nor do they count where there is work between them
        wire.send(some, call(1 + 2 * n, b"x"))
    assert not wire.closing

    wire.send(some, some)

    assert wire.goaway_code() == ENHANCE_YOUR_CALM
    assert wire.closing


async def test_a_peer_that_does_not_read_is_not_read_from_and_gets_everything_when_it_does(
    wire: Wire, handlers: Handlers
) -> None:
    wire.send(call(1, b"", path="/test.Echo/Hold"), call(3, b"", path="/test.Echo/Hold"))
    wire.stalled = True
    wire.send(call(5, b"five"))
    assert wire.paused

    handlers.held[0].set_result(b"one")
    handlers.held[1].set_result(b"three")
    await turn()
    kept = len(wire.kept)
    tick(wire, LIMITS.stalled)
    assert len(wire.kept) == kept
    wire.read_on()

    assert not wire.paused
    assert [wire.answer(stream).message for stream in (1, 3, 5)] == [b"one", b"three", b"five"]


async def test_a_peer_that_never_reads_is_closed(wire: Wire) -> None:
    wire.stalled = True
    wire.send(call(1, b""))

    tick(wire, LIMITS.stalled + 1)

    assert wire.aborted


async def test_a_peer_that_opens_no_window_is_closed(shared: Shared) -> None:
    wire = Wire(Connection(shared))
    wire.greet(settings=b"\0\4" + bytes(4))  # SETTINGS_INITIAL_WINDOW_SIZE 0
    wire.send(call(1, b"abc"))
    assert wire.answer(1).fields[":status"] == "200"
    assert not wire.answer(1).body

    for _ in range(LIMITS.stalled + 3):
        tick(wire, 1)

    assert wire.aborted


async def test_a_slow_window_is_no_reason_to_close(shared: Shared) -> None:
    wire = Wire(Connection(shared))
    wire.greet(settings=b"\0\4" + bytes(4))
    wire.send(call(1, b"0123456789"))

    for _ in range(15):
        wire.send(frame(peer.WINDOW_UPDATE, (1).to_bytes(4, "big"), 1))
        tick(wire, 1)

    assert wire.answer(1).message == b"0123456789"
    assert not wire.closing


# -- limits: libnghttp2's ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(b"".join(headers(1 + 2 * n) + reset(1 + 2 * n) for n in range(200)), id="rapid reset"),
        pytest.param(b"".join(call(1 + 2 * n, b"x") + reset(1 + 2 * n) for n in range(200)), id="rapid reset of calls"),
        pytest.param(frame(peer.PING, bytes(8)) * 1500, id="pings"),
        pytest.param(frame(peer.SETTINGS) * 1500, id="settings"),
        pytest.param(headers(1) + data(1, b"", end=False) * 30_000, id="empty data"),
        pytest.param(frame(peer.PRIORITY, bytes(4) + b"\1", 1) * 30_000, id="priority"),
        pytest.param(frame(200) * 30_000, id="unknown frames"),
        pytest.param(frame(peer.HEADERS, peer.block(peer.REQUEST), 1) + frame(peer.CONTINUATION, b"", 1) * 20,
                     id="continuation"),
        pytest.param(headers(1, x=b"x".decode() * 15_000) + headers(3, x="y" * 17_000), id="header list"),
        pytest.param(frame(peer.SETTINGS, b"\0\4\0\0\0\1" * 100), id="settings in one frame"),
    ],
)  # fmt: skip
async def test_a_flood_ends_the_connection_with_a_word(
    shared: Shared, wire: Wire, flood: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for start in range(0, len(flood), 65536):
        wire.send(flood[start : start + 65536])
    await turn()

    assert wire.closing
    assert wire.reader.goaway is not None
    assert len(caplog.records) == 1
    assert not shared.connections
    assert shared.held == 0


async def test_streams_beyond_the_limit_are_refused_and_may_be_tried_again(wire: Wire, handlers: Handlers) -> None:
    wire.send(*(call(1 + 2 * n, b"", path="/test.Echo/Hold") for n in range(LIMITS.streams + 3)))

    refused = [wire.answer(1 + 2 * n).reset for n in range(LIMITS.streams, LIMITS.streams + 3)]
    assert refused == [peer.REFUSED_STREAM] * 3
    assert len(handlers.held) == LIMITS.streams
    handlers.held[0].set_result(b"")
    await turn()
    wire.send(call(101, b"", path="/test.Echo/Hold"))
    assert len(handlers.held) == LIMITS.streams + 1


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(headers(2), id="an even stream"),
        pytest.param(data(1, b"x"), id="data before headers"),
        pytest.param(data(0, b"x"), id="data without a stream"),
        pytest.param(frame(peer.HEADERS, b"\xff\xff\xff\xff\xff", 1, 5), id="no header block"),
        pytest.param(frame(peer.DATA, bytes(20_000), 1), id="a frame too large"),
        pytest.param(frame(peer.PING, b"short"), id="a short ping"),
        pytest.param(frame(peer.SETTINGS, b"\0\4\xff\xff\xff\xff"), id="an impossible window"),
        pytest.param(frame(peer.WINDOW_UPDATE, b"\x7f\xff\xff\xff"), id="a window overflow"),
    ],
)
async def test_who_breaks_the_protocol_gets_a_goaway(
    wire: Wire, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    wire.send(broken)
    await turn()

    assert wire.reader.goaway is not None
    assert wire.closing
    assert "broke the rules of HTTP/2" in caplog.text


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(frame(peer.HEADERS, b"\x83", 1, 5), id="no path"),
        pytest.param(headers(1, end=True, **{"X-Upper": "a"}), id="an upper case name"),
        pytest.param(headers(1, end=True, connection="close"), id="a header of HTTP/1"),
        pytest.param(headers(1, end=True, x="a\0b"), id="a NUL"),
        pytest.param(headers(1, content_length="3") + data(1, message(b"abc")), id="another length"),
    ],
)
async def test_a_malformed_request_ends_its_stream_only(wire: Wire, handlers: Handlers, broken: bytes) -> None:
    wire.send(broken, call(3, b"next"))

    assert wire.answer(1).reset == PROTOCOL_ERROR
    assert handlers.asked == [b"next"]
    assert wire.answer(3).message == b"next"


async def test_a_stream_number_is_used_once(wire: Wire, handlers: Handlers) -> None:
    wire.send(call(3, b"three"))
    wire.send(call(3, b"again"))
    wire.send(call(1, b"before"))

    assert handlers.asked == [b"three"]
    assert not wire.answer(1).fields
    assert wire.answer(3).message == b"three"


@pytest.mark.parametrize(
    ("garbage", "says"),
    [
        (b"GET / HTTP/1.1\r\nhost: here\r\n\r\n", b"HTTP/1.1 505 "),
        (b"POST /test.Echo/Echo HTTP/1.0\r\n\r\n", b"HTTP/1.1 505 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), None),
        (bytes(1000), None),
        (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", None),
    ],
)
async def test_what_is_not_http2_is_told_so(
    shared: Shared, garbage: bytes, says: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire(Connection(shared))
    greeting = len(wire.raw)

    wire.send(garbage)
    await turn()

    assert wire.closing
    assert len(caplog.records) == 1
    if says:
        assert wire.raw[greeting:].startswith(says)
    else:
        assert wire.goaway_code() == PROTOCOL_ERROR


# -- the end -----------------------------------------------------------------------------------------------------------


def _pong(wire: Wire) -> bytes:
    (payload,) = [payload for kind, _, _, payload in wire.reader.frames if kind == peer.PING]
    return frame(peer.PING, payload, flags=peer.ACK)


async def test_a_drain_waits_for_what_runs_and_takes_what_crosses_it(wire: Wire, handlers: Handlers) -> None:
    wire.send(call(1, b"", path="/test.Echo/Hold"))

    wire.protocol.drain()
    wire.send(call(3, b"crossed"))
    assert wire.answer(3).message == b"crossed"
    wire.send(_pong(wire))
    assert wire.reader.goaway == (3, peer.NO_ERROR)
    wire.send(call(5, b"too late"))
    assert not wire.answer(5).fields
    assert not wire.closing

    handlers.held[0].set_result(b"held")
    await turn()
    assert wire.answer(1).message == b"held"
    assert wire.closing


async def test_a_stop_says_so_to_every_call(wire: Wire, handlers: Handlers) -> None:
    wire.send(call(1, b"", path="/test.Echo/Slow"), headers(3))
    await turn()

    wire.protocol.stop()
    await turn()

    assert wire.answer(1).status == wire.answer(3).status == framing.UNAVAILABLE
    assert handlers.cancelled == 1
    assert wire.reader.goaway
    assert wire.closing


async def test_a_peer_that_leaves_gets_what_it_asked_for(
    wire: Wire, handlers: Handlers, caplog: pytest.LogCaptureFixture
) -> None:
    wire.send(call(1, b"", path="/test.Echo/Hold"), frame(peer.GOAWAY, bytes(8)))
    assert not wire.closing

    handlers.held[0].set_result(b"held")
    await turn()

    assert wire.answer(1).message == b"held"
    assert wire.closing
    assert not caplog.records


async def test_more_connections_than_allowed_are_hung_up_on_and_others_live(
    handlers: Handlers, caplog: pytest.LogCaptureFixture
) -> None:
    shared = Shared(handlers.table(), Limits(connections=3))
    wires = [Wire(Connection(shared)) for _ in range(10)]
    assert [wire.aborted for wire in wires] == [False] * 3 + [True] * 7
    assert len(caplog.records) == 1

    wires[0].greet()
    wires[0].send(call(1, b"served"))
    assert wires[0].answer(1).message == b"served"
    wires[1].close()
    await turn()
    assert not Wire(Connection(shared)).aborted


async def test_nothing_of_a_connection_outlives_it(handlers: Handlers) -> None:
    """Not even for the collector to find: a flood of connections must not wait for it."""
    shared = Shared(handlers.table(), LIMITS)
    await _lived(shared)
    gc.collect()
    gc.disable()
    try:
        before = _count(Connection)
        for _ in range(5):
            await _lived(shared)
        assert _count(Connection) == before
    finally:
        gc.enable()


async def _lived(shared: Shared) -> None:
    wire = Wire(Connection(shared))
    wire.greet()
    wire.send(call(1, b"x"), call(3, b"", path="/test.Echo/Slow"), headers(5))
    wire.close()
    await turn()
    wire.protocol = None  # type: ignore[assignment]  # as asyncio's own transports do


def _count(kind: type) -> int:
    return sum(isinstance(each, kind) for each in gc.get_objects())
