"""Walk 1 under attack: what a hardened gateway must refuse, and what it must not let through to backends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc.aio
import pytest
import pytest_asyncio
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse

from authz import wire
from authz.admin import keys
from harness import gateway, http, raw
from harness.http import Request, Response, Upstream
from harness.issuer import Issuer
from walks.documents import GUARDED, OPEN, document, jwt_scheme

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "attack.example.test"
OTHER = "other.example.test"


@dataclass
class Stage:
    running: gateway.Running
    backend: Upstream
    key: str
    issuer: Issuer

    async def get(self, path: str, *headers: tuple[str, str], method: str = "GET", host: str = HOST) -> Response:
        return await http.fetch(self.running.port, method, path, headers, host=host)

    async def lines(self, *lines: str | bytes) -> Response:
        """An HTTP/1.1 request of these lines, just so."""
        parts = [line.encode() if isinstance(line, str) else line for line in lines]
        return await raw.http1(self.running.port, b"\r\n".join(parts) + b"\r\n\r\n")

    async def target(self, target: str, version: int, method: str = "GET") -> Response:
        """A request for a target as it is, over HTTP/1.1 or HTTP/2."""
        if version == 1:
            return await self.lines(f"{method} {target} HTTP/1.1", f"host: {HOST}", "connection: close")
        return await raw.http2(
            self.running.port,
            [(":method", method), (":scheme", "http"), (":authority", HOST), (":path", target)],
        )

    @property
    def last(self) -> Request:
        return self.backend.seen[-1]

    def token(self) -> str:
        return self.issuer.token(iss="http://issuer", aud=f"https://{HOST}", sub="someone")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, transport: str) -> AsyncIterator[Stage]:
    issuer = Issuer()
    async with Upstream() as backend, Upstream(issuer.answer) as server:
        schemes = {
            "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "jwt": jwt_scheme("http://issuer", f"http://{server.address}/"),
        }
        paths = {
            "/public": {"get": OPEN},
            "/admin": {"get": GUARDED, "delete": GUARDED},
            "/deep/{name}": {"get": OPEN},
            "/token": {"get": {"security": [{"jwt": []}]}},
            "/optional": {"get": {"security": [{"jwt": []}, {}]}},
        }
        texts = [document(HOST, paths, schemes=schemes), document(OTHER, {"/admin": {"get": OPEN}})]
        async with gateway.running(
            tmp_path_factory.mktemp("attack"), texts, now=time.time(), backend=f"http://{backend.address}"
        ) as running:
            key = keys.create(running.store, "ann", now=time.time()).text
            yield Stage(running, backend, key, issuer)


# -- paths that mean something else further on ------------------------------------------------------------------------

TARGETS = {
    "dots": ("/public/../admin", 401),
    "encoded dots": ("/public/%2e%2e/admin", 401),
    "encoded dots, upper case": ("/public/%2E%2E/admin", 401),
    "encoded slash behind dots": ("/public/..%2fadmin", 400),
    "encoded slash": ("/deep/a%2Fb", 400),
    "encoded backslash": ("/deep/a%5Cb", 400),
    "encoded backslash behind dots": ("/deep/..%5cadmin", 400),
    "backslash": ("/deep/a\\b", 404),
    "backslash behind dots": ("/deep\\..\\admin", 401),
    "empty segment": ("//admin", 401),
    "empty segments and dots": ("/public//..//admin", 404),
    "encoded letter": ("/%61dmin", 401),
    "twice encoded letter": ("/%2561dmin", 404),
    "dots with a parameter": ("/public/..;/admin", 401),
    "encoded dots with a parameter": ("/public/%2e%2e;/admin", 400),
    "parameter": ("/admin;x=1", 404),
    "upper case": ("/ADMIN", 404),
    "trailing slash": ("/admin/", 401),
    "trailing dot": ("/admin/.", 401),
    "encoded NUL": ("/deep/a%00", 400),
    "encoded line end": ("/deep/a%0d%0aX:y", 400),
    "encoded tab": ("/deep/a%09", 400),
    "encoded DEL": ("/deep/a%7f", 400),
    "encoded space": ("/deep/a%20b", 200),
    "malformed escape": ("/deep/%zz", 400),
    "cut escape": ("/deep/a%2", 400),
    "overlong slash": ("/deep/%c0%af", 400),
    "not UTF-8": ("/deep/a%ff", 400),
    "parameter in a segment": ("/deep/a;b", 200),
    "unknown path": ("/nowhere", 404),
}


@pytest.mark.parametrize("version", [1, 2], ids=["http1", "http2"])
@pytest.mark.parametrize("case", TARGETS)
async def test_paths(stage: Stage, case: str, version: int) -> None:
    target, status = TARGETS[case]
    before = len(stage.backend.seen)
    answer = await stage.target(target, version)

    assert answer.status == status
    assert len(stage.backend.seen) - before == (status == 200)
    if status != 200:
        assert answer.json()["code"] == status


@pytest.mark.parametrize("version", [1, 2], ids=["http1", "http2"])
async def test_what_is_no_path(stage: Stage, version: int) -> None:
    """HTTP/2 ends the connection, after a second, where HTTP/1.1 has an answer."""
    before = len(stage.backend.seen)
    targets = ["/public#fragment", "/public?a#b", "admin", "*", ""]
    answers = await asyncio.gather(*(stage.target(target, version) for target in targets))
    bad = 400 if version == 1 else raw.NO_ANSWER.status

    assert [answer.status for answer in answers] == [400, 400, bad, bad, bad]
    assert len(stage.backend.seen) == before


async def test_nothing_is_decoded_twice(stage: Stage) -> None:
    answer = await stage.target("/deep/%252e%252e", 1)

    assert (answer.status, stage.last.path) == (200, "/deep/%252e%252e")


METHODS = {
    "TRACE": (405, 405),
    "PATCH": (405, 405),
    "PROPFIND": (405, 405),
    "get": (400, 405),
    "CONNECT": (400, 0),
}


@pytest.mark.parametrize("version", [1, 2], ids=["http1", "http2"])
@pytest.mark.parametrize("method", METHODS)
async def test_methods_that_no_operation_has(stage: Stage, method: str, version: int) -> None:
    before = len(stage.backend.seen)
    answer = await stage.target("/public", version, method)

    assert answer.status == METHODS[method][version - 1]
    assert answer.status != 405 or answer.header("allow") == "GET"
    assert len(stage.backend.seen) == before


async def test_a_raw_space_in_the_target(stage: Stage) -> None:
    assert (await stage.lines("GET /public /admin HTTP/1.1", f"host: {HOST}")).status == 400


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (f"http://{HOST}/admin", 401),
        (f"http://{HOST}/public", 200),
        ("http://evil.test/public", 404),
        (f"http://{OTHER}/admin", 200),
    ],
)
async def test_the_host_of_an_absolute_target_counts(stage: Stage, target: str, status: int) -> None:
    assert (await stage.lines(f"GET {target} HTTP/1.1", f"host: {HOST}", "connection: close")).status == status


async def test_the_method_override_header_is_nobodys(stage: Stage) -> None:
    answer = await stage.get("/public", ("x-http-method-override", "DELETE"))

    assert answer.status == 200
    assert (stage.last.method, stage.last.header("x-http-method-override")) == ("GET", None)


# -- hosts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [f"{HOST}:8443", f"{HOST}.", f"{HOST}.:8443", HOST.upper()])
async def test_a_hosts_spellings_are_one_host(stage: Stage, host: str) -> None:
    assert (await stage.get("/admin", host=host)).status == 401


@pytest.mark.parametrize("host", ["evil.test", f"{HOST}.evil.test", f"evil.{HOST}", "", "127.0.0.1"])
async def test_other_hosts_have_no_operations(stage: Stage, host: str) -> None:
    assert (await stage.lines("GET /public HTTP/1.1", f"host: {host}", "connection: close")).status in {400, 404}


@pytest.mark.parametrize("hosts", [(HOST, OTHER), (OTHER, HOST), (HOST, HOST)])
async def test_two_host_lines(stage: Stage, hosts: tuple[str, str]) -> None:
    answer = await stage.lines("GET /admin HTTP/1.1", *(f"host: {host}" for host in hosts))

    assert answer.status == 400


@pytest.mark.parametrize(
    ("authority", "more", "statuses"),
    [
        ([HOST, OTHER], [], {0}),
        ([OTHER], [("host", HOST)], {200}),
        ([HOST], [("host", OTHER)], {401}),
        ([], [("host", HOST)], {401}),
    ],
)
async def test_http2_authorities(
    stage: Stage, authority: list[str], more: list[tuple[str, str]], statuses: set[int]
) -> None:
    """The authority decides alone: `/admin` of one host is open, of the other it is guarded."""
    fields = [(":method", "GET"), (":scheme", "http"), *((":authority", a) for a in authority), (":path", "/admin")]
    answer = await raw.http2(stage.running.port, [*fields, *more])

    assert answer.status in statuses
    if answer.status == 200:
        assert stage.last.header("host") == OTHER


# -- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/admin", [("x-api-key", "{key}"), ("x-api-key", "other")], 400),
        ("/admin", [("x-api-key", "other"), ("X-API-Key", "{key}")], 400),
        ("/admin", [("x-api-key", "{key},other")], 400),
        ("/admin?key={key}&key=other", [], 400),
        ("/admin?key=other&k%65y={key}", [], 400),
        ("/admin?k%65y={key}", [], 400),
        ("/admin?key=other", [("x-api-key", "{key}")], 400),
        ("/admin?key={key}", [("x-api-key", "other")], 200),
        ("/admin", [("x-api-key", "")], 401),
        ("/admin", [("x-api-key", " {key} ")], 200),
        ("/admin", [("cookie", "x-api-key={key}")], 401),
        ("/admin", [("x-api-key", "{key}"), ("connection", "x-api-key")], 401),
        ("/token", [("authorization", "Bearer {token}"), ("authorization", "Bearer x")], 400),
        ("/token", [("authorization", "Bearer x"), ("authorization", "Bearer {token}")], 400),
        ("/token", [("authorization", "Bearer {token}, Bearer x")], 400),
        ("/token", [("authorization", "bearer {token}")], 200),
        ("/token", [("authorization", "Basic {token}")], 401),
        ("/token", [("authorization", "Bearer{token}")], 401),
        ("/token?access_token={token}&access_token=x", [], 400),
        ("/token?access%5ftoken={token}", [], 400),
        ("/token", [("authorization", "Bearer {token}"), ("connection", "authorization")], 401),
        ("/optional", [("authorization", "Bearer x")], 401),
        ("/optional", [("authorization", "Bearer {token}"), ("connection", "authorization")], 200),
    ],
)
async def test_ambiguous_credentials(stage: Stage, path: str, headers: list[tuple[str, str]], status: int) -> None:
    filled = {"key": stage.key, "token": stage.token()}
    before = len(stage.backend.seen)
    answer = await stage.get(path.format(**filled), *((name, value.format(**filled)) for name, value in headers))

    assert answer.status == status, answer.body
    assert len(stage.backend.seen) - before == (status == 200)


async def test_a_credential_that_connection_took_away_names_nobody(stage: Stage) -> None:
    """The caller is anonymous then, and the backend hears of no user."""
    headers = [("authorization", f"Bearer {stage.token()}"), ("connection", "authorization, x-endpoint-api-userinfo")]
    answer = await stage.get("/optional", *headers, ("x-endpoint-api-userinfo", "e30"))

    assert answer.status == 200
    assert stage.last.header("x-endpoint-api-userinfo") is None


# -- what only the gateway may say ------------------------------------------------------------------------------------

SPOOFED = {
    "X-Endpoint-API-UserInfo": "e30",
    "X-Endpoint-API-Consumer-Type": "PROJECT",
    "X-Endpoint-API-Consumer-Number": "1",
    "X-Forwarded-Authorization": "Bearer me",
    "X-Envoy-Original-Path": "/elsewhere",
    "X-Forwarded-Host": "evil.test",
    "X-Envoy-Retry-On": "5xx",
    "X-Envoy-Upstream-Rq-Timeout-Ms": "1",
    "X-Envoy-Internal": "true",
    "X-Envoy-External-Address": "10.0.0.1",
    "X-Forwarded-Client-Cert": "Hash=abc",
    "X-Authz-Gateway-Secret": "a guess",
}


@pytest.mark.parametrize("path", ["/public", "/deep/x", "/optional", "/admin", "/token"])
@pytest.mark.parametrize("trick", [[], [("connection", "x-endpoint-api-userinfo, x-endpoint-api-consumer-number")]])
async def test_spoofed_headers_reach_no_backend(stage: Stage, path: str, trick: list[tuple[str, str]]) -> None:
    credentials = {"/admin": [("x-api-key", stage.key)], "/token": [("authorization", f"Bearer {stage.token()}")]}
    answer = await stage.get(path, *SPOOFED.items(), *trick, *credentials.get(path, []))

    assert answer.status == 200
    told = {name.lower(): value for name, value in stage.last.headers}
    true = {
        "/admin": {"x-endpoint-api-consumer-type", "x-endpoint-api-consumer-number"},
        "/token": {"x-endpoint-api-userinfo"},
    }.get(path, set())
    assert {name for name in map(str.lower, SPOOFED) if name in told} == true
    assert told.get("x-endpoint-api-userinfo") != "e30"


@pytest.mark.parametrize("name", ["X_Endpoint_API_UserInfo", "X-Endpoint_API-Consumer-Number", "x_api_key"])
async def test_names_with_underscores(stage: Stage, name: str) -> None:
    assert (await stage.get("/public", (name, "1"))).status == 400


async def test_the_clients_address_is_the_connections(stage: Stage) -> None:
    await stage.get("/public", ("x-forwarded-for", "10.0.0.1"), ("x-forwarded-proto", "https"))

    assert (stage.last.header("x-forwarded-for") or "").split(",")[-1].strip() != "10.0.0.1"
    assert stage.last.header("x-forwarded-proto") == "http"


# -- requests that two parsers read differently -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        (["content-length: 5", "transfer-encoding: chunked"], {400}),
        (["content-length: 5", "content-length: 6"], {400}),
        (["transfer-encoding: chunked, gzip"], {400, 501}),
        (["transfer-encoding: xchunked"], {400, 501}),
        (["x-api-key : a"], {400}),
        ([b"x-api-key: a\x00b"], {400}),
        (["x-big: " + "y" * 70_000], {431}),
    ],
)
async def test_smuggling(stage: Stage, lines: list[str | bytes], statuses: set[int]) -> None:
    before = len(stage.backend.seen)
    answer = await stage.lines("GET /public HTTP/1.1", f"host: {HOST}", *lines)

    assert answer.status in statuses
    assert len(stage.backend.seen) == before


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("x-api-key: {key}\r\n more", 400),
        ("x-api-key:\r\n {key}", 200),
        (b"x-api-key: {key}\xff", 400),
        (b"x-api-key: \xe4{key}", 400),
    ],
    ids=["folded with more", "folded", "byte behind", "byte in front"],
)
async def test_bytes_that_a_key_cannot_have(stage: Stage, line: str | bytes, status: int) -> None:
    """Envoy unfolds a line before anybody reads it, so a folded key is that key and nothing else."""
    text = (line.encode() if isinstance(line, str) else line).replace(b"{key}", stage.key.encode())
    answer = await stage.lines("GET /admin HTTP/1.1", f"host: {HOST}", text, "connection: close")

    assert answer.status == status


# -- what asks the sidecar itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize("question", [b"", b"\xff", b"\x0a\x00", b"not protobuf at all"])
async def test_a_question_that_is_none_admits_nobody(stage: Stage, question: bytes) -> None:
    """Bytes that no Envoy of ours sends; an unset or unknown code would let a call pass."""
    async with grpc.aio.insecure_channel(stage.running.gateway.sidecar) as channel:
        checked = CheckResponse.FromString(await channel.unary_unary(wire.CHECK_METHOD)(question))
        counted = RateLimitResponse.FromString(await channel.unary_unary(wire.RATE_LIMIT_METHOD)(question))

    assert checked.status.code == 14
    assert checked.denied_response.status.code == 503
    assert counted.overall_code == RateLimitResponse.OVER_LIMIT


async def test_a_grpc_caller_is_denied_in_grpc(stage: Stage) -> None:
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", HOST), (":path", "/admin")]
    answer = await raw.http2(stage.running.port, [*fields, ("content-type", "application/grpc"), ("te", "trailers")])

    assert (answer.status, answer.header("grpc-status")) == (200, "16")
    assert answer.header("grpc-message")
