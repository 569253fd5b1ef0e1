"""The stage of the check walk: one gateway with services for keys, tokens and several ways in, and their issuers."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from authz.admin import keys
from harness import gateway, http
from harness.http import Request, Response, Upstream
from harness.issuer import Issuer
from walks.documents import GUARDED, OPEN, document, jwt_scheme

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


@contextlib.asynccontextmanager
async def a_stage(directory: Path) -> AsyncIterator[Stage]:
    key_server, issuers = KeyServer(), {name: Issuer(f"{name}-1") for name in ("jwks", "certs", "oidc", "turning")}
    async with Upstream() as backend, Upstream(key_server.answer) as server:
        publish(key_server, server.address, issuers)
        async with gateway.running(
            directory,
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
