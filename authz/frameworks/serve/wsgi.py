"""The WSGI face (PEP 3333): calls run in the HTTP server's threads, coroutine methods in one loop beside them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from authz.frameworks.exceptions import InvalidValue, ServiceException
from authz.frameworks.serve import answers
from authz.frameworks.serve.answers import Answer
from authz.frameworks.serve.core import Core
from authz.frameworks.serve.request import LengthRequired, Request, announced, too_large
from authz.frameworks.serve.tokens.guard import NeedKeys
from authz.frameworks.service import Api

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

_PHRASES: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_CHUNK: Final = 64 * 1024


class WsgiServer:
    """A WSGI application. `close` ends the loop of coroutine methods, if one was ever called."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._loop = _Loop()

    def describe(self) -> tuple[Api, ...]:
        """What is served, for documents."""
        return self._core.apis

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request (PEP 3333)."""
        request = _request(environ)
        answer = self._answer(request, environ)
        headers = self._core.headers(request, answer)
        if answer.status != HTTPStatus.NO_CONTENT:
            headers.append(("content-length", str(len(answer.body))))
        start_response(_PHRASES.get(answer.status) or f"{answer.status} Unknown", headers)
        return [] if request.method == "HEAD" or not answer.body else [answer.body]

    def _answer(self, request: Request, environ: Environ) -> Answer:
        job = self._core.begin(request)
        if isinstance(job, Answer):
            return job
        while refusal := self._core.admit(job):
            if not isinstance(refusal, NeedKeys):
                return refusal
            refusal.fetch()
        try:
            body = _body(environ, self._core.options.max_body)
        except ServiceException as error:
            return answers.refused(error, job.target.name)
        if job.is_async:
            return self._loop.run(self._core.run_async(job, body))
        return self._core.run(job, body)

    def close(self) -> None:
        """End the loop and its thread."""
        self._loop.close()


def _request(environ: Environ) -> Request:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
    if kind := environ.get("CONTENT_TYPE"):
        headers["content-type"] = kind
    path, raw = _path(environ)
    return Request(
        environ["REQUEST_METHOD"].upper(),
        path,
        environ.get("QUERY_STRING", ""),
        headers,
        raw=raw,
        address=environ.get("REMOTE_ADDR") or None,
        scheme=environ.get("wsgi.url_scheme", "http"),
    )


def _path(environ: Environ) -> tuple[str, str | None]:
    """The path, and how it came, which many servers tell though PEP 3333 does not ask it."""
    known: bytes = environ.get("PATH_INFO", "").encode("latin-1")  # bytes in the guise of text
    try:
        path = known.decode()
    except UnicodeDecodeError:
        return "", quote_from_bytes(known)  # which the router refuses with its reason
    told = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    raw = str(told).partition("?")[0] if told and not environ.get("SCRIPT_NAME") else None
    return path, raw if raw and raw[0] == "/" and unquote_to_bytes(raw) == known else None


def _body(environ: Environ, most: int) -> bytes:
    """The whole body.

    Raises:
        ServiceException: it is too long, too short, or of no known length.
    """
    length = announced(environ.get("CONTENT_LENGTH"), most)
    if length is not None:
        body = _read(environ["wsgi.input"], length) if length else b""
        if len(body) < length:
            raise InvalidValue("The body is shorter than its Content-Length.")
        return body
    if environ.get("wsgi.input_terminated"):
        body = _read(environ["wsgi.input"], most + 1)
        if len(body) > most:
            raise too_large(most)
        return body
    if environ.get("HTTP_TRANSFER_ENCODING"):
        # Reading on would wait for ever: this server does not say where the body ends.
        raise LengthRequired("The body needs a Content-Length.")
    return b""


def _read(stream: Any, length: int) -> bytes:
    parts = []
    while length and (part := stream.read(min(length, _CHUNK))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


class _Loop:
    """An event loop in a thread of its own, from the first call on; another one in a forked process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: tuple[int, asyncio.AbstractEventLoop, threading.Thread] | None = None

    def run(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        """Its result. It sees the context variables of the calling thread."""
        future = asyncio.run_coroutine_threadsafe(call, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._running is None or self._running[0] != os.getpid():
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="authz-frameworks", daemon=True)
                thread.start()
                self._running = (os.getpid(), loop, thread)
            return self._running[1]

    def close(self) -> None:
        """Cancel what runs, and end."""
        with self._lock:
            if self._running is None:
                return
            process, loop, thread = self._running
            self._running = None
        if process != os.getpid():
            return
        asyncio.run_coroutine_threadsafe(_cancelled(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancelled() -> None:
    """Nobody waits for an answer for ever because the loop is gone."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
