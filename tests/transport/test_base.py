"""What every transport promises, whatever it is made of. A further one joins by a line in TRANSPORTS."""

from __future__ import annotations

import asyncio
import logging
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2

from authz.errors import Code, Refusal, StateError
from authz.transport.base import Handlers, Transport
from authz.transport.grpcio import GrpcioTransport
from authz.transport.nghttp2 import Nghttp2Transport

TRANSPORTS = [GrpcioTransport, Nghttp2Transport]

ECHO = "/test.Echo/Echo"
LATER = "/test.Echo/Later"
REFUSE = "/test.Echo/Refuse"
REFUSE_LATER = "/test.Echo/RefuseLater"
BREAK = "/test.Echo/Break"
HOLD = "/test.Echo/Hold"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
HEALTH = "/grpc.health.v1.Health/Check"
LARGEST = 256 * 1024


class Echo:
    """Handlers of every kind; `hold` answers when `gate` is opened and tells when it was entered or cancelled."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.cancelled = asyncio.Event()

    def handlers(self) -> Handlers:
        return {
            ECHO: lambda data: data,
            LATER: self.later,
            REFUSE: self.refuse,
            REFUSE_LATER: self.refuse_later,
            BREAK: lambda data: data[:1] + 1,
            HOLD: self.hold,
        }

    async def later(self, data: bytes) -> bytes:
        await asyncio.sleep(0)
        return data[::-1]

    def refuse(self, data: bytes) -> bytes:
        raise Refusal(Code(data[0]), "not today")

    def refuse_later(self, data: bytes) -> Awaitable[bytes]:
        async def wait() -> bytes:
            await asyncio.sleep(0)
            return self.refuse(data)

        return wait()

    async def hold(self, data: bytes) -> bytes:
        self.entered.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return data


Make = Callable[[Handlers, str], Transport]


@pytest.fixture(params=TRANSPORTS, ids=lambda kind: kind.__name__)
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


@pytest.fixture(params=["tcp", "unix"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "127.0.0.1:0" if request.param == "tcp" else f"unix:{tmp_path / 's'}"


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def server(make: Make, where: str, echo: Echo) -> AsyncIterator[Transport]:
    transport = make(echo.handlers(), where)
    await transport.start()
    yield transport
    await transport.stop(0)


@asynccontextmanager
async def channel_to(address: str) -> AsyncIterator[aio.Channel]:
    # Nothing is shared between channels, so that each test's connection is its own.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    async with aio.insecure_channel(address, options=options) as channel:
        yield channel


@pytest.fixture
async def channel(server: Transport) -> AsyncIterator[aio.Channel]:
    async with channel_to(server.address) as channel:
        yield channel


async def failure(call: Awaitable[bytes]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


@pytest.mark.parametrize("message", [b"", b"\x00", b"hello", bytes(range(256)) * 512])
async def test_a_message_comes_back_byte_for_byte(channel: aio.Channel, message: bytes) -> None:
    assert await channel.unary_unary(ECHO)(message) == message


async def test_a_handler_may_answer_later(channel: aio.Channel) -> None:
    assert await channel.unary_unary(LATER)(b"abc") == b"cba"


async def test_the_largest_message_passes_and_one_byte_more_does_not(channel: aio.Channel) -> None:
    echo = channel.unary_unary(ECHO)

    assert await echo(b"x" * LARGEST) == b"x" * LARGEST
    assert (await failure(echo(b"x" * (LARGEST + 1))))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await echo(b"still here") == b"still here"


@pytest.mark.parametrize(
    "method", ["/test.Echo/Nothing", "/other.Service/Echo", "/test.Echo", "/grpc.health.v1.Health/Watch"]
)
async def test_an_unknown_method_is_unimplemented(channel: aio.Channel, method: str) -> None:
    assert (await failure(channel.unary_unary(method)(b"")))[0] is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("method", [REFUSE, REFUSE_LATER])
@pytest.mark.parametrize("code", list(Code))
async def test_a_refusal_ends_the_call_with_its_status(channel: aio.Channel, method: str, code: Code) -> None:
    status, message = await failure(channel.unary_unary(method)(bytes([code])))

    assert status.value[0] == code
    assert message == "not today"


async def test_an_exception_is_logged_and_tells_the_caller_nothing(
    channel: aio.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        status, message = await failure(channel.unary_unary(BREAK)(b"x"))

    assert status is grpc.StatusCode.INTERNAL
    assert "TypeError" not in message
    assert BREAK in caplog.text
    assert "TypeError" in caplog.text
    assert await channel.unary_unary(ECHO)(b"next") == b"next"


async def test_many_calls_at_once_get_their_own_answers(channel: aio.Channel) -> None:
    messages = [str(number).encode() for number in range(300)]

    echoed = await asyncio.gather(*map(channel.unary_unary(ECHO), messages))
    turned = await asyncio.gather(*map(channel.unary_unary(LATER), messages))

    assert echoed == messages
    assert turned == [message[::-1] for message in messages]


async def test_a_call_past_its_deadline_is_cancelled_on_both_sides(channel: aio.Channel, echo: Echo) -> None:
    status, _ = await failure(channel.unary_unary(HOLD)(b"", timeout=0.2))

    assert status is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(echo.cancelled.wait(), 5)


async def test_a_caller_who_goes_away_cancels_the_call(channel: aio.Channel, echo: Echo) -> None:
    call = channel.unary_unary(HOLD)(b"")
    await asyncio.wait_for(echo.entered.wait(), 5)

    call.cancel()

    await asyncio.wait_for(echo.cancelled.wait(), 5)


async def test_health_is_served_for_the_server_and_each_service(channel: aio.Channel) -> None:
    check = channel.unary_unary(
        HEALTH,
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )

    for service in ("", "test.Echo"):
        reply = await check(health_pb2.HealthCheckRequest(service=service))
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
    assert (await failure(check(health_pb2.HealthCheckRequest(service="x"))))[0] is grpc.StatusCode.NOT_FOUND


async def test_a_stop_lets_running_calls_end_and_takes_no_new_ones(
    server: Transport, channel: aio.Channel, echo: Echo
) -> None:
    running = asyncio.ensure_future(_result(channel.unary_unary(HOLD)(b"held")))
    await asyncio.wait_for(echo.entered.wait(), 5)

    stopping = asyncio.ensure_future(server.stop(10))
    await _until_refused(channel)
    echo.gate.set()

    assert await running == b"held"
    await asyncio.wait_for(stopping, 5)


async def test_a_stop_ends_calls_that_outlast_its_grace(server: Transport, channel: aio.Channel, echo: Echo) -> None:
    running = asyncio.ensure_future(failure(channel.unary_unary(HOLD)(b"held")))
    await asyncio.wait_for(echo.entered.wait(), 5)

    await asyncio.wait_for(server.stop(0.1), 5)

    assert (await running)[0] in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


async def test_a_stopped_server_leaves_its_address_free(server: Transport, make: Make, echo: Echo) -> None:
    await server.stop(0)
    await server.stop(0)

    again = make(echo.handlers(), server.address)
    await again.start()
    async with channel_to(again.address) as channel:
        assert await channel.unary_unary(ECHO)(b"again", wait_for_ready=True, timeout=5) == b"again"
    await again.stop(0)


async def test_stopping_what_never_started_does_nothing(make: Make, where: str) -> None:
    await make({}, where).stop(0)


async def test_an_address_in_use_is_named_with_the_remedy(server: Transport, make: Make, echo: Echo) -> None:
    second = make(echo.handlers(), server.address)

    with pytest.raises(StateError) as caught:
        await second.start()

    assert server.address in caught.value.message
    assert "choose another" in caught.value.remedy
    async with channel_to(server.address) as channel:
        assert await channel.unary_unary(ECHO)(b"unharmed") == b"unharmed"


async def test_a_free_port_is_told(make: Make) -> None:
    transport = make({}, "127.0.0.1:0")
    await transport.start()

    host, _, port = transport.address.rpartition(":")

    assert host == "127.0.0.1"
    assert int(port) > 0
    await transport.stop(0)


async def test_a_socket_is_its_owners_only_and_goes_with_the_server(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "s"
    transport = make({}, f"unix:{path}")

    await transport.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    await transport.stop(0)
    assert not path.exists()


async def test_a_socket_that_a_dead_process_left_is_replaced(make: Make, tmp_path: Path, echo: Echo) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))

    transport = make(echo.handlers(), f"unix:{tmp_path / 's'}")
    await transport.start()
    async with channel_to(transport.address) as channel:
        assert await channel.unary_unary(ECHO)(b"alive") == b"alive"
    await transport.stop(0)


async def test_a_socket_whose_queue_is_full_is_served_by_somebody(make: Make, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(path)
        busy.listen(0)
        first.connect(path)

        with pytest.raises(StateError, match="Another process serves"):
            await make({}, f"unix:{path}").start()


@pytest.mark.parametrize("path", ["missing/s", "file", "file/s", "s" * 120])
async def test_a_path_that_cannot_be_a_socket_is_named(make: Make, tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("precious")

    with pytest.raises(StateError) as caught:
        await make({}, f"unix:{tmp_path / path}").start()

    assert path in caught.value.message
    assert caught.value.remedy
    assert (tmp_path / "file").read_text() == "precious"


async def test_an_idle_connection_may_be_pinged_at_any_rate(server: Transport) -> None:
    reader, writer = await _connect(server.address)
    writer.write(PREFACE + frame(SETTINGS, b""))

    seen = set()
    async with asyncio.timeout(5):
        for number in range(20):
            writer.write(frame(PING, number.to_bytes(8, "big")))
            while (kind := await _next_frame(reader)) != PING:
                seen.add(kind)
    writer.close()
    await writer.wait_closed()

    assert GOAWAY not in seen


def frame(kind: int, payload: bytes) -> bytes:
    """An HTTP/2 frame of stream 0 without flags (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + bytes(4) + payload


async def _next_frame(reader: asyncio.StreamReader) -> int:
    header = await reader.readexactly(9)
    await reader.readexactly(int.from_bytes(header[:3], "big"))
    return header[3]


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith("unix:"):
        return await asyncio.open_unix_connection(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def _result(call: Awaitable[bytes]) -> bytes:
    return await call


async def _until_refused(channel: aio.Channel) -> None:
    """A stop is under way as soon as a new call fails; how soon is the transport's affair."""
    async with asyncio.timeout(5):
        while True:
            try:
                await channel.unary_unary(ECHO)(b"")
            except aio.AioRpcError:
                return
            await asyncio.sleep(0.01)
