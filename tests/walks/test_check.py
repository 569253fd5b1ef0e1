"""Walk 1: may this call pass? Keys and tokens, through a real Envoy and the whole gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from authz.admin import consumers, keys
from authz.check import jwks
from authz.model.auth import AndroidApp, ApiTarget, Restrictions
from harness import gateway, http
from harness.http import Request, Response, Upstream
from harness.issuer import Issuer
from harness.waiting import seconds_until, until
from walks.documents import GUARDED, OPEN, document, jwt_scheme

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS, TOKENS, WAYS = "keys.example.test", "tokens.example.test", "ways.example.test"


@dataclass
class KeyServer:
    """What issuers publish, by path, and how often each path was asked for. A path set to None is out of order."""

    pages: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, request: Request) -> Response:
        self.asked.append(request.path)
        page = self.pages.get(request.path)
        if page is None:
            return Response(500)
        return Response(200, [("content-type", "application/json")], json.dumps(page).encode())


@dataclass
class Stage:
    running: gateway.Running
    backend: Upstream
    key_server: KeyServer
    address: str
    issuers: dict[str, Issuer]

    async def get(self, host: str, path: str, *headers: tuple[str, str], method: str = "GET") -> Response:
        return await http.fetch(self.running.port, method, path, headers, host=host)

    async def status(self, host: str, path: str, *headers: tuple[str, str]) -> int:
        return (await self.get(host, path, *headers)).status

    async def with_key(self, text: str, *headers: tuple[str, str]) -> int:
        return await self.status(KEYS, "/guarded", ("x-api-key", text), *headers)

    def key(self, consumer: str = "ann", **more: Any) -> str:
        return keys.create(self.running.store, consumer, now=time.time(), **more).text

    def issuer_url(self, name: str) -> str:
        return f"http://{self.address}/{name}"

    def token(self, name: str, *, host: str = TOKENS, **claims: Any) -> str:
        return self.issuers[name].token(
            **{"iss": self.issuer_url(name), "aud": f"https://{host}", "sub": "someone", **claims}
        )

    async def with_token(self, name: str, path: str = "", *, host: str = TOKENS, **claims: Any) -> int:
        text = self.token(name, host=host, **claims)
        return await self.status(host, path or f"/{name}", ("authorization", f"Bearer {text}"))


def bearer(text: str) -> tuple[str, str]:
    return "authorization", f"Bearer {text}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    key_server, issuers = KeyServer(), {name: Issuer(f"{name}-1") for name in ("jwks", "certs", "oidc", "turning")}
    async with Upstream() as backend, Upstream(key_server.answer) as server:
        publish(key_server, server.address, issuers)
        async with gateway.running(
            tmp_path_factory.mktemp("check"),
            [keys_document(), tokens_document(server.address), ways_document(server.address)],
            now=time.time(),
            backend=f"http://{backend.address}",
            poll_seconds=0.25,
            jwks_refetch_seconds=0.5,
        ) as running:
            yield Stage(running, backend, key_server, server.address, issuers)


def publish(server: KeyServer, address: str, issuers: dict[str, Issuer]) -> None:
    for name, issuer in issuers.items():
        server.pages[f"/{name}/keys"] = issuer.certificates() if name == "certs" else issuer.jwks()
    url = f"http://{address}/oidc"
    server.pages["/oidc/.well-known/openid-configuration"] = {"issuer": url, "jwks_uri": f"{url}/keys"}


def keys_document() -> str:
    return document(
        KEYS,
        {
            "/open": {"get": OPEN},
            "/guarded": {"get": GUARDED},
            "/other": {"get": {"operationId": "other", **GUARDED}},
            "/cookie": {"get": {"security": [{"crumb": []}]}},
        },
        schemes={
            "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "crumb": {"type": "apiKey", "in": "query", "name": "k"},
        },
    )


def tokens_document(address: str) -> str:
    url = f"http://{address}"
    return document(
        TOKENS,
        {f"/{name}": {"get": {"security": [{name: []}]}} for name in ("jwks", "certs", "oidc", "turning")},
        schemes={
            name: jwt_scheme(f"{url}/{name}", "" if name == "oidc" else f"{url}/{name}/keys")
            for name in ("jwks", "certs", "oidc", "turning")
        },
    )


def ways_document(address: str) -> str:
    url = f"http://{address}/jwks"
    scheme = jwt_scheme(url, f"{url}/keys", scopes={"read": "", "write": ""})
    return document(
        WAYS,
        {
            "/either": {"get": {"security": [{"key": []}, {"jwt": []}]}},
            "/both": {"get": {"security": [{"key": [], "jwt": []}]}},
            "/optional": {"get": {"security": [{"key": []}, {}]}},
            "/scopes": {"get": {"security": [{"jwt": ["read", "write"]}]}},
            "/clients": {"get": {"security": [{"jwt": []}], "x-authz-client-ids": ["web-client"]}},
            "/audience": {"get": {"security": [{"mobile": []}]}},
        },
        schemes={
            "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "jwt": scheme,
            "mobile": {**scheme, "x-google-audiences": "mobile, tablet"},
        },
    )


# -- keys -------------------------------------------------------------------------------------------------------------


async def test_a_key_opens_and_tells_the_backend_who_called(stage: Stage) -> None:
    made = keys.create(stage.running.store, "berta", now=time.time())
    answer = await stage.get(KEYS, "/guarded", ("x-api-key", made.text))
    seen = stage.backend.seen[-1]

    assert answer.status == 200
    assert seen.header("x-endpoint-api-consumer-type") == "PROJECT"
    assert seen.header("x-endpoint-api-consumer-number") == str(made.key.consumer.number)
    assert seen.header("x-endpoint-api-operation-name") == "1.keys_example_test.Getguarded"
    assert seen.header("x-api-key") == made.text


async def test_without_a_key_or_with_a_wrong_one(stage: Stage) -> None:
    before = len(stage.backend.seen)
    none, wrong = await stage.get(KEYS, "/guarded"), await stage.get(KEYS, "/guarded", ("x-api-key", "wrong-key"))

    assert (none.status, wrong.status) == (401, 400)
    assert none.header("www-authenticate") == f'ApiKey realm="{KEYS}"'
    assert none.json()["code"] == 401
    assert "UNAUTHENTICATED: " in none.json()["message"]
    assert wrong.json()["message"].startswith("INVALID_ARGUMENT: ")
    assert len(stage.backend.seen) == before


@pytest.mark.parametrize("path", ["/guarded?key={}", "/guarded?a=b&api_key={}", "/guarded?key={}&x=%20"])
async def test_keys_in_the_query(stage: Stage, path: str) -> None:
    assert await stage.status(KEYS, path.format(stage.key())) == 200


async def test_a_declared_place_replaces_nothing_but_itself(stage: Stage) -> None:
    text = stage.key()

    assert await stage.status(KEYS, f"/cookie?k={text}") == 200


@pytest.mark.parametrize(
    ("restrictions", "headers", "status"),
    [
        (Restrictions(allow_ips=("127.0.0.0/8", "192.0.0.0/16")), [], 200),
        (Restrictions(allow_ips=("203.0.113.0/24",)), [], 403),
        (Restrictions(allow_ips=("203.0.113.0/24",)), [("x-forwarded-for", "203.0.113.9")], 403),
        (Restrictions(allow_referrers=("https://*.example.com/*",)), [("referer", "https://www.example.com/a")], 200),
        (
            Restrictions(allow_referrers=("https://*.example.com/*",)),
            [("referer", "https://evil.test/?.example.com/")],
            403,
        ),
        (Restrictions(allow_referrers=("https://*.example.com/*",)), [], 403),
        (
            Restrictions(android_apps=(AndroidApp("com.example", "DA:39:A3:EE" + ":00" * 16),)),
            [("x-android-package", "com.example"), ("x-android-cert", "DA39A3EE" + "00" * 16)],
            200,
        ),
        (Restrictions(android_apps=(AndroidApp("com.example", "00" * 20),)), [("x-android-package", "com.evil")], 403),
        (Restrictions(ios_bundles=("com.example",)), [("x-ios-bundle-identifier", "com.example")], 200),
        (Restrictions(ios_bundles=("com.example",)), [], 403),
        (Restrictions(api_targets=(ApiTarget(KEYS, ("Getguarded",)),)), [], 200),
        (Restrictions(api_targets=(ApiTarget(KEYS, ("Other",)),)), [], 403),
        (Restrictions(api_targets=(ApiTarget(TOKENS),)), [], 403),
    ],
)
async def test_restrictions(
    stage: Stage, restrictions: Restrictions, headers: list[tuple[str, str]], status: int
) -> None:
    assert await stage.with_key(stage.key(restrictions=restrictions), *headers) == status


async def test_a_key_of_another_service(stage: Stage) -> None:
    answer = await stage.get(KEYS, "/guarded", ("x-api-key", stage.key(services=[TOKENS])))

    assert answer.status == 403
    assert answer.json()["message"].startswith("PERMISSION_DENIED: ")
    assert await stage.with_key(stage.key(services=[KEYS])) == 200


async def test_an_imported_key(stage: Stage) -> None:
    assert await stage.with_key(stage.key(import_text="AIza-imported-key-of-old")) == 200


async def test_an_expired_key_reads_like_an_unknown_one(stage: Stage) -> None:
    text = stage.key(expires=1.0)
    assert await stage.with_key(text) == 200

    async def over() -> bool:
        return await stage.with_key(text) == 400

    await until(over, within=3)
    expired, unknown = [await stage.get(KEYS, "/guarded", ("x-api-key", one)) for one in (text, "no-such-key")]
    assert (expired.status, expired.body) == (unknown.status, unknown.body)


async def test_a_revoked_key_stops_within_a_second(stage: Stage) -> None:
    took = []
    for _ in range(3):
        text = stage.key()
        assert await stage.with_key(text) == 200
        keys.revoke(stage.running.store, text, now=time.time())

        async def refused(text: str = text) -> bool:
            return await stage.with_key(text) == 400

        took.append(await seconds_until(refused))

    assert max(took) < 1.0, took


async def test_a_key_made_after_it_was_tried_works_within_a_second(stage: Stage) -> None:
    text = "imported-after-the-first-try"
    assert await stage.with_key(text) == 400
    stage.key(import_text=text)

    async def opens() -> bool:
        return await stage.with_key(text) == 200

    assert await seconds_until(opens) < 1.0


async def test_rotating_leaves_a_grace(stage: Stage) -> None:
    old = stage.key()
    assert await stage.with_key(old) == 200
    new = keys.rotate(stage.running.store, old, grace="1s", now=time.time()).text

    assert (await stage.with_key(old), await stage.with_key(new)) == (200, 200)

    async def old_is_over() -> bool:
        return await stage.with_key(old) == 400

    await until(old_is_over, within=3)
    assert await stage.with_key(new) == 200


async def test_a_suspended_consumer(stage: Stage) -> None:
    text = stage.key("carla")
    assert await stage.with_key(text) == 200

    async def answers(status: int) -> bool:
        return await stage.with_key(text) == status

    consumers.suspend(stage.running.store, "carla")
    assert await seconds_until(lambda: answers(403)) < 1.0
    consumers.activate(stage.running.store, "carla")
    assert await seconds_until(lambda: answers(200)) < 1.0
    consumers.delete(stage.running.store, "carla")
    assert await seconds_until(lambda: answers(403)) < 1.0


# -- tokens -----------------------------------------------------------------------------------------------------------


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


# -- several ways in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "key", "token", "status"),
    [
        ("/either", None, None, 401),
        ("/either", "good", None, 200),
        ("/either", None, "good", 200),
        ("/either", "good", "good", 200),
        ("/either", "bad", None, 400),
        ("/either", None, "bad", 401),
        ("/both", "good", None, 401),
        ("/both", None, "good", 401),
        ("/both", "good", "good", 200),
        ("/both", "bad", "good", 400),
        ("/both", "good", "bad", 401),
        ("/optional", None, None, 200),
        ("/optional", "good", None, 200),
        ("/optional", "bad", None, 400),
    ],
)
async def test_alternatives(stage: Stage, path: str, key: str | None, token: str | None, status: int) -> None:
    headers = []
    if key:
        headers.append(("x-api-key", stage.key() if key == "good" else "no-such-key"))
    if token:
        headers.append(bearer(stage.token("jwks", host=WAYS, exp=2**33 if token == "good" else 1)))

    assert await stage.status(WAYS, path, *headers) == status


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
