"""A scripted HTTP server, and keys as issuers publish them."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from authz.check.fetch import Fetcher


class Server:
    """Answers each path with what `say` put there: bytes, a dict, a status, or a handler; counts the requests."""

    def __init__(self):
        self.answers = {}
        self.requests = []
        self.url = ""
        self.hold = asyncio.Event()

    def say(self, path, answer):
        self.answers[path] = answer

    def count(self, path):
        return sum(1 for request in self.requests if request.path == path)

    async def handle(self, request):
        self.requests.append(request)
        answer = self.answers.get(request.path, 404)
        if callable(answer):
            return await answer(request)
        if isinstance(answer, int):
            return web.Response(status=answer, text="trouble")
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return web.Response(body=body, content_type="application/json")


@pytest.fixture
async def server():
    server = Server()
    app = web.Application(client_max_size=1 << 16)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    server.hold.set()
    await runner.cleanup()


@pytest.fixture
async def fetcher():
    fetcher = Fetcher(timeout=0.5)
    yield fetcher
    await fetcher.close()


@pytest.fixture(scope="session")
def rsa_keys():
    """Three RSA private keys: making one takes a while."""
    return [rsa.generate_private_key(65537, 2048) for _ in range(3)]


def number(value):
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


@pytest.fixture
def jwk():
    """An RSA key as an entry of a JWK Set."""

    def make(key, kid="k1", **more):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "kid": kid, "n": number(numbers.n), "e": number(numbers.e), **more}

    return make
