"""A WSGI application served by an ASGI server: each call runs in a thread, and its body is sent part by part."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from tempfile import SpooledTemporaryFile
from typing import Any, Final

_IN_MEMORY: Final = 1024 * 1024
_THREADS: Final = 40


class Threads:
    """An ASGI application around a WSGI application."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app
        self._pool = ThreadPoolExecutor(_THREADS, "authz-wsgi")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One connection (ASGI 3): a request, a lifespan, or a WebSocket, which is refused."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Any, receive: Any, send: Any) -> None:
        with SpooledTemporaryFile(_IN_MEMORY) as body:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body.write(message.get("body", b""))
                more = message.get("more_body", False)
            length = body.tell()
            body.seek(0)
            await self._run(environ(scope, body, length), send)

    async def _run(self, wanted: dict[str, Any], send: Any) -> None:
        loop, context = asyncio.get_running_loop(), copy_context()

        def say(message: dict[str, Any]) -> None:
            asyncio.run_coroutine_threadsafe(send(message), loop).result()

        await loop.run_in_executor(self._pool, context.run, _answer, self.app, wanted, say)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                self._pool.shutdown(wait=False)
                return


def environ(scope: Any, body: Any, length: int) -> dict[str, Any]:
    """The request as PEP 3333 has it."""
    host, port = scope.get("server") or ("localhost", 80)
    root = scope.get("root_path", "")
    found: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": scope["path"].removeprefix(root).encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 80),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "CONTENT_LENGTH": str(length),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if (came := scope.get("raw_path")) is not None:
        # PEP 3333 has no word for it; without it an escaped slash or plus would be a plain one.
        found["RAW_URI"] = came.decode("latin-1")
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1").upper().replace("-", "_"), value.decode("latin-1")
        key = name if name == "CONTENT_TYPE" else f"HTTP_{name}"
        if name != "CONTENT_LENGTH":
            found[key] = f"{found[key]},{text}" if key in found else text
    return found


def _answer(app: Callable[..., Iterable[bytes]], wanted: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
    """Call the application, and say what it answers: the head with the first part."""
    head: list[dict[str, Any]] = []

    def write(part: bytes) -> None:
        while head:
            say(head.pop())
        say({"type": "http.response.body", "body": part, "more_body": True})

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        del exc_info
        pairs = [(name.lower().encode("latin-1"), text.encode("latin-1")) for name, text in headers]
        head[:] = [{"type": "http.response.start", "status": int(status[:3]), "headers": pairs}]
        return write

    parts = app(wanted, start)
    try:
        for part in parts:
            if part:
                write(part)
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
    write(b"")
    say({"type": "http.response.body", "body": b""})
