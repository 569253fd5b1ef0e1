"""Which filters, in which order; and what they do to real requests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from envoy.service.ratelimit.v3 import rls_pb2

from authz import wire
from authz.errors import UsageError
from authz.model.auth import Alternative, JwtProvider, Place, PlaceKind, Requirement
from authz.model.inventory import Inventory, LiveConfig, LiveService
from authz.model.service import Backend, PathTranslation, ServiceConfig
from authz.settings import Settings
from authz.xds import filters
from authz.xds.replies import SIDECAR_AWAY
from authz.xds.rpc import reverse, switches
from harness.dataplane import KEY, Sidecar, Start, an_inventory, an_operation
from harness.http import Response, Upstream

EVERYTHING = Settings(
    method_override=True, cors_preset="basic", health_path="/healthz", compression=True, access_log="-"
)


def test_the_order_is_the_table() -> None:
    built = [one.name for one in filters.build(EVERYTHING)]

    assert built == [row.name for row in filters.CHAIN]
    assert built.index(filters.CORS) < built.index(filters.CHECK) < built.index(filters.RATE_LIMIT)
    assert built[-1] == "envoy.filters.http.router"


def test_by_default_only_what_an_operation_may_ask_for_is_there_and_it_is_off() -> None:
    built = {one.name: one.disabled for one in filters.build(Settings())}

    assert built == {
        switches.HEADERS: True,
        switches.WEB: True,
        switches.QUERY: True,
        filters.CHECK: True,
        filters.RATE_LIMIT: True,
        switches.BUFFER: True,
        switches.TRANSCODER: True,
        switches.GUARD: True,
        reverse.ANSWERS: True,
        reverse.FILTER: True,
        reverse.WITNESS: True,
        reverse.TEACHER: True,
        reverse.GUARD: True,
        "authz.path_translation": True,
        "envoy.filters.http.router": False,
    }


def test_the_chain_does_not_depend_on_what_is_deployed() -> None:
    assert [bytes(one) for one in filters.build(Settings())] == [bytes(one) for one in filters.build(Settings())]
    assert next(one for one in filters.build(Settings()) if one.name == filters.CHECK).config_discovery


def test_check_reads_default_places_and_those_declared() -> None:
    requirement = Requirement(
        (Alternative(needs_key=True, key_places=(Place(PlaceKind.HEADER, "X-Mine"), Place(PlaceKind.QUERY, "k"))),)
    )
    provider = JwtProvider("p", "https://i", places=(Place(PlaceKind.COOKIE, "session"),))
    config = ServiceConfig("s", operations=(an_operation("/a", needs=requirement),), providers=(provider,), id="c")
    inventory = Inventory(1, (LiveService("s", (LiveConfig(config),)),))

    plain = filters.check_headers(Inventory(0), Settings())
    declared = filters.check_headers(inventory, Settings())

    assert plain >= {"authorization", "x-api-key", "x-goog-iap-jwt-assertion", *wire.CHECK_HEADERS}
    assert declared - plain == {"x-mine", "cookie"}


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Settings(client_ip_from_forwarded=True), wire.FORWARDED),
        (Settings(trusted_hops=1), wire.FORWARDED_FOR),
        (Settings(use_remote_address=False), wire.FORWARDED_FOR),
    ],
)
def test_check_reads_the_clients_address_where_the_settings_say_so(settings: Settings, name: str) -> None:
    assert name in filters.check_headers(Inventory(0), settings)
    assert name not in filters.check_headers(Inventory(0), Settings())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cors_preset": "foo"}, "cors_preset is 'foo'"),
        ({"cors_preset": "basic", "cors_allow_origin": ""}, "has no cors_allow_origin"),
        ({"cors_preset": "cors_with_regex"}, "has no cors_allow_origin_regex"),
        ({"cors_preset": "cors_with_regex", "cors_allow_origin_regex": "("}, "unterminated|missing"),
        ({"cors_preset": "cors_with_regex", "cors_allow_origin_regex": "(?=a).*"}, "RE2"),
        ({"cors_preset": "cors_with_regex", "cors_allow_origin_regex": r"(a)\1"}, "RE2"),
        ({"cors_preset": "cors_with_regex", "cors_allow_origin_regex": "a" * 1001}, "1001 characters"),
    ],
)
def test_a_preset_that_cannot_work_is_a_usage_error(settings: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        filters.check_cors(Settings(**settings))  # type: ignore[arg-type]


# -- with a real Envoy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("in_check", "both"), [(True, (1, 0)), (False, (1, 1))])
async def test_operations_that_need_nothing_ask_nobody_and_those_that_need_both_ask_once(
    start: Start, in_check: bool, both: tuple[int, int]
) -> None:
    inventory = an_inventory(
        an_operation("/open"), an_operation("/key", needs=KEY), an_operation("/counted", cost=1),
        an_operation("/both", needs=KEY, cost=1),
    )  # fmt: skip
    asked = {}
    async with start(inventory, quota_in_check=in_check) as gateway:
        for path in ("/open", "/key", "/counted", "/both", "/none"):
            gateway.sidecar.checks.clear()
            gateway.sidecar.quotas.clear()
            await gateway.get(path)
            asked[path] = len(gateway.sidecar.checks), len(gateway.sidecar.quotas)

    assert asked == {"/open": (0, 0), "/key": (1, 0), "/counted": (0, 1), "/both": both, "/none": (0, 0)}


async def test_check_sees_declared_headers_only_and_repeats_with_a_comma(start: Start) -> None:
    async with start(an_inventory(an_operation("/key", needs=KEY))) as gateway:
        await gateway.get("/key?key=q", ("x-api-key", "a"), ("X-Api-Key", "b"), ("cookie", "c=d"), ("x-other", "e"))
        (request,) = gateway.sidecar.checks

    http = request.attributes.request.http
    assert dict(http.headers) == {"x-api-key": "a,b"}
    assert http.path == "/key?key=q"
    assert request.attributes.context_extensions[wire.CONTEXT_OPERATION] == "1.api.GetKey"


async def test_denials_are_json_for_http_and_a_status_for_grpc(start: Start, backend: Upstream) -> None:
    async with start(an_inventory(an_operation("/key", needs=KEY))) as gateway:
        gateway.sidecar.check = Sidecar.deny
        http = await gateway.get("/key")
        grpc = await gateway.get("/key", ("content-type", "application/grpc+proto"))
        web = await gateway.get("/key", ("content-type", "application/grpc-web"))

    assert (http.status, http.json()) == (401, {"code": 401, "message": 'say "please"'})
    assert http.header("content-type") == "application/json"
    assert (grpc.status, grpc.header("grpc-status"), grpc.header("grpc-message")) == (200, "16", 'say "please"')
    assert web.json() == {"code": 401, "message": 'say "please"'}
    assert not backend.seen


async def test_a_sidecar_that_is_away_means_503_and_quota_follows_its_setting(start: Start) -> None:
    inventory = an_inventory(an_operation("/key", needs=KEY), an_operation("/counted", cost=1))
    answers = {}
    for mode in ("allow", "deny"):
        async with start(inventory, quota_when_down=mode) as gateway:
            gateway.sidecar.check = gateway.sidecar.quota = None  # type: ignore[assignment]
            answers[mode] = [await gateway.get(path) for path in ("/key", "/counted")]
            grpc = await gateway.get("/key", ("content-type", "application/grpc"))

    told = {"code": 503, "message": SIDECAR_AWAY}
    assert {mode: [one.status for one in both] for mode, both in answers.items()} == {
        "allow": [503, 200],
        "deny": [503, 503],
    }
    assert [one.json() for one in answers["deny"]] == [told, told]
    assert (grpc.header("grpc-status"), grpc.header("grpc-message")) == ("14", SIDECAR_AWAY)


async def test_over_quota_is_429_without_envoys_own_headers(start: Start) -> None:
    async with start(an_inventory(an_operation("/counted", cost=1))) as gateway:
        refusal = rls_pb2.RateLimitResponse(
            overall_code=rls_pb2.RateLimitResponse.OVER_LIMIT, raw_body=b"No more for now."
        )
        refusal.response_headers_to_add.add(key="retry-after", value="7")
        gateway.sidecar.quota = refusal
        answer = await gateway.get("/counted")

    assert (answer.status, answer.json()) == (429, {"code": 429, "message": "No more for now."})
    assert answer.all("retry-after") == ["7"]
    assert not [name for name, _ in answer.headers if name.startswith("x-")]


HYGIENE = [
    ("x-endpoint-api-userinfo", "e"),
    ("X-Endpoint-API-Consumer-Number", "1"),
    ("x-endpoint-api-consumer-type", "PROJECT"),
    ("x-endpoint-api-operation-name", "o"),
    ("x-forwarded-authorization", "Bearer x"),
    ("x-forwarded-host", "evil.example"),
    ("x-http-method-override", "DELETE"),
    ("x-authz-method", "DELETE"),
    ("x-envoy-original-path", "/admin"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
    ("x-envoy-retry-on", "5xx"),
    ("x-envoy-internal", "true"),
    ("x-forwarded-client-cert", "Subject=evil"),
]


@pytest.mark.parametrize("prefix", ["X-Endpoint-", "X-Apigateway-"])
async def test_what_only_the_gateway_may_say_is_removed_on_open_routes_too(
    start: Start, backend: Upstream, prefix: str
) -> None:
    sent = [(name.lower().replace("x-endpoint-", prefix.lower()), value) for name, value in HYGIENE]
    async with start(an_inventory(an_operation("/open")), header_prefix=prefix) as gateway:
        answer = await gateway.get("/open", *sent)
    (request,) = backend.seen

    assert answer.status == 200
    assert request.method == "GET"
    told = f"{prefix.lower()}api-operation-name"
    assert {name.lower() for name, _ in request.headers} == {
        "host", "x-forwarded-for", "x-forwarded-proto", "x-request-id", told,
    }  # fmt: skip
    assert request.all(told) == [an_operation("/open").selector]


async def test_the_override_replaces_the_method_when_it_is_enabled(start: Start, backend: Upstream) -> None:
    inventory = an_inventory(an_operation("/a"), an_operation("/a", "POST", needs=KEY))
    async with start(inventory, method_override=True) as gateway:
        replaced = await gateway.get("/a", ("X-HTTP-Method-Override", "POST"))
        checked = [one.attributes.request.http.method for one in gateway.sidecar.checks]
        unknown = await gateway.get("/a", ("X-HTTP-Method-Override", "DELETE"))

    assert (replaced.status, unknown.status) == (200, 405)
    assert checked == ["POST"]
    assert [one.method for one in backend.seen] == ["POST"]


async def test_the_health_path_is_answered_by_envoy_and_no_other_is(start: Start, backend: Upstream) -> None:
    async with start(an_inventory(an_operation("/key", needs=KEY)), health_path="healthz") as gateway:
        answers = {
            path: (await gateway.get(path)).status for path in ("/healthz", "/healthz?x", "/healthz/", "/x/../healthz")
        }
        posted = await gateway.get("/healthz", method="POST")

    assert answers == {"/healthz": 200, "/healthz?x": 404, "/healthz/": 404, "/x/../healthz": 200}
    assert (posted.status, posted.body) == (200, b"")
    assert not backend.seen


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [("gzip", "gzip"), ("br", "br"), ("gzip, br", "gzip"), ("gzip;q=0.1, br;q=0.9", "br"), ("identity", None)],
)
async def test_answers_are_compressed_as_the_client_likes(
    start: Start, backend: Upstream, accept: str, encoding: str | None
) -> None:
    backend.answer = lambda _: Response(200, [("content-type", "application/json")], b'"' + b"x" * 2000 + b'"')
    async with start(an_inventory(an_operation("/open")), compression=True) as gateway:
        answer = await gateway.get("/open", ("accept-encoding", accept))

    assert answer.header("content-encoding") == encoding
    assert (len(answer.body) < 200) is (encoding is not None)


ORIGIN = ("origin", "https://a.example.com")
FOREIGN = ("origin", "https://evil.test")
ASKS = ("access-control-request-method", "PUT")
PRESETS = [
    {"cors_preset": "basic", "cors_allow_origin": "https://a.example.com"},
    {"cors_preset": "basic", "cors_allow_origin": "*"},
    {"cors_preset": "cors_with_regex", "cors_allow_origin_regex": r"^https://.+\.example\.com$"},
]


@pytest.mark.parametrize("preset", PRESETS, ids=["exact", "star", "regex"])
async def test_a_preset_answers_preflights_everywhere_and_marks_every_answer(
    start: Start, backend: Upstream, preset: dict[str, str]
) -> None:
    inventory = an_inventory(an_operation("/key", needs=KEY), an_operation("/own", "OPTIONS"))
    async with start(inventory, cors_allow_credentials=True, **preset) as gateway:
        gateway.sidecar.check = Sidecar.deny
        preflights = [await gateway.get(path, ORIGIN, ASKS, method="OPTIONS") for path in ("/key", "/none", "/own")]
        bad = [await gateway.get("/key", *headers, method="OPTIONS") for headers in ((ORIGIN,), (ASKS,), ())]
        foreign = await gateway.get("/key", FOREIGN, ASKS, method="OPTIONS")
        denied = await gateway.get("/key", ORIGIN)
        own = await gateway.get("/own", ORIGIN, method="OPTIONS")

    for preflight in preflights:
        assert preflight.status == 200
        assert preflight.header("access-control-allow-origin") == ORIGIN[1]
        assert preflight.header("access-control-max-age") == "1728000"
        assert preflight.header("access-control-allow-credentials") == "true"
        assert preflight.header("access-control-allow-methods") == Settings().cors_allow_methods
    assert [one.status for one in bad] == [400, 400, 400]
    assert bad[0].json()["code"] == 400
    assert foreign.status == (200 if preset.get("cors_allow_origin") == "*" else 400)
    assert denied.status == 401
    assert denied.header("access-control-allow-origin") == ORIGIN[1]
    assert denied.header("access-control-expose-headers") == "Content-Length,Content-Range"
    assert own.status == 200
    assert [one.path for one in backend.seen] == ["/own"]


async def test_a_foreign_origin_is_served_without_headers(start: Start) -> None:
    async with start(an_inventory(an_operation("/open")), **PRESETS[0]) as gateway:
        answer = await gateway.get("/open", FOREIGN)

    assert answer.status == 200
    assert not [name for name, _ in answer.headers if name.startswith("access-control")]


async def test_the_log_tells_who_called_what_and_hides_the_query(
    start: Start, backend: Upstream, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    constant = Backend(f"http://{backend.address}/base", path_translation=PathTranslation.CONSTANT)
    inventory = an_inventory(an_operation("/things/{id}", needs=KEY, backend=constant))
    async with start(inventory, access_log=str(log)) as gateway:
        await gateway.get("/things/7?key=secret")
    line = json.loads(log.read_text())

    assert backend.seen[0].path == "/base?key=secret&id=7"
    assert (
        line
        | {
            "path": "/things/7",
            "method": "GET",
            "status": 200,
            "service": "api.example.test",
            "config": "2026-01-01r0",
            "operation": "1.api.GetThings{Id}",
            "consumer": "Ann",
            "decision": "allow",
            "client": "127.0.0.1",
        }
        == line
    )
    assert "secret" not in json.dumps(line)
