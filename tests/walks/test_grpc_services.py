"""Two services behind one gateway, from the same protos: each has the JSON that its own documents ask for."""

from __future__ import annotations

import contextlib
import time

import pytest

from authz.admin import deploy
from authz.app import Gateway, wait_live
from authz.model.service import SourceText
from authz.sources.protos.packed import pack
from authz.store.sql import open_store
from harness import gateway
from harness.grpc_library import LIBRARY, Library, descriptors
from harness.grpc_stage import Callers, encoded

PLAIN = f"""
type: google.api.Service
name: plain.example.test
apis: [{{name: {LIBRARY}}}]
usage: {{rules: [{{selector: "*", allow_unregistered_calls: true}}]}}
"""
OTHERWISE = f"""
openapi: 3.0.4
info: {{title: Library, version: 1.0.0}}
servers: [{{url: https://otherwise.example.test}}]
x-authz-transcoding:
  always_print_primitive_fields: false
  always_print_enums_as_ints: true
  preserve_proto_field_names: true
  stream_sse: true
  ignore_query_parameters: [utm_source]
  max_request_bytes: 200
paths:
  /shelves/{{shelf}}:
    get: {{operationId: get, x-authz-grpc: {LIBRARY}/GetShelf}}
  /shelves:
    post: {{operationId: find, x-authz-grpc: {LIBRARY}/GetShelf, requestBody: {{content: {{application/json: {{}}}}}}}}
  /shelves/{{shelf}}/books:
    get: {{operationId: books, x-authz-grpc: {LIBRARY}/ListBooks}}
"""


@pytest.mark.asyncio
async def test_two_services_print_differently(tmp_path_factory: pytest.TempPathFactory, transport: str) -> None:
    """What one does not say is the gateway's setting for both."""
    protos = SourceText("library.binpb", pack(descriptors(), ["library/v1/library.proto"]))
    async with contextlib.AsyncExitStack() as stack:
        library = await stack.enter_async_context(Library().serving())
        directory, run_dir = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("r")
        chosen = gateway.settings(
            directory,
            backend=f"grpc://{library.address}",
            transport=transport,
            transcoding_always_print_primitive_fields=True,
            transcoding_stream_newline_delimited=True,
        )
        store = stack.enter_context(contextlib.closing(open_store(directory)))
        whole = Gateway(chosen, store, run_dir)
        await stack.enter_async_context(whole.running())
        proxy = await stack.enter_async_context(whole.envoy())
        for text in (SourceText("plain.yaml", PLAIN), SourceText("otherwise.yaml", OTHERWISE)):
            await wait_live(store, deploy.deploy(store, [protos, text], now=time.time()))
        await proxy.wait_ready()
        plain, otherwise = (Callers(chosen.port, library, f"{name}.example.test") for name in ("plain", "otherwise"))

        usual = await plain.rest("GET /v1/shelves/5?genres=DRAMA")
        own = await otherwise.rest("GET /shelves/5?genres=DRAMA&utm_source=x")
        assert usual.json() == {"id": "5", "theme": "default", "genre": "DRAMA", "tags": [], "ownerName": ""}
        assert own.json() == {"id": "5", "theme": "default", "genre": 2}
        assert (await plain.rest("GET /v1/shelves/5?utm_source=x")).status == 400

        books = "shelves/7/books?count=2"
        lines, events = await plain.rest(f"GET /v1/{books}"), await otherwise.rest(f"GET /{books}")
        assert lines.body == b'{"name":"book 0","pages":0}\n{"name":"book 1","pages":1}\n'
        assert events.body == b'data: {"name":"book 0"}\n\ndata: {"name":"book 1","pages":1}\n\n'
        assert events.header("content-type") == "text/event-stream"

        large = {"theme": "x" * 200}
        assert (await plain.rest("POST /v1/shelves:find", large)).status == 200
        assert (await otherwise.rest("POST /shelves", large)).status == 413
        # In gRPC there is no JSON, and so nothing of this.
        assert await otherwise.grpc("GetShelf", encoded("ShelfRequest", shelf=5, theme="x" * 200)) == (0, "")
