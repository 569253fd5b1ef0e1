"""The listener's settings as callers and backends meet them: TLS, compression, headers, CORS, the access log."""

from __future__ import annotations

import contextlib
import gzip
import json
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from authz.admin import keys
from harness import gateway, http
from harness.http import Request, Response, Upstream
from harness.issuer import Issuer
from harness.tls import Authority
from harness.waiting import until
from walks.documents import GUARDED, KEY, OPEN, document, jwt_scheme

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "listener.example.test"
LONG = json.dumps(["the same words again"] * 400).encode()


@dataclass
class Stage:
    running: gateway.Running
    backend: Upstream
    key: str
    issuer: Issuer
    log: Path

    async def get(self, path: str, *headers: tuple[str, str], method: str = "GET", **more: Any) -> Response:
        return await http.fetch(self.running.port, method, path, headers, host=HOST, **more)

    async def lines(self, count: int) -> list[dict[str, Any]]:
        """The last lines of the access log, once there are so many in all."""
        await until(lambda: len(self.log.read_text().splitlines()) >= count if self.log.exists() else False)
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def answer(request: Request) -> Response:
    if request.method == "OPTIONS":
        return Response(204, [("access-control-allow-origin", "https://backend.test")])
    headers = [("content-type", "application/json"), ("x-mine", "backend"), ("x-both", "backend")]
    return Response(200, headers, LONG if request.path.startswith("/long") else b"{}")


@contextlib.asynccontextmanager
async def a_stage(directory: Path, **settings: Any) -> AsyncIterator[Stage]:
    issuer = Issuer()
    log = directory / "access.log"
    async with Upstream(answer) as backend, Upstream(issuer.answer) as server:
        paths = {
            "/open": {"get": OPEN},
            "/long": {"get": OPEN},
            "/guarded": {"get": GUARDED},
            "/token": {"get": {"security": [{"jwt": []}]}},
            "/counted": {"get": {**GUARDED, "x-google-quota": {"metricCosts": {"none": 1}}}},
        }
        text = document(
            HOST,
            paths,
            schemes={**KEY, "jwt": jwt_scheme("http://issuer", f"http://{server.address}/")},
            x_google_management={
                "metrics": [{"name": "none", "valueType": "INT64", "metricKind": "DELTA"}],
                "quota": {
                    "limits": [{"name": "no", "metric": "none", "unit": "1/min/{project}", "values": {"STANDARD": 0}}]
                },
            },
        )
        values = {"backend": f"http://{backend.address}", "access_log": str(log), **settings}
        async with gateway.running(directory / "data", [text], now=time.time(), **values) as running:
            key = keys.create(running.store, "ann", now=time.time()).text
            yield Stage(running, backend, key, issuer, log)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, transport: str) -> AsyncIterator[Stage]:
    settings = {
        "health_path": "/healthz",
        "compression": True,
        "add_request_headers": ("x-added=yes", "x-request-both=set"),
        "append_request_headers": ("x-appended=gateway",),
        "add_response_headers": ("x-told=yes", "x-mine=gateway"),
        "append_response_headers": ("x-both=gateway",),
        "cors_preset": "basic",
        "cors_allow_origin": "https://web.test",
        "cors_allow_credentials": True,
    }
    async with a_stage(tmp_path_factory.mktemp("listener"), **settings) as staged:
        yield staged


# -- TLS ------------------------------------------------------------------------------------------------------------


def trusting(certificate: Path, leaf: Any = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate))
    if leaf is not None:
        context.load_cert_chain(leaf.cert, leaf.key)
    return context


async def test_tls_with_client_certificates(tmp_path: Path) -> None:
    authority, clients = Authority(tmp_path / "ours"), Authority(tmp_path / "clients")
    server, client, stranger = authority.leaf("server"), clients.leaf("client"), authority.leaf("stranger")
    settings = {
        "tls_cert": str(server.cert), "tls_key": str(server.key), "tls_client_ca": str(clients.cert),
        "strict_transport_security": True, "tls_min_version": "TLSv1.3",
    }  # fmt: skip
    async with a_stage(tmp_path, **settings) as stage:
        passed = await stage.get("/guarded", ("x-api-key", stage.key), tls=trusting(authority.cert, client))
        denied = await stage.get("/guarded", tls=trusting(authority.cert, client))
        for leaf in (None, stranger):
            with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
                await stage.get("/open", tls=trusting(authority.cert, leaf))
        old = trusting(authority.cert, client)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await stage.get("/open", tls=old)
        with pytest.raises((ConnectionError, EOFError)):
            await stage.get("/open")
        proto = stage.backend.seen[-1].header("x-forwarded-proto")

    assert (passed.status, denied.status, proto) == (200, 401, "https")
    assert "max-age=" in (passed.header("strict-transport-security") or "")


# -- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepts", "encoding"),
    [("gzip", "gzip"), ("br", "br"), ("gzip;q=0.1, br", "br"), ("identity", None), ("deflate", None)],
)
async def test_compression(stage: Stage, accepts: str, encoding: str | None) -> None:
    got = await stage.get("/long", ("accept-encoding", accepts))

    assert got.header("content-encoding") == encoding
    assert (len(got.body) < len(LONG)) == (encoding is not None)
    if encoding == "gzip":
        assert gzip.decompress(got.body) == LONG


async def test_the_health_path_is_envoys_own(stage: Stage) -> None:
    before = len(stage.backend.seen)
    answers = [(await stage.get("/healthz", method=method)).status for method in ("GET", "HEAD")]

    assert answers == [200, 200]
    assert len(stage.backend.seen) == before
    assert (await http.fetch(stage.running.port, "GET", "/healthz", host="any.test")).status == 200
    assert (await stage.get("/healthz/x")).status == 404


async def test_headers_are_added(stage: Stage) -> None:
    got = await stage.get("/open", ("x-added", "the-callers"), ("x-appended", "the-callers"))
    seen = stage.backend.seen[-1]

    assert seen.all("x-added") == ["yes"]
    assert ",".join(seen.all("x-appended")).replace(" ", "") == "the-callers,gateway"
    assert got.all("x-told") == ["yes"]
    assert got.all("x-mine") == ["gateway"]
    assert ",".join(got.all("x-both")) == "backend,gateway"


async def test_nothing_tells_of_envoy(stage: Stage) -> None:
    got = await stage.get("/guarded", ("x-api-key", stage.key))

    assert [name for name, _ in got.headers if name.lower().startswith("x-envoy")] == []
    assert [name for name, _ in stage.backend.seen[-1].headers if name.lower().startswith("x-envoy")] == []


@pytest.mark.parametrize(
    ("path", "headers", "method", "status"),
    [
        ("/nowhere", [], "GET", 404),
        ("/open", [], "PUT", 405),
        ("/guarded", [], "GET", 401),
        ("/guarded", [("x-api-key", "wrong-key")], "GET", 400),
        ("/token", [("authorization", "Bearer x")], "GET", 401),
        ("/counted", [("x-api-key", "{key}")], "GET", 429),
        ("/open", [("under_score", "1")], "GET", 400),
        ("/open%2f", [], "GET", 400),
        ("/open", [("x-big", "y" * 70_000)], "GET", 431),
    ],
)
async def test_whatever_the_gateway_says_is_json(
    stage: Stage, path: str, headers: list[tuple[str, str]], method: str, status: int
) -> None:
    got = await stage.get(path, *((k, v.format(key=stage.key)) for k, v in headers), method=method)

    assert got.status == status
    assert got.header("content-type") == "application/json"
    assert got.json()["code"] == status
    assert set(got.json()) == {"code", "message"}


# -- CORS -----------------------------------------------------------------------------------------------------------

PREFLIGHT = ("access-control-request-method", "GET")


@pytest.mark.parametrize("path", ["/open", "/guarded", "/nowhere"])
async def test_a_preflight_needs_no_credentials(stage: Stage, path: str) -> None:
    before = len(stage.backend.seen)
    got = await stage.get(path, ("origin", "https://web.test"), PREFLIGHT, method="OPTIONS")

    assert got.status in {200, 204}
    assert got.header("access-control-allow-origin") == "https://web.test"
    assert "GET" in (got.header("access-control-allow-methods") or "")
    assert got.header("access-control-allow-credentials") == "true"
    assert len(stage.backend.seen) == before


async def test_another_origin_is_allowed_nothing(stage: Stage) -> None:
    got = await stage.get("/guarded", ("origin", "https://evil.test"), PREFLIGHT, method="OPTIONS")
    plain = await stage.get("/open", ("origin", "https://evil.test"))

    assert got.status == 400
    assert got.header("access-control-allow-origin") is None
    assert plain.header("access-control-allow-origin") is None


@pytest.mark.parametrize(("headers", "status"), [([("x-api-key", "{key}")], 200), ([], 401)])
async def test_answers_and_denials_are_marked(stage: Stage, headers: list[tuple[str, str]], status: int) -> None:
    given = [(k, v.format(key=stage.key)) for k, v in headers]
    got = await stage.get("/guarded", ("origin", "https://web.test"), *given)

    assert got.status == status
    assert got.header("access-control-allow-origin") == "https://web.test"


async def test_origins_by_regular_expression(tmp_path: Path) -> None:
    settings = {"cors_preset": "cors_with_regex", "cors_allow_origin_regex": r"^https?://.+\.example\.com$"}
    async with a_stage(tmp_path, **settings) as stage:
        allowed = [
            (await stage.get("/open", ("origin", origin), PREFLIGHT, method="OPTIONS")).header(
                "access-control-allow-origin"
            )
            for origin in ("https://a.example.com", "https://a.example.com.evil.test", "https://example.com")
        ]

    assert allowed == ["https://a.example.com", None, None]


@pytest.mark.parametrize(("allow_cors", "status"), [(True, 204), (False, 405)])
async def test_allow_cors_leaves_preflights_to_the_backend(tmp_path: Path, allow_cors: bool, status: int) -> None:
    text = document(HOST, {"/guarded": {"get": GUARDED}}, x_google_endpoints=[{"name": HOST, "allowCors": allow_cors}])
    async with (
        Upstream(answer) as backend,
        gateway.running(tmp_path, [text], now=time.time(), backend=f"http://{backend.address}") as running,
    ):
        headers = [("origin", "https://web.test"), PREFLIGHT]
        got = await http.fetch(running.port, "OPTIONS", "/guarded", headers, host=HOST)
        plain = await http.fetch(running.port, "GET", "/guarded", headers, host=HOST)

    assert (got.status, plain.status) == (status, 401)
    assert len(backend.seen) == allow_cors


# -- the access log -------------------------------------------------------------------------------------------------


async def test_the_access_log_says_who_called_what_and_no_secret(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        token = stage.issuer.token(iss="http://issuer", aud=f"https://{HOST}")
        await stage.get("/guarded?a=b", ("x-api-key", stage.key))
        await stage.get(f"/guarded?key={stage.key}")
        await stage.get("/guarded?key=made-up-secret", ("user-agent", "someone"))
        await stage.get("/token", ("authorization", f"Bearer {token}"))
        await stage.get(f"/token?access_token={token}")
        await stage.get("/open")
        await stage.get(f"/nowhere?key={stage.key}")
        await stage.get("/counted", ("x-api-key", stage.key))
        lines = await stage.lines(8)
        config = stage.running.store.configs(HOST)[0].id
        text = stage.log.read_text()

    told = [(line["path"], line["status"], line.get("consumer") or None, line["decision"]) for line in lines]
    assert told == [
        ("/guarded", 200, "ann", "allow"),
        ("/guarded", 200, "ann", "allow"),
        ("/guarded", 400, None, "KEY_INVALID"),
        ("/token", 200, None, "allow"),
        ("/token", 200, None, "allow"),
        ("/open", 200, None, None),
        ("/nowhere", 404, None, None),
        ("/counted", 429, "ann", "QUOTA_USED_UP"),
    ]
    name = HOST.replace(".", "_")
    assert lines[0]["operation"] == f"1.{name}.Getguarded"
    assert lines[5]["operation"] == f"1.{name}.Getopen"
    assert {line["config"] for line in lines if line["path"] != "/nowhere"} == {config}
    assert {line["service"] for line in lines if line["path"] != "/nowhere"} == {HOST}
    assert lines[2]["user_agent"] == "someone"
    assert lines[0]["client"] == "127.0.0.1"
    for secret in (stage.key, token, "made-up-secret"):
        assert secret not in text
