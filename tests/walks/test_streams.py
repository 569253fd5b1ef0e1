"""How long calls may take and streams may be silent, per operation, and WebSocket where a document opens it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
import pytest_asyncio

from authz.admin import deploy, keys
from authz.app import Gateway, wait_live
from authz.model.service import SourceText
from authz.sources.protos.packed import pack
from authz.store.sql import open_store
from authz.xds.replies import NO_UPGRADE
from harness import gateway, http
from harness.grpc_library import LIBRARY, Library, descriptors
from harness.grpc_stage import Callers, encoded, path_of
from harness.waiting import until
from harness.websockets import Echo, connected
from walks.documents import GUARDED, OPEN, document

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST, SOCKETS = "streams.example.test", "sockets.example.test"
SHORT = 0.6
"""Seconds, of a deadline or of a silence."""

SERVICE = f"""
type: google.api.Service
config_version: 3
name: {HOST}
apis:
- name: {LIBRARY}
usage:
  rules:
  - {{selector: "*", allow_unregistered_calls: true}}
backend:
  rules:
  - {{selector: {LIBRARY}.Sleep, deadline: {SHORT}}}
  - {{selector: {LIBRARY}.Swap, deadline: {SHORT}}}
  - {{selector: {LIBRARY}.AddBooks, deadline: {SHORT}}}
"""


def a_document() -> str:
    """One that names an RPC, and says how long its stream may be silent."""
    books = {**OPEN, "x-authz-grpc": f"{LIBRARY}/ListBooks", "x-authz-stream-timeout": SHORT}
    return document(HOST, {"/shelves/{shelf}/books": {"get": books}})


class Stage(Callers):
    running: gateway.Running
    echo: Echo
    key: str


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, transport: str) -> AsyncIterator[Stage]:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        library, echo = await enter(Library().serving()), Echo()
        await enter(echo.serving())
        directory = tmp_path_factory.mktemp("data")
        chosen = gateway.settings(directory, backend=f"grpc://{library.address}", transport=transport)
        store = stack.enter_context(contextlib.closing(open_store(directory)))
        whole = Gateway(chosen, store, tmp_path_factory.mktemp("r"))
        await enter(whole.running())
        proxy = await enter(whole.envoy())
        for sources in (rpcs(), [SourceText("sockets.json", sockets(echo))]):
            await wait_live(store, deploy.deploy(store, sources, now=time.time()))
        await proxy.wait_ready()
        there = Stage(chosen.port, library, HOST)
        there.running = gateway.Running(chosen, store, whole, proxy)
        there.echo, there.key = echo, keys.create(store, "ann", now=time.time()).text
        yield there


def rpcs() -> list[SourceText]:
    packed = pack(descriptors(), ["library/v1/library.proto"])
    return [
        SourceText("library.binpb", packed),
        SourceText("library.yaml", SERVICE),
        SourceText("openapi.json", a_document()),
    ]


def sockets(echo: Echo) -> str:
    backend = {"x-google-backend": {"address": f"http://{echo.address}", "disable_auth": True, "deadline": SHORT}}
    return document(
        SOCKETS,
        {
            "/talk": {"get": {**OPEN, **backend, "schemes": ["ws"]}},
            "/guarded": {"get": {**GUARDED, **backend, "schemes": ["http", "ws"]}},
            "/silent": {"get": {**OPEN, **backend, "schemes": ["wss"], "x-authz-stream-timeout": SHORT}},
            "/plain": {"get": {**OPEN, **backend}},
        },
    )


async def taken(call: Any) -> tuple[int, int]:
    """How many messages came, and with which status it ended."""
    count = 0
    with contextlib.suppress(grpc.aio.AioRpcError):
        async for _ in call:
            count += 1
    return count, (await call.code()).value[0]


# -- one answer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deadline", [None, 60])
async def test_a_call_has_a_deadline_whoever_makes_it(stage: Stage, deadline: float | None) -> None:
    late = encoded("SleepRequest", seconds=20)
    begin = time.monotonic()
    assert (await stage.grpc("Sleep", late, timeout=deadline))[0] == 4
    assert (await stage.web("Sleep", late)).status[0] == 4
    rest = await stage.rest("GET /v1/sleep/20")
    assert (rest.status, rest.json()["code"]) == (504, 504)
    assert time.monotonic() - begin < 10


async def test_a_callers_own_deadline_is_kept_if_it_is_sooner(stage: Stage) -> None:
    late = encoded("SleepRequest", seconds=20)
    assert (await stage.grpc("Sleep", late, timeout=0.1))[0] == 4
    assert (await stage.web("Sleep", late, ("grpc-timeout", "100m"))).status[0] == 4


# -- streams --------------------------------------------------------------------------------------------------------


async def test_a_stream_outlives_every_deadline_while_somebody_speaks(stage: Stage) -> None:
    async with stage.channel() as channel:
        listed = channel.unary_stream(path_of("ListBooks"))(encoded("ListBooksRequest", count=12, pause=SHORT / 8))
        assert await taken(listed) == (12, 0)
        swapped = channel.stream_stream(path_of("Swap"))()
        for _ in range(12):
            await swapped.write(encoded("Book", name="ab"))
            assert await swapped.read() == encoded("Book", name="ba")
            await asyncio.sleep(SHORT / 8)
        await swapped.done_writing()
        assert await swapped.read() is grpc.aio.EOF
        assert await swapped.code() is grpc.StatusCode.OK
    books = await stage.rest(f"GET /shelves/7/books?count=12&pause={SHORT / 8}")
    assert (books.status, len(books.json())) == (200, 12)


async def test_silence_ends_a_stream_and_its_backend_learns_it(stage: Stage) -> None:
    """With a status as long as there was no answer. One that has begun, Envoy can only break off: INTERNAL."""
    stage.library.cancelled.clear()
    async with stage.channel() as channel:
        assert await taken(channel.stream_stream(path_of("Swap"))()) == (0, 4)
        added = channel.stream_unary(path_of("AddBooks"))()
        await added.write(encoded("Book", name="x"))
        assert (await added.code()).value[0] == 4
        listed = channel.unary_stream(path_of("ListBooks"))(encoded("ListBooksRequest", count=2, pause=20))
        assert await taken(listed) == (1, 13)

    async def is_told() -> bool:
        return path_of("ListBooks") in stage.library.cancelled

    await until(is_told)


async def test_silence_ends_a_stream_in_json(stage: Stage) -> None:
    with pytest.raises((asyncio.IncompleteReadError, ValueError)):  # it ends before its last chunk
        await stage.rest("GET /shelves/7/books?count=2&pause=20")


async def test_a_callers_deadline_ends_a_stream_with_its_status(stage: Stage) -> None:
    """The gateway leaves that to both ends, who know how to: neither sees a broken stream."""
    async with stage.channel() as channel:
        call = channel.unary_stream(path_of("ListBooks"))
        assert (await taken(call(encoded("ListBooksRequest", count=99, pause=SHORT / 8), timeout=SHORT * 2)))[1] == 4
    deadline = stage.library.ever[-1].deadline
    assert deadline is not None
    assert 0 < deadline <= SHORT * 2 + 0.1  # a client rounds up


# -- WebSocket ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/talk", "/silent"])
async def test_a_socket_that_a_document_declares_is_open(stage: Stage, path: str) -> None:
    async with connected(stage.port, path, host=SOCKETS) as socket:
        for _ in range(12):
            await socket.send_str("ab")
            assert await socket.receive_str() == "abab"
            await asyncio.sleep(SHORT / 8)


async def test_a_handshake_is_judged(stage: Stage) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with connected(stage.port, "/guarded", host=SOCKETS):
            pass
    assert caught.value.status == 401
    async with connected(stage.port, "/guarded", [("x-api-key", stage.key)], host=SOCKETS) as socket:
        await socket.send_str("x")
        assert await socket.receive_str() == "xx"


async def test_other_operations_are_not_open(stage: Stage) -> None:
    upgrade = [
        ("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]  # fmt: skip
    for path in ("/plain", "/nothing"):
        answer = await http.fetch(stage.port, "GET", path, upgrade, host=SOCKETS)
        assert (answer.status, answer.json()["message"]) == (403, NO_UPGRADE)


async def test_silence_ends_a_socket(stage: Stage) -> None:
    async with connected(stage.port, "/silent", host=SOCKETS) as socket:
        message = await asyncio.wait_for(socket.receive(), 10)
        assert message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE}
