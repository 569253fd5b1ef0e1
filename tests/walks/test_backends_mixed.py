"""Backends of every kind in one service: REST and gRPC, HTTP/1.1 and HTTP/2, with TLS and without, per operation."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from authz.admin import deploy
from authz.app import Gateway, wait_live
from authz.model.service import SourceText
from authz.sources.protos.packed import pack
from authz.store.sql import open_store
from harness import gateway
from harness.grpc_library import LIBRARY, Library, descriptors, message
from harness.grpc_stage import Callers, encoded
from harness.http import Request, Response, Upstream
from harness.tls import Authority
from walks.documents import OPEN, document

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "mixed.example.test"

SERVICE = """
type: google.api.Service
config_version: 3
name: HOST
apis:
- name: LIBRARY
usage:
  rules:
  - {selector: "*", allow_unregistered_calls: true}
backend:
  rules:
  - {selector: "LIBRARY.*", address: "grpc://GRPC"}
  - {selector: LIBRARY.TouchAny, address: "grpcs://localhost:GRPCS"}
  - {selector: LIBRARY.GetShelf, address: "http://PLAIN", path_translation: APPEND_PATH_TO_ADDRESS}
  - selector: LIBRARY.DeleteShelf
    address: "http://PLAIN/rest"
    path_translation: APPEND_PATH_TO_ADDRESS
    overrides_by_request_protocol:
      grpc: {address: "grpcs://localhost:GRPCS"}
"""


class Stage(Callers):
    running: gateway.Running
    secure: Library
    backends: dict[str, Upstream]


def told(request: Request) -> Response:
    return Response(200, [("content-type", "application/json")], json.dumps({"theme": request.version}).encode())


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, transport: str) -> AsyncIterator[Stage]:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    leaf = authority.leaf("localhost")
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        rest = {
            "http/1.1": await enter(Upstream(told)),
            "h2c": await enter(Upstream(told, http2=True)),
            "https": await enter(Upstream(told, tls=leaf.server_context())),
            "https h2": await enter(Upstream(told, tls=leaf.server_context(alpn=("h2",)))),
        }
        plain, secure = await enter(Library().serving()), await enter(Library().serving(leaf))
        directory, run_dir = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("r")
        chosen = gateway.settings(
            directory, backend="http://127.0.0.1:9", backend_tls_ca=str(authority.cert), transport=transport
        )
        store = stack.enter_context(contextlib.closing(open_store(directory)))
        whole = Gateway(chosen, store, run_dir)
        await enter(whole.running())
        proxy = await enter(whole.envoy())
        made = deploy.deploy(store, sources(plain, secure, rest), now=time.time())
        await wait_live(store, made)
        await proxy.wait_ready()
        there = Stage(chosen.port, plain, HOST)
        there.running, there.secure, there.backends = gateway.Running(chosen, store, whole, proxy), secure, rest
        yield there


def sources(plain: Library, secure: Library, rest: dict[str, Upstream]) -> list[SourceText]:
    def to(address: str, **more: Any) -> dict[str, Any]:
        return {"get": {**OPEN, "x-google-backend": {"address": address, "disable_auth": True, **more}}}

    words = {
        "HOST": HOST, "LIBRARY": LIBRARY, "GRPCS": str(secure.port), "GRPC": plain.address,
        "PLAIN": rest["http/1.1"].address,
    }  # fmt: skip
    yaml = SERVICE
    for name, value in words.items():
        yaml = yaml.replace(name, value)
    openapi = document(
        HOST,
        {
            "/rest/http1": to(f"http://{rest['http/1.1'].address}"),
            "/rest/h2c": to(f"http://{rest['h2c'].address}", protocol="h2"),
            "/rest/https": to(f"https://localhost:{rest['https'].port}"),
            "/rest/https-h2": to(f"https://localhost:{rest['https h2'].port}", protocol="h2"),
        },
    )
    return [
        SourceText("library.binpb", pack(descriptors(), ["library/v1/library.proto"])),
        SourceText("library.yaml", yaml),
        SourceText("openapi.json", openapi),
    ]


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/rest/http1", "HTTP/1.1"),
        ("/rest/h2c", "HTTP/2"),
        ("/rest/https", "HTTP/1.1"),
        ("/rest/https-h2", "HTTP/2"),
    ],
)
async def test_rest_reaches_each_backend_in_its_own_protocol(stage: Stage, path: str, version: str) -> None:
    answer = await stage.rest(f"GET {path}")

    assert (answer.status, answer.json()) == (200, {"theme": version})


@pytest.mark.parametrize("caller", ["gRPC", "gRPC-Web", "JSON"])
async def test_rpcs_reach_grpc_with_and_without_tls(stage: Stage, caller: str) -> None:
    for rpc, library, line in (
        ("ArchiveShelf", stage.library, "POST /v1/shelves/7:archive"),
        ("TouchAny", stage.secure, "POST /v1/shelves/7/x"),
    ):
        library.seen.clear()
        match caller:
            case "gRPC":
                assert await stage.grpc(rpc) == (0, "")
            case "gRPC-Web":
                assert (await stage.web(rpc)).status == (0, "")
            case _:
                assert (await stage.rest(line, {} if rpc == "ArchiveShelf" else None)).status == 200
        assert library.called == [rpc]


async def test_calls_in_grpc_reach_a_rest_backend(stage: Stage) -> None:
    """One RPC, one REST backend: both kinds of callers send it the same request."""
    seen = stage.backends["http/1.1"].seen
    seen.clear()
    request = encoded("ShelfRequest", shelf=7, theme="x")
    async with stage.channel() as channel:
        got = await channel.unary_unary(
            f"/{LIBRARY}/GetShelf", response_deserializer=lambda raw: type(message("Shelf")).FromString(raw)
        )(request)
    web, rest = await stage.web("GetShelf", request), await stage.rest("GET /v1/shelves/7?theme=x")

    assert got == message("Shelf", theme="HTTP/1.1")
    assert (web.status, web.messages) == ((0, ""), [got.SerializeToString()])
    assert rest.json() == {"theme": "HTTP/1.1"}
    assert [(one.method, one.path) for one in seen] == [("GET", "/v1/shelves/7?theme=x")] * 3


async def test_one_rpc_has_a_backend_for_rest_and_one_for_grpc(stage: Stage) -> None:
    """overrides_by_request_protocol: calls on the own path go elsewhere."""
    seen = stage.backends["http/1.1"].seen
    seen.clear()
    stage.secure.seen.clear()
    assert await stage.grpc("DeleteShelf", encoded("ShelfRequest", shelf=7)) == (0, "")
    assert (await stage.web("DeleteShelf", encoded("ShelfRequest", shelf=7))).status == (0, "")
    assert (stage.secure.called, seen) == (["DeleteShelf", "DeleteShelf"], [])
    assert (await stage.rest("DELETE /v1/shelves/7")).json() == {"theme": "HTTP/1.1"}
    assert ([(one.method, one.path) for one in seen], len(stage.secure.seen)) == ([("DELETE", "/rest/v1/shelves/7")], 2)


async def test_streams_pass_tls_too(stage: Stage) -> None:
    async with stage.channel() as channel:
        call = channel.unary_stream(f"/{LIBRARY}/ListBooks")(encoded("ListBooksRequest", count=3))
        assert len([one async for one in call]) == 3
