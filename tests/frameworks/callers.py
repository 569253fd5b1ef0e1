"""Calls to WSGI and ASGI applications without a network, and hand-made APIs whose methods say what they were given."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from authz.frameworks.service import ABSENT, Api, Method, Security


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    several: Sequence[tuple[str, str]] = ()

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def error(self) -> Any:
        return self.json["error"]


@dataclass(frozen=True)
class Ask:
    """A request."""

    method: str
    url: str
    body: bytes = b""
    headers: Iterable[tuple[str, str]] = ()
    address: str | None = "192.0.2.1"

    def sent(self) -> list[tuple[str, str]]:
        headers = [(name.lower(), value) for name, value in self.headers]
        if self.body and not any(name in {"content-length", "transfer-encoding"} for name, _ in headers):
            headers.append(("content-length", str(len(self.body))))
        return headers


LAWFUL = {"GET", "HEAD", "POST", "OPTIONS", "PATCH", "PUT", "DELETE"}
"""What the standard library's validator takes for methods."""

Caller = Callable[[Any, Ask], Reply]


def environ(ask: Ask, **more: Any) -> dict[str, Any]:
    path, _, query = ask.url.partition("?")
    made = {
        "REQUEST_METHOD": ask.method, "SCRIPT_NAME": "", "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query, "SERVER_NAME": "api.example.com", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(ask.body),
        "wsgi.errors": io.StringIO(), "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
    }  # fmt: skip
    if ask.address:
        made["REMOTE_ADDR"] = ask.address
    for name, value in ask.sent():
        key = name.upper().replace("-", "_")
        key = key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
        made[key] = f"{made[key]},{value}" if key in made else value
    made.setdefault("HTTP_HOST", "api.example.com")
    return made | more


def wsgi(app: Any, ask: Ask, **more: Any) -> Reply:
    """One call, as a server that follows PEP 3333 makes it."""
    from wsgiref.validate import validator

    told: list[Any] = []
    made = environ(ask, **more)
    lawful = made.get("CONTENT_LENGTH", "0").isdecimal() and ask.method in LAWFUL
    answer = (validator(app) if lawful else app)(made, lambda status, headers, _=None: told.extend((status, headers)))  # type: ignore[func-returns-value]
    body = b"".join(answer)
    if lawful:
        answer.close()  # type: ignore[attr-defined]
    status, headers = told
    return Reply(int(status.split()[0]), _joined(headers), body, headers)


def scope(ask: Ask, **more: Any) -> dict[str, Any]:
    path, _, query = ask.url.partition("?")
    headers = ask.sent()
    if not any(name == "host" for name, _ in headers):
        headers.append(("host", "api.example.com"))
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": ask.method, "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "client": (ask.address, 1) if ask.address else None, "server": ("api.example.com", 80),
    } | more  # fmt: skip


async def asgi_call(app: Any, ask: Ask, **more: Any) -> Reply:
    """One call in the running loop, the body in two pieces."""
    half = len(ask.body) // 2
    pieces = [
        {"type": "http.request", "body": ask.body[:half], "more_body": True},
        {"type": "http.request", "body": ask.body[half:], "more_body": False},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return pieces.pop(0) if pieces else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope(ask, **more), receive, send)
    start, *parts = sent
    headers = [(name.decode(), value.decode("latin-1")) for name, value in start["headers"]]
    return Reply(start["status"], _joined(headers), b"".join(part["body"] for part in parts), headers)


def asgi(app: Any, ask: Ask, **more: Any) -> Reply:
    """One call in a loop of its own."""
    return asyncio.run(asgi_call(app, ask, **more))


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


@dataclass(frozen=True)
class Given:
    """What a hand-made method is called with."""

    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    body: Any

    def told(self) -> dict[str, Any]:
        body = "ABSENT" if self.body is ABSENT else self.body
        return {"path": dict(self.path), "query": [list(pair) for pair in self.query], "body": body}


class Plain:
    """The binding of hand-made methods: everything in, JSON out."""

    def arguments(self, path: Any, query: Any, body: Any) -> Any:
        return (Given(path, query, body),), {}

    def answer(self, result: Any) -> bytes | None:
        return None if result is None else json.dumps(result).encode()


def a_method(path: str, handler: Callable[[Given], Any] = Given.told, verb: str = "GET", **more: Any) -> Method:
    name = getattr(handler, "__name__", "handler")
    facts = {"name": name, "owner": "Shop", "id": f"shop.{verb}.{path}", "operation_id": f"Shop_{path}"} | more
    return Method(
        http_method=verb, path=path, binding=Plain(), open=lambda: handler,
        is_async=inspect.iscoroutinefunction(handler), **facts,
    )  # fmt: skip


@dataclass(frozen=True)
class Declared:
    """Something that gives its APIs by itself, as `declare.apis` takes it."""

    apis: tuple[Api, ...] = field(default=())

    def describe(self) -> tuple[Api, ...]:
        return self.apis


def an_api(*methods: Method, name: str = "shop", base_path: str = "/api", **more: Any) -> Api:
    return Api(name=name, version="v1", path_version="v1", base_path=base_path, methods=methods, **more)


def declared(*methods: Method, **more: Any) -> list[Declared]:
    """The argument of a server that serves these methods."""
    return [Declared((an_api(*methods, **more),))]


def guarded(**more: Any) -> Security:
    return Security(**more)
