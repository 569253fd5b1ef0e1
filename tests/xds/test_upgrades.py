"""WebSocket: where it is declared, judged at its handshake, and nowhere else. On a real Envoy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from authz.model.service import Backend, Operation
from authz.xds.replies import NO_UPGRADE
from harness import raw
from harness.dataplane import KEY, Gateway, a_gateway, an_inventory, an_operation
from harness.http import Response
from harness.waiting import until
from harness.websockets import Echo, connected

HOST = "api.example.test"


@dataclass
class Stage:
    echo: Echo
    gateway: Gateway

    def connected(self, path: str) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        return connected(self.gateway.settings.port, path, host=HOST)

    async def upgrade(self, path: str, to: str = "websocket") -> Response:
        """The answer to a handshake."""
        lines = [
            f"GET {path} HTTP/1.1", f"host: {HOST}", "connection: upgrade", f"upgrade: {to}",
            "sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "\r\n",
        ]  # fmt: skip
        return await raw.http1(self.gateway.settings.port, "\r\n".join(lines).encode())


@pytest.fixture
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Echo().serving() as echo, opened(tmp_path_factory.mktemp("w"), echo) as gateway:
        yield Stage(echo, gateway)


def opened(directory: Path, echo: Echo) -> contextlib.AbstractAsyncContextManager[Gateway]:
    inventory = an_inventory(*operations())
    return a_gateway(directory, None, inventory, address=f"http://{echo.address}")  # type: ignore[arg-type]


def operations() -> list[Operation]:
    hasty = Backend(deadline=0.2)
    return [
        an_operation("/plain"),
        an_operation("/talk", websocket=True, backend=hasty),
        an_operation("/guarded", websocket=True, needs=KEY),
        an_operation("/silent", websocket=True, stream_timeout=0.3),
        an_operation("/plain", "POST", backend=hasty),
    ]


async def test_a_declared_socket_is_open_and_outlives_the_deadline(stage: Stage) -> None:
    async with stage.connected("/talk?room=1") as socket:
        for word in ("ab", "cd"):
            await socket.send_str(word)
            assert await socket.receive_str() == word * 2
            await asyncio.sleep(0.3)

    path, headers = stage.echo.seen[-1]
    assert (path, headers["x-endpoint-api-operation-name"]) == ("/talk?room=1", "1.api.GetTalk")


async def test_a_declared_operation_answers_plain_calls_too(stage: Stage) -> None:
    assert (await stage.gateway.get("/talk")).body == b"no upgrade"


@pytest.mark.parametrize("path", ["/plain", "/nothing"])
@pytest.mark.parametrize("to", ["websocket", "WebSocket", "tls/1.0", "h3c"])
async def test_what_is_not_declared_is_refused_with_a_reason(stage: Stage, path: str, to: str) -> None:
    answer = await stage.upgrade(path, to)

    assert (answer.status, answer.json()) == (403, {"code": 403, "message": NO_UPGRADE})
    assert stage.echo.seen == []


async def test_only_websocket_is_declared(stage: Stage) -> None:
    assert (await stage.upgrade("/talk", "tls/1.0")).status == 403
    async with stage.connected("/talk") as socket:
        assert not socket.closed


async def test_check_judges_the_handshake(stage: Stage) -> None:
    sidecar = stage.gateway.sidecar
    sidecar.check = sidecar.deny
    refused = await stage.upgrade("/guarded")
    assert (refused.status, refused.json()["message"]) == (401, 'say "please"')
    assert stage.echo.seen == []

    sidecar.check = sidecar.allow
    async with stage.connected("/guarded") as socket:
        for _ in range(3):
            await socket.send_str("x")
            await socket.receive_str()
    # One question for the whole conversation.
    assert len(sidecar.checks) == 2


async def test_silence_ends_it(stage: Stage) -> None:
    async with stage.connected("/silent") as socket:
        for _ in range(3):
            await asyncio.sleep(0.15)
            await socket.send_str("x")
            await socket.receive_str()
        # Nobody says anything more.
        message = await asyncio.wait_for(socket.receive(), 10)
        assert message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE}


async def test_there_is_no_websocket_over_http2(stage: Stage) -> None:
    """Envoy does not offer it, so clients take HTTP/1.1; one that does not ask first is not heard."""
    request = [
        (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/talk"),
        (":authority", HOST), ("sec-websocket-version", "13"),
    ]  # fmt: skip
    assert await raw.http2(stage.gateway.settings.port, request) == raw.NO_ANSWER

    async def is_well() -> bool:
        return (await stage.gateway.get("/plain")).status == 200

    await until(is_well)
    assert [path for path, _ in stage.echo.seen] == ["/plain"]
