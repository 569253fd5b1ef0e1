"""Which RPC a request reaches: the one whose operation was judged, or none. On a real Envoy."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from authz import wire
from authz.model.paths import Template
from authz.model.service import Backend, Operation, Protocol, Rpc
from authz.xds.replies import NOT_GRPC, OTHER_RPC, REPEATED
from authz.xds.routes import UNKNOWN_PATH
from harness.dataplane import KEY
from harness.grpc_library import LIBRARY, operations
from harness.grpc_stage import Stage, a_config, encoded, live
from harness.http import Response, Upstream

Open = Callable[..., AbstractAsyncContextManager[Stage]]

JSON, GRPC = "application/json", "application/grpc"
PATHS = [
    "/v1/shelves/7", "/v1/shelves/7/", "/v1/shelves/7?theme=x", "/v1/s/7", "/v1/shelves:find", "/v1/shelves/:find",
    "/v1/shelves/7:archive", "/v1/shelves/7/:archive", "/v1/shelves/7:archive/", "/v1/shelves/7:Archive",
    "/v1/shelves/7:archive:find", "/v1/shelves/7:find", "/v1/shelves:archive", "/v1/shelves/7%3Aarchive",
    "/v1/shelves/7:%61rchive", "/v1/shelves/a/b:archive", "/v1/shelves/a/b", "/v1/shelves", "/v1/shelves/",
    "/v1/shelves//7", "/v1/./shelves/7", "/v1/x/../shelves/7", "/v1/shelves/7/books", "/v1/shelves/7/books/",
    "/v1/shelves/7/books:archive", "/v1/shelves/%2e%2e/echo", "/v1/shelves/7%2Fbooks", "/v1/shelves/7;a=b",
    "/v1/shelves/7;/books", "/v1/places/x/shelves", "/v1/places/shelves", "/v1/shelves/x/shelves", "/v1/echo",
    "/v1/echo/", "/v1/files/a/b:c", "/v1/files/", "/v1/files", "/v1/books", "/v1/swap", "/v1/fail/0", "/V1/echo",
    *(f"/{LIBRARY}/{name}" for name in ("GetShelf", "GetShelf/", "GetShelf?key=1", "getshelf", "DeleteShelf", "No")),
    "/library.v1.Vault/Open", "/library.v1.Vault/Open/", f"//{LIBRARY}/GetShelf", f"/{LIBRARY}//GetShelf",
    f"/{LIBRARY}/GetShelf;a", f"/{LIBRARY}/%47etShelf", f"/{LIBRARY}/GetShelf%20", f"/{LIBRARY}/GetShelf:archive",
]  # fmt: skip


async def test_no_request_reaches_an_rpc_other_than_the_one_that_check_judged(opened: Open) -> None:
    """Whatever the path, the method and the content type."""
    kinds = [JSON, GRPC, "application/grpc+json", "application/grpc-web", "application/grpcx", "application/GRPC", ""]
    impatient = Backend(protocol=Protocol.HTTP2, deadline=0.3)
    async with opened(live(a_config(operations(requirement=KEY, backend=impatient)))) as stage:
        for path in PATHS:
            for method, kind in [("GET", ""), ("DELETE", ""), *(("POST", kind) for kind in kinds)]:
                stage.sidecar.checks.clear()
                headers = [("content-type", kind)] if kind else []
                body = bytes(5) if "grpc" in kind else b"{}" if kind else b""
                answer = await stage.rest(f"{method} {path}", body, *headers)
                judged = [one.attributes.context_extensions[wire.CONTEXT_OPERATION] for one in stage.sidecar.checks]

                assert len(judged) <= 1, (method, path, kind)
                fine = answer.status < 400 and answer.header("grpc-status") in {None, "0"}
                assert judged or not fine, (method, path, kind)
        # A stream that is refused while it is read may reach the backend after its answer: so, all of them at the end.
        assert len(stage.library.ever) > len(PATHS)
        for call in stage.library.ever:
            assert call.metadata["x-endpoint-api-operation-name"] == call.path[1:].replace("/", "."), call


def wide(*methods: str) -> list[Operation]:
    """An RPC that is bound to everything, as far as routes know."""
    rpc = Rpc(LIBRARY, "GetShelf")
    return [
        Operation("GetShelf", method, Template.parse("/**"), backend=Backend(protocol=Protocol.HTTP2), rpc=rpc)
        for method in methods
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("GET /v1/shelves/7/books", OTHER_RPC),
        ("DELETE /v1/shelves/7", OTHER_RPC),
        (f"POST /{LIBRARY}/DeleteShelf", OTHER_RPC),
        ("POST /library.v1.Vault/Open", "Could not resolve /library.v1.Vault/Open to a method."),
    ],
)
async def test_the_guard_stops_what_the_transcoder_reads_differently(opened: Open, line: str, message: str) -> None:
    async with opened(live(a_config(wide("GET", "POST", "DELETE")))) as stage:
        answer = await stage.rest(line, {} if line.startswith("POST") else None)

        assert (answer.status, answer.json()) == (404, {"code": 404, "message": message})
        assert stage.library.called == []
        assert (await stage.rest("GET /v1/shelves/7")).status == 200


async def test_a_wide_binding_opens_no_other_rpc_to_grpc(opened: Open) -> None:
    async with opened(live(a_config(wide("POST")))) as stage:
        for rpc in ("DeleteShelf", "/library.v1.Vault/Open", "GetShelf", "/v1/shelves:find"):
            assert await stage.grpc(rpc) == (12, NOT_GRPC)
            assert (await stage.web(rpc)).status == (12, NOT_GRPC)
        assert stage.library.called == []


async def test_an_rpc_is_there_for_every_kind_of_caller(opened: Open) -> None:
    request = encoded("ShelfRequest", shelf=5)
    async with opened() as stage:
        assert await stage.grpc("GetShelf", request) == (0, "")
        for text in (False, True):
            web = await stage.web("GetShelf", request, text=text)
            assert (web.http, web.status, web.messages) == (200, (0, ""), [encoded("Shelf", id=5, theme="default")])
        for line, body in (
            ("GET /v1/shelves/5", None),
            ("GET /v1/s/5/", None),
            ("POST /v1/shelves:find", {"shelf": 5}),
            (f"POST /{LIBRARY}/GetShelf", {"shelf": "5"}),
            (f"POST /{LIBRARY}/GetShelf/", {"shelf": "5"}),
        ):
            answer = await stage.rest(line, body)
            assert (answer.status, answer.json()) == (200, {"id": "5", "theme": "default"})
            assert not [name for name, _ in answer.headers if name.startswith(("grpc-", "x-authz-", "x-envoy-"))]


async def test_what_is_no_rpc_of_the_service_is_unimplemented(opened: Open) -> None:
    async with opened() as stage:
        assert await stage.grpc("/library.v1.Vault/Open") == (12, UNKNOWN_PATH)
        assert (await stage.web("/library.v1.Vault/Open")).status == (12, UNKNOWN_PATH)
        assert (await stage.web("Nope", text=True)).status == (12, UNKNOWN_PATH)
        assert (await stage.rest("POST /library.v1.Vault/Open", {})).status == 404
        refused = await stage.rest("PATCH /v1/shelves/5", {})
        assert (refused.status, refused.header("allow")) == (405, "DELETE, GET, POST")


async def test_rest_backends_and_rpcs_stand_in_one_service(opened: Open) -> None:
    """Each operation reaches its own backend, in the protocol that it speaks; documents of the gateway's stay."""
    async with Upstream(lambda request: Response(200, [], json.dumps([request.method, request.path]).encode())) as rest:
        plain = Operation("1.Plain", "POST", Template.parse("/v1/plain"), backend=Backend(f"http://{rest.address}"))
        async with opened(live(a_config([*operations(), plain]))) as stage:
            assert (await stage.rest("GET /v1/shelves/5")).status == 200
            for kind in (JSON, GRPC, "application/grpc-web"):
                answer = await stage.rest("POST /v1/plain?a=b", b"x", ("content-type", kind))
                assert (answer.json(), rest.seen[-1].header("content-type")) == (["POST", "/v1/plain?a=b"], kind)
            assert (await stage.rest("GET /v1/plain")).status == 405


async def test_beside_rest_backends_a_path_is_not_overruled_either(opened: Open) -> None:
    """Whose queries are their backends', with whatever escapes."""
    async with Upstream() as rest:
        plain = Operation(
            "1.Plain", "GET", Template.parse("/v1/plain/{shelf}"), backend=Backend(f"http://{rest.address}")
        )
        async with opened(live(a_config([*operations(), plain]))) as stage:
            assert (await stage.rest("GET /v1/plain/7?shelf=9&a%5B%5D=%ff")).status == 200
            assert rest.seen[-1].path == "/v1/plain/7?shelf=9&a%5B%5D=%ff"
            assert (await stage.rest("GET /v1/shelves/7?theme=%C3%BC&like.id=3")).json() == {"id": "7", "theme": "ü"}
            stage.library.seen.clear()
            for query in ("shelf=9", "theme=x&shelf=9", "sh%65lf=9", "theme=x&%73helf=9", "shelf=7"):
                refused = await stage.rest(f"GET /v1/shelves/7?{query}")
                assert (refused.status, refused.json()) == (400, {"code": 400, "message": REPEATED})
            assert stage.library.called == []


@pytest.mark.parametrize("backend", ["http://{}", "grpc://{}", "{}"])
async def test_rpcs_reach_the_gateways_own_backend_however_it_is_spelled(opened: Open, backend: str) -> None:
    elsewhere = operations(backend=Backend("grpc://nowhere.invalid", protocol=Protocol.HTTP2))
    for found, more in ((operations(), {}), (elsewhere, {"backend_override": True})):
        async with opened(live(a_config(found)), at=backend, **more) as stage:
            assert (await stage.rest("GET /v1/shelves/5")).status == 200
            assert await stage.grpc("GetShelf") == (0, "")


async def test_browsers_may_send_and_read_what_grpc_web_is_made_of(opened: Open) -> None:
    asks = ("origin", "http://good.test"), ("access-control-request-method", "POST")
    async with opened(live(a_config(operations())), cors_preset="basic", cors_allow_origin="http://good.test") as stage:
        preflight = await stage.rest(f"OPTIONS /{LIBRARY}/GetShelf", b"", *asks)
        called = await stage.rest(
            f"POST /{LIBRARY}/GetShelf", bytes(5), asks[0], ("content-type", "application/grpc-web+proto")
        )

    assert preflight.status == 200
    allowed, exposed = preflight.header("access-control-allow-headers"), called.header("access-control-expose-headers")
    assert {"X-Grpc-Web", "Grpc-Timeout", "Authorization"} <= set((allowed or "").split(","))
    assert {"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"} <= set((exposed or "").split(","))
