"""The stage of the frameworks walk: a shelf of either style, served by WSGI or ASGI behind a gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
import wsgiref.simple_server
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Literal

import uvicorn

from authz.admin import keys
from authz.frameworks import endpoints
from authz.frameworks.load import documents
from authz.frameworks.service import Version
from harness import gateway, http
from harness.http import Response, Upstream
from harness.issuer import Issuer
from walks import shelf_old, shelf_typed
from walks.check_stage import KeyServer

HOST = "shelf.example.test"
SECRET = "between-the-two"
STYLES = {"old": shelf_old, "typed": shelf_typed}


@dataclass(frozen=True)
class Combination:
    """Which document, which server, which style. Four of them hold every pair."""

    version: Version
    server: Literal["wsgi", "asgi"]
    style: Literal["old", "typed"]

    def __str__(self) -> str:
        return f"{self.version}-{self.server}-{self.style}"


COMBINATIONS = (
    Combination("2.0", "wsgi", "old"),
    Combination("3.1", "asgi", "old"),
    Combination("2.0", "asgi", "typed"),
    Combination("3.1", "wsgi", "typed"),
)


@dataclass
class Stage:
    combination: Combination
    running: gateway.Running
    documents: list[dict[str, Any]]
    served_at: int
    """The server's own port, for those who come by without the gateway."""
    address: str
    issuers: dict[str, Issuer]

    async def call(
        self,
        line: str,
        *headers: tuple[str, str],
        body: object = None,
        port: int = 0,
    ) -> Response:
        """`GET /open`: below the shelf's first version unless the path begins with the base path."""
        method, path = line.split(" ", 1)
        path = path if path.startswith("/api/") else f"/api/shelf/v1{path}"
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        given = [("content-type", "application/json"), *headers] if content is not None else [*headers]
        return await http.fetch(port or self.running.port, method, path, given, content, host=HOST)

    def key(self, consumer: str = "ann") -> tuple[str, str]:
        return "x-api-key", keys.create(self.running.store, consumer, now=time.time()).text

    def bearer(self, issuer: str = "one", **claims: Any) -> tuple[str, str]:
        """A token as it would be accepted, with other claims."""
        usual = {"iss": f"http://{self.address}/{issuer}", "sub": "someone", "aud": "aud-a", "azp": "web"}
        told = {name: value for name, value in (usual | claims).items() if value is not None}
        return "authorization", f"Bearer {self.issuers[issuer].token(**told)}"


@contextlib.asynccontextmanager
async def a_stage(combination: Combination, directory: Path, **settings: Any) -> AsyncIterator[Stage]:
    """Everything between a caller and the methods."""
    key_server, issuers = KeyServer(), {name: Issuer(name) for name in ("one", "two")}
    async with Upstream(key_server.answer) as server:
        for name, issuer in issuers.items():
            key_server.pages[f"/{name}/keys"] = issuer.jwks()
        things = STYLES[combination.style].declared(HOST, f"http://{server.address}")
        written = documents(things, version=combination.version)
        async with (
            serving(things, combination.server) as port,
            gateway.running(
                directory,
                [one.text for one in written],
                now=time.time(),
                backend=f"http://127.0.0.1:{port}",
                gateway_secret=SECRET,
                **settings,
            ) as running,
        ):
            made = [one.document for one in written]
            yield Stage(combination, running, made, port, server.address, issuers)


@contextlib.asynccontextmanager
async def serving(things: list[Any], server: str) -> AsyncIterator[int]:
    """Serve them on a free port, as their users would."""
    options = {"gateway_secret": SECRET}
    if server == "asgi":
        with _asgi(endpoints.asgi_server(things, **options)) as port:
            yield port
        return
    app = endpoints.api_server(things, **options)
    with _wsgi(app) as port:
        yield port
    app.close()


class _Server(ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def get_environ(self) -> dict[str, Any]:
        # As gunicorn tells it: how the path came.
        return {**super().get_environ(), "RAW_URI": self.path}


@contextlib.contextmanager
def _wsgi(app: Any) -> Iterator[int]:
    with wsgiref.simple_server.make_server("127.0.0.1", 0, app, _Server, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def _asgi(app: Any) -> Iterator[int]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", proxy_headers=False))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=asyncio.run, args=(server.serve([listener]),))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
