"""A raw HTTP/1.1 client and a recording upstream: what is sent and seen is exact to the byte."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events

Headers = list[tuple[str, str]]


@dataclass
class Response:
    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        values = self.all(name)
        return ", ".join(values) if values else None

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Request:
    method: str
    path: str
    headers: Headers
    body: bytes = b""
    version: str = "HTTP/1.1"

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        values = self.all(name)
        return ", ".join(values) if values else None


async def read_message(reader: asyncio.StreamReader, *, bodiless: bool = False) -> tuple[str, Headers, bytes]:
    """One HTTP/1.1 message: start line, headers, body (Content-Length, chunked, or until the end)."""
    head = await reader.readuntil(b"\r\n\r\n")
    start, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    values = {name.lower(): value for name, value in headers}
    body = b""
    if bodiless:
        return start, headers, body
    if values.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    elif "content-length" in values:
        body = await reader.readexactly(int(values["content-length"]))
    elif start.startswith("HTTP/"):
        body = await reader.read()
    return start, headers, body


async def fetch(
    port: int,
    method: str,
    path: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    *,
    host: str = "localhost",
    tls: ssl.SSLContext | None = None,
    timeout: float = 30,  # noqa: ASYNC109 - a test that waits for ever says nothing
    source: str | None = None,
) -> Response:
    """Send one request exactly as given and read the answer. `source` is the loopback address to call from."""
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            port,
            ssl=tls,
            server_hostname="localhost" if tls else None,
            local_addr=(source, 0) if source else None,
        )
        try:
            lines = [f"{method} {path} HTTP/1.1"]
            given = [*headers]
            if not any(name.lower() == "host" for name, _ in given):
                lines.append(f"host: {host}")
            lines += [f"{name}: {value}" for name, value in given]
            lines.append("connection: close")
            if body is not None:
                lines.append(f"content-length: {len(body)}")
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b""))
            await writer.drain()
            start, got, content = await read_message(reader, bodiless=method == "HEAD")
            status = int(start.split()[1])
            return Response(status, got, content)
        finally:
            writer.close()


Answer = Callable[[Request], Response | Awaitable[Response]]


class Upstream:
    """A recording server on a free loopback port. `seen` holds requests in order of arrival.

    It speaks HTTP/1.1, and HTTP/2 where TLS agrees on it or `http2` says so.
    """

    def __init__(self, answer: Answer | None = None, *, tls: ssl.SSLContext | None = None, http2: bool = False) -> None:
        self.answer: Answer = answer or (lambda _: Response(200, [("content-type", "application/json")], b"{}"))
        self.seen: list[Request] = []
        self._tls = tls
        self._http2 = http2
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Upstream:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        tls = writer.get_extra_info("ssl_object")
        try:
            if self._http2 or (tls is not None and tls.selected_alpn_protocol() == "h2"):
                await self._serve_http2(reader, writer)
                return
            while True:
                start, headers, body = await read_message(reader)
                method, path, _ = start.split(" ", 2)
                request = Request(method, path, headers, body)
                self.seen.append(request)
                answer = self.answer(request)
                response = answer if isinstance(answer, Response) else await answer
                writer.write(_bytes(response, head=method == "HEAD"))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _serve_http2(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        requests: dict[int, Request] = {}
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                match event:
                    case h2.events.RequestReceived(stream_id=stream, headers=headers):
                        pseudo = {k: v for k, v in headers if k.startswith(":")}
                        plain = [("host", pseudo[":authority"]), *((k, v) for k, v in headers if not k.startswith(":"))]
                        requests[stream] = Request(pseudo[":method"], pseudo[":path"], plain, version="HTTP/2")
                    case h2.events.DataReceived(stream_id=stream, data=part):
                        requests[stream].body += part
                        connection.acknowledge_received_data(event.flow_controlled_length, stream)
                    case h2.events.StreamEnded(stream_id=stream):
                        request = requests.pop(stream)
                        self.seen.append(request)
                        answer = self.answer(request)
                        response = answer if isinstance(answer, Response) else await answer
                        head = [(":status", str(response.status)), *((k.lower(), v) for k, v in response.headers)]
                        connection.send_headers(stream, head, end_stream=not response.body)
                        if response.body:
                            connection.send_data(stream, response.body, end_stream=True)
            writer.write(connection.data_to_send())
            await writer.drain()


def _bytes(response: Response, *, head: bool) -> bytes:
    lines = [f"HTTP/1.1 {response.status} Answer"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    bare = response.status in {204, 304}
    if not bare:
        lines.append(f"content-length: {len(response.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (b"" if head or bare else response.body)
