"""What the gateway says itself, to callers of every kind. On a real Envoy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from envoy.service.auth.v3 import external_auth_pb2
from envoy.service.ratelimit.v3 import rls_pb2

from authz import wire
from authz.model.quota import Cost
from authz.model.service import Backend, Protocol
from authz.xds.replies import SIDECAR_AWAY
from harness.dataplane import KEY, Sidecar
from harness.grpc_library import operations
from harness.grpc_stage import Stage, a_config, a_stage, encoded, live

REQUEST = encoded("ShelfRequest", shelf=5)


@pytest.fixture
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., contextlib.AbstractAsyncContextManager[Stage]]:
    def make(found: Any = (), **settings: Any) -> contextlib.AbstractAsyncContextManager[Stage]:
        directory: Path = tmp_path_factory.mktemp("r")
        return a_stage(directory, live(a_config(found)), **settings)

    return make


def denying(status: int, grpc: int = 0) -> Callable[[object], external_auth_pb2.CheckResponse]:
    """A sidecar that denies as ours does: in gRPC with a status of its own."""

    def check(request: Any) -> external_auth_pb2.CheckResponse:
        response = Sidecar.deny(request)
        response.denied_response.status.code = status
        if grpc and request.attributes.request.http.headers["content-type"] == "application/grpc":
            response.denied_response.headers.add(header={"key": "grpc-status", "value": str(grpc)})
        response.dynamic_metadata.update({wire.METADATA_DECISION: "DENIED"})
        return response

    return check


@pytest.mark.parametrize(("status", "grpc"), [(400, 3), (401, 16), (403, 7), (429, 8), (500, 13), (503, 14)])
async def test_a_denial_reads_the_same_to_every_caller(opened: Any, status: int, grpc: int) -> None:
    words = 'say "please"'
    async with opened(operations(requirement=KEY)) as stage:
        for named in (grpc, 0):
            stage.sidecar.check = denying(status, named)

            assert await stage.grpc("GetShelf", REQUEST) == (grpc, words)
            for text in (False, True):
                web = await stage.web("GetShelf", REQUEST, text=text)
                assert (web.http, web.status, web.messages) == (200, (grpc, words), [])
                assert set(web.trailers) == {"grpc-status", "grpc-message"}
            rest = await stage.rest("GET /v1/shelves/5")
            assert (rest.status, rest.json()) == (status, {"code": status, "message": words})
        assert stage.library.called == []


async def test_a_used_up_quota_is_resource_exhausted(opened: Any) -> None:
    async with opened(operations(requirement=KEY, costs=(Cost("reads", 1),)), quota_in_check=False) as stage:
        over = rls_pb2.RateLimitResponse(overall_code=rls_pb2.RateLimitResponse.OVER_LIMIT, raw_body=b"used up")
        over.response_headers_to_add.add(key="retry-after", value="7")
        stage.sidecar.quota = over

        assert await stage.grpc("GetShelf", REQUEST) == (8, "used up")
        assert (await stage.web("GetShelf", REQUEST)).status == (8, "used up")
        rest = await stage.rest("GET /v1/shelves/5")
        assert (rest.status, rest.json(), rest.header("retry-after")) == (429, {"code": 429, "message": "used up"}, "7")


async def test_a_sidecar_that_is_away_is_unavailable(opened: Any) -> None:
    async with opened(operations(requirement=KEY), check_timeout=0.3) as stage:
        stage.sidecar.check = lambda _: 1 / 0

        assert await stage.grpc("GetShelf", REQUEST) == (14, SIDECAR_AWAY)
        assert (await stage.web("GetShelf", REQUEST)).status == (14, SIDECAR_AWAY)
        assert (await stage.rest("GET /v1/shelves/5")).json() == {"code": 503, "message": SIDECAR_AWAY}


async def test_a_dead_backend_is_unavailable(opened: Any) -> None:
    dead = Backend("grpc://127.0.0.1:1", protocol=Protocol.HTTP2)
    async with opened(operations(backend=dead)) as stage:
        assert (await stage.grpc("GetShelf", REQUEST))[0] == 14
        assert (await stage.web("GetShelf", REQUEST)).status[0] == 14
        rest = await stage.rest("GET /v1/shelves/5")
        assert (rest.status, rest.json()["code"]) == (503, 503)


async def test_the_operations_deadline_holds_and_a_callers_sooner_one(opened: Any) -> None:
    late = encoded("SleepRequest", seconds=20)
    async with opened(operations(backend=Backend(protocol=Protocol.HTTP2, deadline=0.5))) as stage:
        assert (await stage.grpc("Sleep", late))[0] == 4
        assert stage.library.seen[0].deadline is None or stage.library.seen[0].deadline <= 0.5
        assert (await stage.grpc("Sleep", late, metadata=[("grpc-timeout", "100m")]))[0] == 4
        assert stage.library.seen[0].deadline <= 0.1
        assert (await stage.grpc("Sleep", late, metadata=[("grpc-timeout", "1H")]))[0] == 4
        assert (await stage.web("Sleep", late)).status[0] == 4
        rest = await stage.rest("GET /v1/sleep/20")
        assert (rest.status, rest.json()["code"]) == (504, 504)


async def test_paths_and_methods_that_are_refused(opened: Any) -> None:
    async with opened() as stage:
        assert (await stage.grpc("/library.v1.Library%2FGetShelf"))[0] == 3
        assert (await stage.web("/library.v1.Library%2FGetShelf")).status[0] == 3
        assert (await stage.grpc("/v1/echo"))[0] == 12
        assert (await stage.grpc("/nope"))[0] == 12
