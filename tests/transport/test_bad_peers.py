"""Peers that send what they like or nothing at all, on every transport.

They get an answer or a clean close, whoever else is there is served, and nothing of them stays. The log is asserted for
our own transport; grpcio's C core has one of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import resource
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from grpc import aio

from authz.tls import Tls
from authz.transport.base import Handlers, Transport
from authz.transport.grpcio import GrpcioTransport
from authz.transport.limits import Limits
from authz.transport.nghttp2 import Nghttp2Transport
from harness.tls import Authority
from harness.waiting import until
from transport import peer
from transport.peer import Reader

ECHO, LARGE = "/test.Echo/Echo", "/test.Echo/Large"
HANDLERS: Handlers = {ECHO: lambda data: data, LARGE: lambda _: bytes(50_000)}
MANY = 10_000
GREETING = peer.PREFACE + peer.frame(peer.SETTINGS)


@pytest.fixture(params=[Nghttp2Transport, GrpcioTransport], ids=["nghttp2", "grpcio"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    async with serving(request.param(HANDLERS, "127.0.0.1:0")) as server:
        yield server


@contextlib.asynccontextmanager
async def serving(server: Transport) -> AsyncIterator[Transport]:
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


async def echoed(server: Transport, message: bytes) -> bytes:
    async with aio.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        return await channel.unary_unary(ECHO)(message, timeout=10, wait_for_ready=True)


@contextlib.asynccontextmanager
async def connected(
    server: Transport, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    try:
        yield reader, writer
    finally:
        if tls:
            writer.transport.abort()  # or it waits half a minute for a last word that grpcio never says
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What is said until the other side closes; a reset counts as that."""
    said = b""
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(65536):
                said += part
    return said


def memory() -> int:
    """Bytes that this process holds; what is free, and only kept by the C library, does not count."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def hung_up(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "hung up" in record.message]


async def nobody_is_left(server: Transport) -> None:
    if isinstance(server, Nghttp2Transport):
        await until(lambda: not server.open_connections)
        assert server._shared.held == 0


# -- what is no HTTP/2 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("garbage", "why"),
    [
        (b"GET / HTTP/1.1\r\nhost: here\r\n\r\n", "speaks HTTP/1"),
        (b"POST /test.Echo/Echo HTTP/1.0\r\ncontent-length: 3\r\n\r\nabc", "speaks HTTP/1"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 500, "does not speak HTTP/2"),
        (bytes(100_000), "does not speak HTTP/2"),
        (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "does not speak HTTP/2"),
        (GREETING + b"\xff" * 1000, "broke the rules of HTTP/2"),
    ],
    ids=["HTTP/1.1", "HTTP/1.0", "TLS", "zeros", "half a greeting", "no frames"],
)
async def test_what_is_no_http2_is_closed_and_others_are_served(
    server: Transport, garbage: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = 0
    for _ in range(3):
        for _again in range(100):
            async with connected(server) as (reader, writer):
                writer.write(garbage)
                await all_of(reader)
        before = before or memory()
    assert memory() - before < 4_000_000
    assert await echoed(server, b"unharmed") == b"unharmed"

    await nobody_is_left(server)
    if isinstance(server, Nghttp2Transport):
        (line,) = hung_up(caplog)
        assert why in line


@pytest.mark.parametrize("said", [b"", peer.PREFACE[:9], GREETING, GREETING + peer.headers(1)])
async def test_a_connection_closed_from_one_side_is_closed_from_the_other(server: Transport, said: bytes) -> None:
    async with connected(server) as (reader, writer):
        writer.write(said)
        writer.write_eof()
        await all_of(reader)

    assert await echoed(server, b"unharmed") == b"unharmed"
    await nobody_is_left(server)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\xff" + b"\xff" * 255])
@pytest.mark.parametrize("kind", [Nghttp2Transport, GrpcioTransport], ids=["nghttp2", "grpcio"])
async def test_a_peer_without_tls_is_closed_and_others_are_served(
    kind: type[Nghttp2Transport | GrpcioTransport], said: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    server_leaf, own = authority.leaf("server", "127.0.0.1"), authority.leaf("client")
    tls = Tls(str(server_leaf.cert), str(server_leaf.key), str(authority.cert))
    known = ssl.create_default_context(cafile=str(authority.cert))
    known.load_cert_chain(own.cert, own.key)
    known.set_alpn_protocols(["h2"])
    async with serving(kind(HANDLERS, "127.0.0.1:0", tls=tls)) as server:
        for _ in range(20):
            async with connected(server) as (reader, writer):
                writer.write(said)
                writer.write_eof()
                await all_of(reader)
        async with connected(server, known) as (reader, writer):
            writer.write(GREETING + peer.call(1, b"unharmed"))
            assert (await answer_of(reader, 1)).message == b"unharmed"

        if kind is Nghttp2Transport:
            await until(lambda: gc.collect() * 0 + len(hung_up(caplog)))
            assert "TLS handshake" in hung_up(caplog)[0]
            assert len(hung_up(caplog)) == 1


# -- requests ---------------------------------------------------------------------------------------------------------


async def answer_of(reader: asyncio.StreamReader, stream: int) -> peer.Answer:
    told = Reader()
    async with asyncio.timeout(20):
        while not (told.answers.get(stream) and (told.answers[stream].ended or told.answers[stream].reset is not None)):
            part = await reader.read(65536)
            assert part, "closed without an answer"
            told.feed(part)
    return told.answers[stream]


TOO_MUCH = b"\0" + (300 * 1024).to_bytes(4, "big")


@pytest.mark.parametrize(
    "body",
    [b"", b"\0", peer.message(b"abc")[:-1], peer.message(b"abc") * 2, TOO_MUCH + bytes(10_000), b"\0\xff\xff\xff\xff"],
    ids=["nothing", "half a prefix", "a byte short", "two", "too long", "4 GiB announced"],
)
async def test_a_body_that_is_not_one_message_ends_its_call_only(server: Transport, body: bytes) -> None:
    async with connected(server) as (reader, writer):
        writer.write(GREETING + peer.headers(1) + peer.data(1, body) + peer.call(3, b"next"))
        told = await answer_of(reader, 3)
        assert told.message == b"next"

    await nobody_is_left(server)


async def test_a_call_that_is_cut_off_leaves_nothing(server: Transport) -> None:
    for _ in range(3):
        async with connected(server) as (_, writer):
            part = peer.message(bytes(200_000))[:16_000]
            writer.write(GREETING + b"".join(peer.headers(n) + peer.data(n, part, end=False) for n in (1, 3, 5)))
            await writer.drain()

    assert await echoed(server, b"unharmed") == b"unharmed"
    await nobody_is_left(server)


async def test_a_peer_that_never_reads_does_not_keep_the_others_waiting_nor_fill_memory(server: Transport) -> None:
    host, _, port = server.address.rpartition(":")
    before = memory()
    with socket.create_connection((host, int(port))) as deaf:
        deaf.setblocking(False)
        # Windows as wide as they can be, so that nothing but the socket holds the answers back.
        wide = peer.frame(peer.SETTINGS, b"\0\4\x7f\xff\xff\xff")
        wide += peer.frame(peer.WINDOW_UPDATE, (2**31 - 1 - 65535).to_bytes(4, "big"))
        await _ask_until_refused(deaf, peer.PREFACE + wide)

        assert memory() - before < 150_000_000
        assert await echoed(server, b"meanwhile") == b"meanwhile"


async def _ask_until_refused(deaf: socket.socket, out: bytes) -> None:
    """Ask for large answers, 500 MB of them, without reading one, or until the server takes no more."""
    loop = asyncio.get_running_loop()
    for stream in range(1, 20_001, 200):
        out += b"".join(peer.call(stream + 2 * n, b"", path=LARGE) for n in range(100))
        try:
            async with asyncio.timeout(1):
                await loop.sock_sendall(deaf, out)
        except (TimeoutError, ConnectionError):
            return
        out = b""


# -- crowds -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def files() -> Iterator[int]:
    """How many connections this machine's limit of files allows; the limit is raised for the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield MANY if hard == resource.RLIM_INFINITY else min(MANY, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.asynccontextmanager
async def a_crowd(server: Transport, count: int) -> AsyncIterator[tuple[int, int]]:
    """So many connections at once: how many were greeted, and how many turned away."""
    host, _, port = server.address.rpartition(":")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).parent / "crowd.py"), host, port, str(count),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    try:
        async with asyncio.timeout(60):
            greeted, turned_away = (await process.stdout.readline()).split()
        yield int(greeted), int(turned_away)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("kind", [Nghttp2Transport, GrpcioTransport], ids=["nghttp2", "grpcio"])
async def test_ten_thousand_connections_are_held_where_they_may_be(
    kind: type[Nghttp2Transport | GrpcioTransport], files: int
) -> None:
    server = (
        Nghttp2Transport(HANDLERS, "127.0.0.1:0", limits=Limits(connections=MANY + 10))
        if kind is Nghttp2Transport
        else GrpcioTransport(HANDLERS, "127.0.0.1:0")
    )
    async with serving(server):
        for _ in range(2):
            before = memory()  # the second time: with what allocators keep for the next such crowd
            async with a_crowd(server, files) as told:
                assert told == (files, 0)
                assert await echoed(server, b"among them") == b"among them"
            await nobody_is_left(server)
        # A third of what they take while they are there.
        await until(lambda: memory() - before < 50_000_000, pause=0.2)


async def test_ten_thousand_connections_too_many_are_turned_away_with_one_line(
    files: int, caplog: pytest.LogCaptureFixture
) -> None:
    server = Nghttp2Transport(HANDLERS, "127.0.0.1:0", limits=Limits(connections=1000))
    used = []
    async with serving(server):
        for _ in range(2):
            async with a_crowd(server, files) as told:
                assert told == (1000, files - 1000)
                assert server.open_connections == 1000
            await nobody_is_left(server)
            assert await echoed(server, b"and then") == b"and then"
            used.append(memory())

    assert used[1] - used[0] < 4_000_000
    with caplog.at_level(logging.WARNING):
        (line,) = hung_up(caplog)
    assert "too many connections" in line
