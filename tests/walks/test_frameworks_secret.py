"""The secret that backends know the gateway by: on every forwarded request, and never what a caller sends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from authz import wire
from authz.admin import keys
from harness import gateway, http, raw
from harness.http import Request, Response, Upstream
from walks.documents import GUARDED, OPEN, document

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "secret.example.test"
SECRET = "100%_REQ(:path)%-s3cret"
HEADER = wire.GATEWAY_SECRET


@dataclass
class Stage:
    running: gateway.Running
    backend: Upstream
    other: Upstream
    key: str

    async def get(self, path: str, *headers: tuple[str, str], body: bytes | None = None) -> Response:
        return await http.fetch(self.running.port, "GET", path, [("x-api-key", self.key), *headers], body, host=HOST)

    @property
    def seen(self) -> list[Request]:
        return [*self.backend.seen, *self.other.seen]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, transport: str) -> AsyncIterator[Stage]:
    async with Upstream() as backend, Upstream() as other:
        remote = {"address": f"http://{other.address}", "disable_auth": True}
        text = document(
            HOST,
            {
                "/open": {"get": OPEN},
                "/guarded": {"get": GUARDED},
                "/remote": {"get": {**OPEN, "x-google-backend": remote}},
                "/remote/{name}": {
                    "get": {**OPEN, "x-google-backend": {**remote, "path_translation": "CONSTANT_ADDRESS"}}
                },
            },
        )
        async with gateway.running(
            tmp_path_factory.mktemp("secret"),
            [text],
            now=time.time(),
            backend=f"http://{backend.address}",
            gateway_secret=SECRET,
        ) as running:
            yield Stage(running, backend, other, keys.create(running.store, "ann", now=time.time()).text)


@pytest.mark.parametrize("path", ["/open", "/guarded", "/remote", "/remote/thing"])
@pytest.mark.parametrize(
    "sent",
    [
        [],
        [(HEADER, "a guess")],
        [(HEADER, "a guess"), ("x-between", "1"), (HEADER, "another"), (HEADER.upper(), "")],
        [(HEADER, SECRET)],
        [("connection", HEADER)],
        [("connection", f"close, {HEADER}"), (HEADER, "a guess")],
    ],
    ids=["nothing", "a guess", "three", "the secret itself", "connection", "connection and a guess"],
)
async def test_backends_see_the_secret_once_and_to_the_letter(
    stage: Stage, path: str, sent: list[tuple[str, str]]
) -> None:
    before = len(stage.seen)
    answer = await stage.get(path, *sent)

    assert answer.status == 200
    assert len(stage.seen) == before + 1
    last = (stage.other if "remote" in path else stage.backend).seen[-1]
    assert last.all(HEADER) == [SECRET]
    assert answer.header(HEADER) is None


async def test_a_trailer_is_no_header(stage: Stage) -> None:
    """What comes behind the body is not joined with what came before it, whatever the caller speaks."""
    pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", HOST), (":path", "/open")]
    await raw.http2(stage.running.port, [*pseudo, (HEADER, "a guess")], b"{}", trailers=[(HEADER, "a trailer")])
    chunked = (
        f"GET /open HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{HEADER}: a trailer\r\n\r\n"
    )
    await raw.http1(stage.running.port, chunked.encode())

    assert [request.all(HEADER) for request in stage.backend.seen[-2:]] == [[SECRET], [SECRET]]


async def test_whoever_is_refused_learns_nothing(stage: Stage) -> None:
    before = len(stage.seen)
    for path, status in (("/guarded", 401), ("/nowhere", 404)):
        answer = await http.fetch(stage.running.port, "GET", path, host=HOST)
        assert (answer.status, SECRET in str(answer)) == (status, False)

    assert len(stage.seen) == before
