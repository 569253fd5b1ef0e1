"""The library behind a real Envoy, and three kinds of callers: gRPC, gRPC-Web, JSON."""

from __future__ import annotations

import base64
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from authz.model.inventory import Inventory, LiveConfig, LiveService
from authz.model.service import Operation, ServiceConfig
from harness.dataplane import Gateway, a_gateway
from harness.grpc_library import LIBRARY, Library, descriptors, message, operations
from harness.http import Headers, Response, fetch

HOST = "library.example.test"


def a_config(
    found: Iterable[Operation] = (), *, descriptor_set: bytes = b"", config: str = "2026-01-01r0", name: str = HOST
) -> ServiceConfig:
    descriptor_set = descriptor_set or descriptors()
    found = tuple(found) or operations(descriptor_set)
    return ServiceConfig(name, operations=found, id=config, descriptors=descriptor_set)


def live(*configs: ServiceConfig | tuple[ServiceConfig, float]) -> Inventory:
    """One service with these configs; a config by itself has the whole share."""
    shares = [one if isinstance(one, tuple) else (one, 100.0) for one in configs]
    return Inventory(1, (LiveService(shares[0][0].name, tuple(LiveConfig(*one) for one in shares)),))


@dataclass
class WebAnswer:
    """What a gRPC-Web client makes of an answer."""

    http: int
    messages: list[bytes]
    trailers: dict[str, str]

    @property
    def status(self) -> tuple[int, str]:
        return int(self.trailers["grpc-status"]), self.trailers.get("grpc-message", "")


@dataclass
class Callers:
    """Callers of one gateway's port."""

    port: int
    library: Library
    host: str = HOST

    async def rest(self, line: str, body: Any = None, *headers: tuple[str, str]) -> Response:
        """`GET /v1/shelves/1`; a body that is not bytes is sent as JSON."""
        self.library.seen.clear()
        method, path = line.split()
        sent: Headers = list(headers)
        if body is not None and not any(name == "content-type" for name, _ in sent):
            sent.append(("content-type", "application/json"))
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return await fetch(self.port, method, path, sent, raw, host=self.host)

    async def web(
        self, rpc: str, request: bytes = b"", *headers: tuple[str, str], text: bool = False, frames: int = 1
    ) -> WebAnswer:
        """One call in gRPC-Web, binary or text. `rpc` is a method of the library, or a path."""
        self.library.seen.clear()
        kind = "application/grpc-web-text" if text else "application/grpc-web+proto"
        body = (b"\0" + struct.pack(">I", len(request)) + request) * frames
        sent = [("content-type", kind), ("accept", kind), ("x-grpc-web", "1"), *headers]
        answer = await fetch(
            self.port, "POST", path_of(rpc), sent, base64.b64encode(body) if text else body, host=self.host
        )
        assert (answer.header("content-type") or "").startswith("application/grpc-web"), answer
        return _web(answer, text=text)

    @contextlib.asynccontextmanager
    async def channel(self, **options: Any) -> AsyncIterator[grpc.aio.Channel]:
        chosen = {"grpc.default_authority": self.host, "grpc.enable_retries": 0, **options}
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=list(chosen.items())) as channel:
            yield channel

    async def grpc(self, rpc: str, request: bytes = b"", **more: Any) -> tuple[int, str]:
        """The status and message of one unary call in gRPC."""
        self.library.seen.clear()
        async with self.channel() as channel:
            try:
                await channel.unary_unary(path_of(rpc))(request, **more)
            except grpc.aio.AioRpcError as error:
                return error.code().value[0], error.details() or ""
            return 0, ""


def path_of(rpc: str) -> str:
    return rpc if rpc.startswith("/") else f"/{LIBRARY}/{rpc}"


def encoded(kind: str, **fields: Any) -> bytes:
    return bytes(message(kind, **fields).SerializeToString())


def _web(answer: Response, *, text: bool) -> WebAnswer:
    body = answer.body
    if text:
        # Each chunk is padded by itself.
        chunks = body.replace(b"=", b"= ").replace(b"= = ", b"== ").split()
        body = b"".join(base64.b64decode(chunk) for chunk in chunks)
    messages, trailers = [], {name: value for name, value in answer.headers if name.startswith("grpc-")}
    while body:
        flag, size = body[0], struct.unpack(">I", body[1:5])[0]
        frame, body = body[5 : 5 + size], body[5 + size :]
        if flag & 0x80:
            trailers |= dict(line.split(":", 1) for line in frame.decode().splitlines())
        else:
            messages.append(frame)
    return WebAnswer(answer.status, messages, trailers)


@dataclass
class Stage(Callers):
    """Callers, and the gateway with a sidecar that says what a test wants."""

    gateway: Gateway | None = None

    @property
    def sidecar(self) -> Any:
        assert self.gateway
        return self.gateway.sidecar


@contextlib.asynccontextmanager
async def a_stage(
    directory: Path, inventory: Inventory | None = None, *, at: str = "http://{}", **settings: Any
) -> AsyncIterator[Stage]:
    async with Library().serving() as library:
        given = inventory or live(a_config())
        async with a_gateway(directory, library, given, address=at.format(library.address), **settings) as gateway:  # type: ignore[arg-type]
            yield Stage(gateway.settings.port, library, given.services[0].name, gateway)
