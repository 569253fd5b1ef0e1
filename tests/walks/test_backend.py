"""From the gateway to backends: paths, deadlines, retries, TLS, HTTP/2, and the gateway's own tokens."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import pytest_asyncio

from authz.admin import keys
from authz.check import tokens
from harness import gateway, http
from harness.http import Request, Response, Upstream
from harness.issuer import Issuer
from harness.tls import Authority
from harness.waiting import until
from walks.documents import GUARDED, OPEN, document

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "backend.example.test"
AUDIENCE = "https://backend.internal"


def to(address: str, **more: Any) -> dict[str, Any]:
    """An open operation with a backend of its own."""
    auth = {} if "jwt_audience" in more else {"disable_auth": True}
    return {**OPEN, "x-google-backend": {"address": address, **auth, **more}}


@dataclass
class Stage:
    running: gateway.Running
    backends: dict[str, Upstream]
    key: str = ""
    failing: list[str] = field(default_factory=list)

    async def get(self, path: str, *headers: tuple[str, str]) -> Response:
        return await http.fetch(self.running.port, "GET", path, headers, host=HOST)

    def last(self, name: str = "plain") -> Request:
        return self.backends[name].seen[-1]


async def slowly(request: Request) -> Response:
    await asyncio.sleep(float(parse_qs(urlsplit(request.path).query)["for"][0]))
    return Response(200, [], b"late")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, transport: str) -> AsyncIterator[Stage]:
    ours, others = Authority(tmp_path_factory.mktemp("ca")), Authority(tmp_path_factory.mktemp("others"))
    good, elsewhere, foreign = ours.leaf("good"), ours.leaf("elsewhere", "elsewhere.test"), others.leaf("foreign")
    async with contextlib.AsyncExitStack() as stack:

        async def upstream(*args: Any, **more: Any) -> Upstream:
            return await stack.enter_async_context(Upstream(*args, **more))

        backends = {
            "plain": await upstream(),
            "slow": await upstream(slowly),
            "flaky": await upstream(),
            "tls": await upstream(tls=good.server_context()),
            "http2": await upstream(tls=good.server_context(alpn=("h2",))),
            "wrong name": await upstream(tls=elsewhere.server_context()),
            "wrong authority": await upstream(tls=foreign.server_context()),
        }
        running = await stack.enter_async_context(
            gateway.running(
                tmp_path_factory.mktemp("backend"),
                [the_document(backends)],
                now=time.time(),
                backend=f"http://{backends['plain'].address}",
                backend_tls_ca=str(ours.cert),
                backend_auth="self",
            )
        )
        key = keys.create(running.store, "ann", now=time.time()).text
        staged = Stage(running, backends, key)
        backends["flaky"].answer = lambda _: flaky(staged)
        yield staged


def flaky(stage: Stage) -> Response:
    """Breaks the connection, or answers, as the test wants it next."""
    match stage.failing.pop(0) if stage.failing else "":
        case "broken":
            raise ConnectionError
        case "":
            return Response(200)
        case status:
            return Response(int(status))


def the_document(backends: dict[str, Upstream]) -> str:
    plain, slow = (f"http://{backends[name].address}" for name in ("plain", "slow"))
    constant = {"path_translation": "CONSTANT_ADDRESS"}
    append = {"path_translation": "APPEND_PATH_TO_ADDRESS"}
    return document(
        HOST,
        {
            "/local/{id}": {"get": OPEN},
            "/bodies": {"post": OPEN},
            "/bodies/guarded": {"post": GUARDED},
            "/append/{id}": {"get": to(f"{plain}/base", **append)},
            "/append-root/{id}": {"get": to(plain, **append)},
            "/constant": {"get": to(f"{plain}/fixed", **constant)},
            "/constant/{shelf}/books/{book}": {"get": to(f"{plain}/fixed", **constant)},
            "/default/{id}": {"get": to(f"{plain}/fixed")},
            "/slow": {"get": to(slow, deadline=0.3, **append)},
            "/patient": {"get": to(slow, deadline=5.0, **append)},
            "/flaky": {"get": to(f"http://{backends['flaky'].address}", **append)},
            "/nobody": {"get": to("http://127.0.0.1:9", **append)},
            "/tls": {"get": to(f"https://localhost:{backends['tls'].port}", **append)},
            "/tls-address": {"get": to(f"https://{backends['tls'].address}", **append)},
            "/tls-name": {"get": to(f"https://localhost:{backends['wrong name'].port}", **append)},
            "/tls-authority": {"get": to(f"https://localhost:{backends['wrong authority'].port}", **append)},
            "/http2": {"get": to(f"https://localhost:{backends['http2'].port}", protocol="h2", **append)},
            "/signed": {"get": to(plain, jwt_audience=AUDIENCE, **append)},
            "/signed-guarded": {"get": {**to(plain, jwt_audience=AUDIENCE, **append), **GUARDED}},
            "/unsigned": {"get": to(plain, **append)},
        },
    )


# -- paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("/local/5?x=1", "/local/5?x=1"),
        ("/append/5", "/base/append/5"),
        ("/append/5?x=1&y=%20", "/base/append/5?x=1&y=%20"),
        ("/append/a%20b", "/base/append/a%20b"),
        ("/append/x/../5", "/base/append/5"),
        ("/append-root/5?x", "/append-root/5?x"),
        ("/constant", "/fixed"),
        ("/constant?x=1", "/fixed?x=1"),
        ("/constant/7/books/8", "/fixed?shelf=7&book=8"),
        ("/constant/7/books/8?x=1", "/fixed?x=1&shelf=7&book=8"),
        ("/constant/a%20b/books/8", "/fixed?shelf=a%20b&book=8"),
        ("/default/5", "/fixed?id=5"),
    ],
)
async def test_paths(stage: Stage, sent: str, seen: str) -> None:
    answer = await stage.get(sent)

    assert answer.status == 200
    assert stage.last().path == seen


async def test_the_backend_of_an_address_is_told_its_own_host(stage: Stage) -> None:
    await stage.get("/append/5")
    assert stage.last().header("host") == "127.0.0.1"
    await stage.get("/local/5")
    assert stage.last().header("host") == HOST


@pytest.mark.parametrize("path", ["/bodies", "/bodies/guarded"])
async def test_large_bodies_arrive_whole(stage: Stage, path: str) -> None:
    body = bytes(range(256)) * 12_000
    headers = [("x-api-key", stage.key), ("content-type", "application/octet-stream")]
    answer = await http.fetch(stage.running.port, "POST", path, headers, body, host=HOST)

    assert answer.status == 200
    assert stage.last().body == body


# -- deadlines and retries ------------------------------------------------------------------------------------------


async def test_a_deadline_ends_in_504(stage: Stage) -> None:
    begin = time.monotonic()
    answer = await stage.get("/slow?for=3")

    assert answer.status == 504
    assert answer.json()["code"] == 504
    assert 0.25 < time.monotonic() - begin < 2


@pytest.mark.parametrize("path", ["/slow?for=0.05", "/patient?for=0.5"])
async def test_within_a_deadline(stage: Stage, path: str) -> None:
    answer = await stage.get(path)

    assert (answer.status, answer.body) == (200, b"late")


@pytest.mark.parametrize(
    ("failing", "status", "tries"),
    [
        ([], 200, 1),
        (["broken"], 200, 2),
        (["broken", "broken"], 503, 2),
        (["503"], 503, 1),
        (["404"], 404, 1),
    ],
)
async def test_retries(stage: Stage, failing: list[str], status: int, tries: int) -> None:
    stage.failing[:] = failing
    before = len(stage.backends["flaky"].seen)
    answer = await stage.get("/flaky")
    stage.failing.clear()

    assert answer.status == status
    assert len(stage.backends["flaky"].seen) - before == tries


async def test_nobody_listens(stage: Stage) -> None:
    answer = await stage.get("/nobody")

    assert answer.status == 503
    assert answer.json()["code"] == 503


# -- TLS and HTTP/2 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/tls", "/tls-address"])
async def test_tls_with_the_right_authority_and_name(stage: Stage, path: str) -> None:
    assert (await stage.get(path)).status == 200
    assert stage.last("tls").path == path


@pytest.mark.parametrize(
    ("path", "backend"),
    [("/tls-name", "wrong name"), ("/tls-authority", "wrong authority")],
)
async def test_tls_that_proves_nothing(stage: Stage, path: str, backend: str) -> None:
    before = len(stage.backends[backend].seen)
    answer = await stage.get(path)

    assert answer.status == 503
    assert answer.json()["code"] == 503
    assert len(stage.backends[backend].seen) == before


async def test_http2_to_the_backend(stage: Stage) -> None:
    assert (await stage.get("/http2")).status == 200
    assert stage.last("http2").version == "HTTP/2"


# -- tokens of the gateway's own ------------------------------------------------------------------------------------


async def test_a_token_of_the_gateways_own_verifies_against_its_published_keys(stage: Stage) -> None:
    await stage.get("/signed", ("authorization", "Bearer the-callers"))
    seen = stage.last()
    text = (seen.header("authorization") or "").removeprefix("Bearer ")
    discovered = (await stage.get("/.well-known/openid-configuration")).json()
    published = (await stage.get(urlsplit(discovered["jwks_uri"]).path)).json()
    kid = jwt.get_unverified_header(text)["kid"]
    key = next(jwt.PyJWK(one) for one in published["keys"] if one["kid"] == kid)
    claims = jwt.decode(text, key, algorithms=["RS256", "ES256"], audience=AUDIENCE)

    assert claims["iss"] == discovered["issuer"] == f"http://127.0.0.1:{stage.running.port}"
    assert claims["exp"] > time.time() + 60
    assert seen.all("x-forwarded-authorization") == ["Bearer the-callers"]
    assert not any({"d", "p", "q", "k"} & set(one) for one in published["keys"])


@pytest.mark.parametrize("claimed", [[], [("x-forwarded-authorization", "Bearer forged")]])
async def test_without_authorization_nothing_is_forwarded(stage: Stage, claimed: list[tuple[str, str]]) -> None:
    await stage.get("/signed", *claimed)

    assert stage.last().header("x-forwarded-authorization") is None
    assert stage.last().header("authorization")


async def test_without_auth_the_callers_header_is_untouched(stage: Stage) -> None:
    await stage.get("/unsigned", ("authorization", "Bearer the-callers"))

    assert stage.last().header("authorization") == "Bearer the-callers"
    assert stage.last().header("x-forwarded-authorization") is None


async def test_a_guarded_operation_gets_no_token_before_its_caller_passed(stage: Stage) -> None:
    before = len(stage.backends["plain"].seen)
    refused, passed = await stage.get("/signed-guarded"), await stage.get(f"/signed-guarded?key={stage.key}")

    assert (refused.status, passed.status) == (401, 200)
    assert len(stage.backends["plain"].seen) - before == 1
    assert (stage.last().header("authorization") or "").startswith("Bearer ey")


@contextlib.asynccontextmanager
async def with_tokens(directory: Path, **settings: Any) -> AsyncIterator[Stage]:
    async with Upstream() as backend:
        text = document(
            HOST,
            {
                "/signed": {
                    "get": to(
                        f"http://{backend.address}", jwt_audience=AUDIENCE, path_translation="APPEND_PATH_TO_ADDRESS"
                    )
                },
                "/guarded": {"get": GUARDED},
            },
        )
        values = {"backend": f"http://{backend.address}", **settings}
        async with gateway.running(directory, [text], now=time.time(), **values) as running:
            key = keys.create(running.store, "ann", now=time.time()).text
            yield Stage(running, {"plain": backend}, key)


async def test_oauth2_client_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens that last a second are renewed behind the scenes; without new ones the gateway says 503."""
    monkeypatch.setattr(tokens, "_TICK", 0.1)
    monkeypatch.setattr(tokens, "_RETRY_AFTER", 0.2)
    secret = tmp_path / "secret"
    secret.write_text("it's/a secret\n")
    made: list[str] = []
    out_of_order = False

    def answer(request: Request) -> Response:
        form = parse_qs(request.body.decode())
        pair = base64.b64decode((request.header("authorization") or "").removeprefix("Basic ")).decode()
        if out_of_order or pair != "client:it%27s%2Fa%20secret" or form["grant_type"] != ["client_credentials"]:
            return Response(401)
        made.append(f"token-{len(made)}-for-{form['audience'][0]}")
        return Response(200, [], json.dumps({"access_token": made[-1], "expires_in": 1}).encode())

    async with Upstream(answer) as server:
        settings = {
            "backend_auth": "oauth2", "backend_auth_token_url": f"http://{server.address}/token",
            "backend_auth_client_id": "client", "backend_auth_client_secret_file": str(secret),
        }  # fmt: skip
        async with with_tokens(tmp_path, **settings) as stage:
            assert (await stage.get("/signed", ("authorization", "Basic abc"))).status == 200
            first = stage.last().header("authorization")
            assert first in {f"Bearer {token}" for token in made}
            assert stage.last().header("x-forwarded-authorization") == "Basic abc"

            async def renewed() -> bool:
                assert (await stage.get("/signed")).status == 200
                return stage.last().header("authorization") not in {None, first}

            await until(renewed)
            out_of_order = True

            async def unavailable() -> bool:
                answer = await stage.get("/signed", ("authorization", "Bearer the-callers"))
                assert answer.status == 503 or stage.last().header("authorization") != "Bearer the-callers"
                return answer.status == 503

            await until(unavailable)


async def test_the_metadata_server_and_credentials_that_are_stripped(tmp_path: Path) -> None:
    issuer = Issuer()
    asked: list[Request] = []

    def answer(request: Request) -> Response:
        asked.append(request)
        audience = parse_qs(urlsplit(request.path).query)["audience"][0]
        return Response(200, [], issuer.token(aud=audience).encode())

    async with Upstream(answer) as server:
        settings = {"backend_auth": "metadata", "metadata_url": f"http://{server.address}", "strip_credentials": True}
        async with with_tokens(tmp_path, **settings) as stage:
            assert (await stage.get("/signed")).status == 200
            text = (stage.last().header("authorization") or "").removeprefix("Bearer ")
            assert jwt.decode(text, options={"verify_signature": False})["aud"] == AUDIENCE
            assert asked[0].header("metadata-flavor") == "Google"

            assert (await stage.get("/guarded?x=1", ("x-api-key", stage.key))).status == 200
            assert stage.last().header("x-api-key") is None
            assert (await stage.get(f"/guarded?x=1&key={stage.key}&y=2")).status == 200
            assert stage.last().path == "/guarded?x=1&y=2"
            assert stage.last().header("x-endpoint-api-consumer-number")


async def test_without_a_source_the_deploy_warns_and_the_header_passes(tmp_path: Path) -> None:
    async with with_tokens(tmp_path) as stage:
        assert "token" in stage.running.store.rollouts(HOST)[0].message
        assert (await stage.get("/signed", ("authorization", "Bearer the-callers"))).status == 200
        assert stage.last().header("authorization") == "Bearer the-callers"
