"""A REST backend gets gRPC clients: one document, one key, one quota, whichever way a caller comes in."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from authz.admin import deploy, keys
from authz.app import Gateway, wait_live
from authz.model.service import SourceText
from authz.sources.protos.packed import pack
from authz.store.sql import open_store
from harness import gateway
from harness.grpc_library import LIBRARY, Library, descriptors, message, messages
from harness.grpc_stage import Callers, encoded, path_of
from harness.http import Request, Response, Upstream
from harness.waiting import a_minute_with_time_left
from walks.documents import GUARDED, OPEN, document

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "reverse.example.test"
SHELF = encoded("ShelfRequest", shelf=7)


class Stage(Callers):
    running: gateway.Running
    backend: Upstream

    def key(self) -> tuple[str, str]:
        """The key of a consumer who has not called yet."""
        return "x-api-key", keys.create(self.running.store, f"c{time.monotonic_ns()}", now=time.time()).text


def shelves(request: Request) -> Response:
    """A REST API as people write them: it knows nothing of protos."""
    number = request.path.partition("?")[0].rpartition("/")[2]
    json_type = [("content-type", "application/json; charset=utf-8")]
    if number == "404":
        return Response(404, json_type, b'{"detail": "no shelf 404"}')
    if request.method == "POST":
        return Response(201, json_type, request.body)
    return Response(200, json_type, json.dumps({"id": int(number), "theme": "x", "href": request.path}).encode())


def the_document(address: str) -> str:
    to = {"x-google-backend": {"address": f"http://{address}/api", "disable_auth": True, "path_translation": APPEND}}
    read = {"x-authz-grpc": f"{LIBRARY}/GetShelf", "x-google-quota": {"metricCosts": {"reads": 1}}}
    body = {"name": "shelf", "in": "body", "schema": {"type": "object"}}
    return document(
        HOST,
        {
            "/shelves/{shelf}": {"get": {**GUARDED, **to, **read}, "delete": {**OPEN, **to}},
            "/{parent}/shelves": {
                "post": {**OPEN, **to, "x-authz-grpc": f"{LIBRARY}/CreateShelf", "parameters": [body]}
            },
        },
        x_google_management={
            "metrics": [{"name": "reads", "valueType": "INT64", "metricKind": "DELTA"}],
            "quota": {
                "limits": [{"name": "r", "metric": "reads", "unit": "1/min/{project}", "values": {"STANDARD": 2}}]
            },
        },
    )


APPEND = "APPEND_PATH_TO_ADDRESS"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, transport: str) -> AsyncIterator[Stage]:
    async with contextlib.AsyncExitStack() as stack:
        backend = await stack.enter_async_context(Upstream(shelves))
        directory = tmp_path_factory.mktemp("data")
        chosen = gateway.settings(directory, backend="http://127.0.0.1:9", transport=transport)
        store = stack.enter_context(contextlib.closing(open_store(directory)))
        whole = Gateway(chosen, store, tmp_path_factory.mktemp("r"))
        await stack.enter_async_context(whole.running())
        proxy = await stack.enter_async_context(whole.envoy())
        sources = [
            SourceText("library.binpb", pack(descriptors(), ["library/v1/library.proto"])),
            SourceText("openapi.json", the_document(backend.address)),
        ]
        await wait_live(store, deploy.deploy(store, sources, now=time.time()))
        await proxy.wait_ready()
        there = Stage(chosen.port, Library(), HOST)
        there.running, there.backend = gateway.Running(chosen, store, whole, proxy), backend
        yield there


async def called(stage: Stage, rpc: str, request: bytes, **more: Any) -> Any:
    async with stage.channel() as channel:
        read = messages()["library.v1.Shelf"].FromString
        return await channel.unary_unary(path_of(rpc), response_deserializer=read)(request, **more)


async def test_a_grpc_client_calls_a_rest_backend(stage: Stage) -> None:
    key = stage.key()
    stage.backend.seen.clear()
    assert await called(stage, "GetShelf", SHELF, metadata=[key]) == message("Shelf", id=7, theme="x")
    web = await stage.web("GetShelf", SHELF, key)
    assert (web.status, web.messages) == ((0, ""), [encoded("Shelf", id=7, theme="x")])

    assert [(one.method, one.path) for one in stage.backend.seen] == [("GET", "/api/shelves/7")] * 2
    assert stage.backend.seen[0].header("x-endpoint-api-consumer-number")
    assert stage.backend.seen[0].header("x-endpoint-api-operation-name") == f"{LIBRARY}.GetShelf"


async def test_a_body_is_the_field_that_the_document_names(stage: Stage) -> None:
    sent = message("Shelf", id=3, owner_name="ann", tags=["a", "b"])
    request = encoded("CreateShelfRequest", parent="ann", shelf=sent, dry=True)
    assert await called(stage, "CreateShelf", request) == sent

    seen = stage.backend.seen[-1]
    assert (seen.method, seen.path) == ("POST", "/api/ann/shelves?dry=true")
    assert json.loads(seen.body) == {"id": "3", "ownerName": "ann", "tags": ["a", "b"]}


async def test_errors_have_their_grpc_status(stage: Stage) -> None:
    missing = encoded("ShelfRequest", shelf=404)
    assert await stage.grpc("GetShelf", missing, metadata=[stage.key()]) == (5, "no shelf 404")
    assert (await stage.web("GetShelf", missing, stage.key())).status == (5, "no shelf 404")
    assert (await stage.rest("GET /shelves/404", None, stage.key())).status == 404


async def test_one_key_and_one_quota_for_all_callers(stage: Stage) -> None:
    stage.backend.seen.clear()
    assert (await stage.grpc("GetShelf", SHELF))[0] == 16
    assert (await stage.rest("GET /shelves/7")).status == 401
    assert stage.backend.seen == []

    key = stage.key()
    await a_minute_with_time_left()
    assert await stage.grpc("GetShelf", SHELF, metadata=[key]) == (0, "")
    assert (await stage.rest("GET /shelves/7", None, key)).status == 200
    assert (await stage.grpc("GetShelf", SHELF, metadata=[key]))[0] == 8
    assert (await stage.web("GetShelf", SHELF, key)).status[0] == 8
    assert (await stage.rest("GET /shelves/7", None, key)).status == 429
    assert len(stage.backend.seen) == 2


async def test_a_message_does_not_lead_elsewhere(stage: Stage) -> None:
    stage.backend.seen.clear()
    for parent in ("..", "a/b", "../../admin", "a?b", "%2e%2e", "shelves"):
        request = encoded("CreateShelfRequest", parent=parent, shelf=message("Shelf", id=3))
        status, _ = await stage.grpc("CreateShelf", request)
        assert status in {0, 3}
    assert {one.path for one in stage.backend.seen} <= {
        "/api/a%3Fb/shelves", "/api/%252e%252e/shelves", "/api/shelves/shelves",
    }  # fmt: skip
