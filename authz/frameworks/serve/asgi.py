"""The ASGI 3 face: coroutine methods run in the server's loop, others in threads that see the same context."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar
from urllib.parse import unquote

from authz.frameworks.exceptions import ServiceException
from authz.frameworks.serve import answers
from authz.frameworks.serve.answers import Answer
from authz.frameworks.serve.core import Core, Job
from authz.frameworks.serve.request import Request, announced, too_large
from authz.frameworks.serve.tokens.guard import NeedKeys
from authz.frameworks.service import Api

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

T = TypeVar("T")


class AsgiServer:
    """An ASGI application. Its threads end with the lifespan, or with `close`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._pool: ThreadPoolExecutor | None = None

    def describe(self) -> tuple[Api, ...]:
        """What is served, for documents."""
        return self._core.apis

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection (ASGI 3): a request, a lifespan, or a WebSocket, which is refused."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = _request(scope)
        answer = await self._answer(request, receive)
        if answer is None:
            return  # nobody is there any more
        headers = [(name.encode(), value.encode("latin-1")) for name, value in self._core.headers(request, answer)]
        if answer.status != 204:
            headers.append((b"content-length", str(len(answer.body)).encode()))
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})
        except OSError:
            return  # as ASGI 2.4 says that the caller went away

    async def _answer(self, request: Request, receive: Receive) -> Answer | None:
        job = self._core.begin(request)
        if isinstance(job, Answer):
            return job
        while refusal := self._core.admit(job):
            if not isinstance(refusal, NeedKeys):
                return refusal
            await self._in_thread(refusal.fetch)
        try:
            body = await _body(request, receive, self._core.options.max_body)
        except ServiceException as error:
            return answers.refused(error, job.target.name)
        if body is None:
            return None
        return await self._run(job, body)

    async def _run(self, job: Job, body: bytes) -> Answer:
        if job.is_async:
            return await self._core.run_async(job, body)
        return await self._in_thread(copy_context().run, self._core.run, job, body)

    async def _in_thread(self, call: Callable[..., T], *args: Any) -> T:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._core.options.threads, "authz-frameworks")
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    def close(self) -> None:
        """End the threads, when their calls are done."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _headers(sent: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in sent]
    headers = dict(pairs)
    if len(headers) == len(pairs):
        return headers
    # As WSGI servers do: what must come once then reads as nothing that is known.
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {name: ",".join(said) for name, said in values.items()}


def _request(scope: Scope) -> Request:
    path, raw = scope["path"], scope.get("raw_path")
    if root := scope.get("root_path"):
        path, raw = path.removeprefix(root), None if raw is None else raw.removeprefix(root.encode())
    client = scope.get("client")
    return Request(
        scope["method"].upper(),
        path,
        scope["query_string"].decode("latin-1"),
        _headers(scope["headers"]),
        raw=_raw(raw, path),
        address=client[0] if client else None,
        scheme=scope.get("scheme", "http"),
    )


def _raw(sent: bytes | None, path: str) -> str | None:
    """The path as it came; None if that is not known, or something between has changed the path."""
    if not sent or not sent.isascii():
        return None
    raw = sent.decode()
    return raw if "%" not in raw or unquote(raw) == path else None


async def _body(request: Request, receive: Receive, most: int) -> bytes | None:
    """The whole body; None if the caller went away.

    Raises:
        ServiceException: it is too long.
    """
    announced(request.headers.get("content-length"), most)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if part := message.get("body", b""):
            parts.append(part)
            size += len(part)
            if size > most:
                raise too_large(most)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)
