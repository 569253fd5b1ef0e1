"""Walk 1: may this call pass? Tokens and their issuers' keys, through a real Envoy and the whole gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from authz.check import jwks
from harness import gateway, http
from harness.http import Upstream
from harness.issuer import Issuer
from harness.waiting import until
from walks.check_stage import TOKENS, WAYS, KeyServer, Stage, a_stage, bearer
from walks.documents import document, jwt_scheme

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, transport: str) -> AsyncIterator[Stage]:
    async with a_stage(tmp_path_factory.mktemp("check")) as staged:
        yield staged


@pytest.mark.parametrize("name", ["jwks", "certs", "oidc"])
async def test_every_way_to_publish_keys(stage: Stage, name: str) -> None:
    text = stage.token(name, email="someone@example.test")
    answer = await stage.get(TOKENS, f"/{name}", bearer(text))
    seen = stage.backend.seen[-1]
    told = base64.urlsafe_b64decode((seen.header("x-endpoint-api-userinfo") or "") + "==")

    assert answer.status == 200
    assert json.loads(told)["email"] == "someone@example.test"
    assert seen.header("x-endpoint-api-consumer-number") is None
    assert seen.header("authorization") == f"Bearer {text}"


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 200),
        ({"exp": -120}, 401),
        ({"exp": -30}, 200),
        ({"nbf": 3600}, 401),
        ({"nbf": 30}, 200),
        ({"iss": "http://elsewhere.example"}, 401),
        ({"aud": "https://elsewhere.example"}, 403),
        ({"aud": ["x", f"https://{TOKENS}"]}, 200),
        ({"aud": []}, 403),
        ({"headers": {"kid": "certs-1"}}, 401),
        ({"headers": {"crit": ["exp"]}}, 401),
        ({"headers": {"jku": "http://127.0.0.1:1/"}}, 200),
    ],
)
async def test_claims(stage: Stage, claims: dict[str, Any], status: int) -> None:
    """Times are seconds from now."""
    times = {name: int(time.time()) + claims[name] for name in ("exp", "nbf") if name in claims}

    assert await stage.with_token("jwks", **{**claims, **times}) == status


def without_signature(token: str) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{head}.{token.split('.')[1]}."


@pytest.mark.parametrize(
    "forge",
    [
        without_signature,
        lambda token: token[:-6] + "AAAAAA",
        lambda token: f"{token.split('.')[0]}.e30.{token.split('.')[2]}",
        lambda token: token + ".e30",
        lambda token: "not-a-token",
        lambda token: "",
        lambda token: token + "x" * 9000,
    ],
)
async def test_forged_tokens(stage: Stage, forge: Any) -> None:
    answer = await stage.get(TOKENS, "/jwks", bearer(forge(stage.token("jwks"))))

    assert answer.status == 401
    assert (answer.header("www-authenticate") or "").startswith(f'Bearer realm="{TOKENS}"')


async def test_a_token_in_the_query_or_the_header_of_a_proxy(stage: Stage) -> None:
    text = stage.token("jwks")

    assert await stage.status(TOKENS, f"/jwks?access_token={text}") == 200
    assert await stage.status(TOKENS, "/jwks", ("x-goog-iap-jwt-assertion", text)) == 200


async def test_a_rotated_key_is_found(stage: Stage) -> None:
    assert await stage.with_token("turning") == 200
    old = stage.issuers["turning"]
    stage.issuers["turning"] = Issuer("turning-2")
    stage.key_server.pages["/turning/keys"] = stage.issuers["turning"].jwks()

    async def new_one_passes() -> bool:
        return await stage.with_token("turning") == 200

    await until(new_one_passes, within=3)
    gone = old.token(iss=stage.issuer_url("turning"), aud=f"https://{TOKENS}")
    assert await stage.status(TOKENS, "/turning", bearer(gone)) == 401


async def test_a_flood_of_unknown_key_ids_does_not_flood_the_issuer(stage: Stage) -> None:
    begin, before = time.monotonic(), stage.key_server.asked.count("/jwks/keys")
    statuses = await asyncio.gather(
        *(stage.with_token("jwks", headers={"kid": f"made-up-{number}"}) for number in range(100))
    )
    took = time.monotonic() - begin
    asked = stage.key_server.asked.count("/jwks/keys") - before

    assert set(statuses) == {401}
    assert asked <= 1 + took / 0.5, (asked, took)
    assert await stage.with_token("jwks") == 200


async def test_an_issuers_outage_is_outlived_and_its_end_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "_TICK", 0.1)
    key_server, issuer = KeyServer(), Issuer()
    async with Upstream() as backend, Upstream(key_server.answer) as server:
        key_server.pages["/jwks/keys"] = issuer.jwks()
        url = f"http://{server.address}/jwks"
        text = document(
            TOKENS,
            {"/jwks": {"get": {"security": [{"jwt": []}]}}},
            schemes={"jwt": jwt_scheme(url, f"{url}/keys")},
        )
        settings = {
            "jwks_cache_seconds": 0.2, "jwks_stale_seconds": 2.0, "jwks_retries": 0, "jwks_refetch_seconds": 0.5,
            "backend": f"http://{backend.address}",
        }  # fmt: skip
        async with gateway.running(tmp_path, [text], now=time.time(), **settings) as running:

            async def fresh() -> int:
                token = issuer.token(iss=url, aud=f"https://{TOKENS}", jti=str(time.time()))
                return (await http.fetch(running.port, "GET", "/jwks", [bearer(token)], host=TOKENS)).status

            async def is_(status: int) -> bool:
                return await fresh() == status

            assert await fresh() == 200
            key_server.pages.clear()
            failed = len(key_server.asked)
            await until(lambda: len(key_server.asked) >= failed + 2)
            assert await fresh() == 200
            await until(lambda: is_(503), within=8)
            key_server.pages["/jwks/keys"] = issuer.jwks()
            await until(lambda: is_(200), within=5)


@pytest.mark.parametrize(
    ("path", "claims", "status"),
    [
        ("/scopes", {"scope": "read write more"}, 200),
        ("/scopes", {"scp": ["read", "write"]}, 200),
        ("/scopes", {"scope": "read"}, 403),
        ("/scopes", {"scope": "readwrite"}, 403),
        ("/scopes", {}, 403),
        ("/clients", {"azp": "web-client"}, 200),
        ("/clients", {"azp": "another"}, 403),
        ("/clients", {}, 403),
        ("/audience", {"aud": "tablet"}, 200),
        ("/audience", {"aud": f"https://{WAYS}"}, 403),
    ],
)
async def test_what_a_token_must_say(stage: Stage, path: str, claims: dict[str, Any], status: int) -> None:
    assert await stage.with_token("jwks", path, host=WAYS, **claims) == status


async def test_a_missing_scope_is_named(stage: Stage) -> None:
    answer = await stage.get(WAYS, "/scopes", bearer(stage.token("jwks", host=WAYS)))

    assert 'error="insufficient_scope"' in (answer.header("www-authenticate") or "")
    assert "read write" in answer.json()["message"]
