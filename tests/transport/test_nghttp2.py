"""The fast transport over real sockets, against real clients: grpcio's, h2load, and sockets that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import uvloop
from grpc import aio

from authz.tls import Tls
from authz.transport.limits import Limits
from authz.transport.nghttp2 import Nghttp2Transport
from harness.tls import Authority
from harness.waiting import until
from transport import peer
from transport.peer import Reader

ECHO = "/test.Echo/Echo"
HOLD = "/test.Echo/Hold"


LARGE = "/test.Echo/Large"


class Counting(Nghttp2Transport):
    """`answered` counts the large answers."""

    answered = 0


@contextlib.asynccontextmanager
async def serving(
    address: str = "127.0.0.1:0", *, limits: Limits | None = None, tls: Tls | None = None
) -> AsyncIterator[Counting]:
    async def hold(_: bytes) -> bytes:
        return await asyncio.get_running_loop().create_future()

    def large(_: bytes) -> bytes:
        server.answered += 1
        return bytes(50_000)

    handlers = {ECHO: lambda data: data, HOLD: hold, LARGE: large}
    server = Counting(handlers, address, limits=limits, tls=tls)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


async def raw(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What is said until the other side closes; a reset counts as that."""
    said = b""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(65536):
                said += part
    return said


async def echoed(address: str, message: bytes = b"x") -> bytes:
    async with aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        return await channel.unary_unary(ECHO)(message, timeout=5, wait_for_ready=True)


# -- other clients ----------------------------------------------------------------------------------------------------


async def test_a_client_that_compresses_is_refused_with_a_reason() -> None:
    async with serving() as server, aio.insecure_channel(server.address) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary(ECHO)(b"x" * 1000, compression=grpc.Compression.Gzip)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "compressed" in (caught.value.details() or "")


def test_it_serves_on_uvloop_too() -> None:
    async def talk() -> None:
        async with serving() as server:
            reader, writer = await raw(server.address)
            writer.write(peer.PREFACE + peer.frame(peer.SETTINGS) + peer.call(1, b"x" * 100) + peer.headers(3))
            writer.write(peer.call(5, b"", path=HOLD))
            told = Reader()
            while not told.answers.get(1, peer.Answer()).ended:
                told.feed(await reader.read(65536))
            assert told.answers[1].message == b"x" * 100
            await server.stop(0)
            told.feed(await all_of(reader))
            assert told.answers[5].status == told.answers[3].status == 14
            writer.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(talk(), 20))


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_tls_and_client_certificates(authority: Authority) -> None:
    server_leaf, client_leaf = authority.leaf("server", "localhost"), authority.leaf("client", "client")
    tls = Tls(str(server_leaf.cert), str(server_leaf.key), str(authority.cert))
    roots = authority.cert.read_bytes()
    known = grpc.ssl_channel_credentials(roots, client_leaf.key.read_bytes(), client_leaf.cert.read_bytes())
    async with serving("localhost:0", tls=tls) as server:
        async with aio.secure_channel(server.address, known) as channel:
            assert await channel.unary_unary(ECHO)(b"hello", timeout=5) == b"hello"
        async with aio.secure_channel(server.address, grpc.ssl_channel_credentials(roots)) as channel:
            with pytest.raises(aio.AioRpcError) as caught:
                await channel.unary_unary(ECHO)(b"hello", timeout=5)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("protocols", [[], ["http/1.1"]])
async def test_a_tls_peer_that_does_not_choose_http2_is_hung_up_on(
    authority: Authority, protocols: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    leaf = authority.leaf("server", "localhost")
    client = ssl.create_default_context(cafile=str(authority.cert))
    if protocols:
        client.set_alpn_protocols(protocols)
    async with serving("localhost:0", tls=Tls(str(leaf.cert), str(leaf.key))) as server:
        port = int(server.address.rpartition(":")[2])
        with contextlib.suppress(OSError):  # some versions refuse in the handshake, some close after it
            reader, writer = await asyncio.open_connection("localhost", port, ssl=client)
            assert await all_of(reader) == b""
            writer.close()


# -- peers that misbehave ---------------------------------------------------------------------------------------------


async def test_a_peer_that_never_reads_neither_fills_memory_nor_stops_the_others() -> None:
    async with serving() as server:
        host, _, port = server.address.rpartition(":")
        with socket.create_connection((host, int(port))) as deaf:
            deaf.setblocking(False)
            # Windows as wide as they can be, so that nothing but the socket holds the answers back.
            wide = peer.frame(peer.SETTINGS, b"\0\4\x7f\xff\xff\xff")
            wide += peer.frame(peer.WINDOW_UPDATE, (2**31 - 1 - 65535).to_bytes(4, "big"))
            asked = await _ask_until_refused(deaf, peer.PREFACE + wide)

            assert server.answered < asked / 10
            assert await echoed(server.address, b"meanwhile") == b"meanwhile"


async def _ask_until_refused(deaf: socket.socket, out: bytes) -> int:
    """Ask for large answers without reading one until the server takes no more; how many were asked for."""
    loop, stream = asyncio.get_running_loop(), 1
    while True:
        out += b"".join(peer.call(stream + 2 * n, b"", path=LARGE) for n in range(100))
        try:
            async with asyncio.timeout(1):
                await loop.sock_sendall(deaf, out)
        except TimeoutError:
            return stream // 2
        stream, out = stream + 200, b""


# -- the end ----------------------------------------------------------------------------------------------------------


async def test_a_stop_with_time_ends_at_once_where_nothing_runs() -> None:
    async with serving() as server:
        async with aio.insecure_channel(server.address) as channel:
            await channel.unary_unary(ECHO)(b"x")

            async with asyncio.timeout(5):
                await server.stop(60)

        with pytest.raises(OSError):
            await raw(server.address)


@pytest.mark.parametrize("said", [b"", peer.PREFACE + peer.frame(peer.SETTINGS)])
async def test_a_stop_does_not_wait_for_a_peer_that_says_nothing(said: bytes) -> None:
    async with serving() as server:
        reader, writer = await raw(server.address)
        writer.write(said)
        await until(lambda: server.open_connections == 1)

        async with asyncio.timeout(5):
            await server.stop(0.1)

        told = Reader()
        told.feed(await all_of(reader))
        assert told.goaway
        writer.close()


async def test_connections_are_looked_after_once_a_second() -> None:
    async with serving(limits=Limits(greeting=0)) as server:
        reader, writer = await raw(server.address)

        await all_of(reader)

        assert not server.open_connections
        writer.close()
