"""Backend tokens: where they come from, and that they are there before they are needed."""

from __future__ import annotations

import asyncio
import base64

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from authz.check.fetch import Fetcher, FetchError
from authz.check.tokens import BackendToken, BackendTokens, ClientCredentials, MetadataServer, OwnKey, new_own_key
from authz.rulebook.book import Rulebook
from authz.rulebook.live import Live
from builders import NOW, Clock

AUDIENCE = "https://backend.example.test"


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture(params=["rsa", "p256"])
def signing_key(request, rsa_keys):
    return rsa_keys[0] if request.param == "rsa" else ec.generate_private_key(ec.SECP256R1())


async def test_own_tokens_are_verified_with_the_published_keys(signing_key):
    own = OwnKey(pem(signing_key), "https://gateway")
    token = await own.token(AUDIENCE, NOW)
    keys = jwt.PyJWKSet.from_dict(own.jwks())
    kid = jwt.get_unverified_header(token.text)["kid"]
    claims = jwt.decode(
        token.text, keys[kid], [keys[kid].algorithm_name], audience=AUDIENCE, options={"verify_iat": False}
    )

    assert claims["iss"] == "https://gateway"
    assert token.expires == claims["exp"] == int(NOW) + 3600
    assert "d" not in own.jwks()["keys"][0]
    assert OwnKey(pem(signing_key), "x").jwks() == own.jwks()


def test_every_new_key_is_another_and_can_be_used():
    first, second = (OwnKey(new_own_key(), "https://gateway").jwks() for _ in range(2))

    assert first["keys"][0]["alg"] == "ES256"
    assert first != second


def test_other_keys_are_refused():
    with pytest.raises(ValueError, match="RSA key or one on curve P-256"):
        OwnKey(pem(ed25519.Ed25519PrivateKey.generate()), "https://gateway")


async def test_client_credentials(server, fetcher):
    seen = {}

    async def grant(request):
        seen.update(await request.post())
        seen["by"] = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        return web.json_response({"access_token": "opaque", "expires_in": 120})

    server.say("/token", grant)
    source = ClientCredentials(fetcher, f"{server.url}/token", "id:1", "s p")

    assert await source.token(AUDIENCE, NOW) == BackendToken("opaque", NOW + 120)
    assert seen == {"grant_type": "client_credentials", "audience": AUDIENCE, "by": "id%3A1:s%20p"}


@pytest.mark.parametrize("answer", [{}, {"access_token": 7}, {"access_token": "t", "expires_in": "x"}, b"<html>", 401])
async def test_client_credentials_that_are_not_granted(server, fetcher, answer):
    server.say("/token", answer)
    with pytest.raises(FetchError, match=r"/token (answered|did not)"):
        await ClientCredentials(fetcher, f"{server.url}/token", "id", "secret").token(AUDIENCE, NOW)


async def test_the_metadata_server(server, rsa_keys):
    identity = jwt.encode({"exp": int(NOW) + 99, "aud": AUDIENCE}, rsa_keys[0], "RS256")
    path = "/computeMetadata/v1/instance/service-accounts/default/identity"
    server.say(path, identity.encode() + b"\n")
    fetcher = Fetcher(1, link_local=True)
    token = await MetadataServer(fetcher, server.url + "/").token(AUDIENCE, NOW)
    await fetcher.close()

    assert token == BackendToken(identity, int(NOW) + 99)
    assert dict(server.requests[0].query) == {"format": "standard", "audience": AUDIENCE}
    assert server.requests[0].headers["metadata-flavor"] == "Google"


class Mint:
    """A source that mints numbered tokens, or fails."""

    def __init__(self, lifetime=3600.0):
        self.lifetime = lifetime
        self.minted = []
        self.error = None
        self.text = "token-{}"

    async def token(self, audience, now):
        self.minted.append(now - NOW)
        if self.error:
            raise self.error
        return BackendToken(self.text.format(len(self.minted)), now + self.lifetime)


@pytest.fixture
def mint():
    return Mint()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(mint, clock):
    return BackendTokens(mint, Live(Rulebook(backend_audiences=frozenset({AUDIENCE}))), clock)


async def run_for(tokens, clock, seconds):
    for _ in range(seconds):
        await tokens.prefetch([AUDIENCE])
        clock.advance(1)


async def test_a_token_is_renewed_a_minute_before_it_ends(tokens, mint, clock):
    await run_for(tokens, clock, 3600)

    assert mint.minted == [0, 3540]
    assert tokens.get(AUDIENCE, clock()) == "token-2"


async def test_a_failing_source_is_asked_every_two_seconds_while_the_old_token_lasts(tokens, mint, clock):
    await tokens.prefetch([AUDIENCE])
    mint.error = FetchError("no answer")
    clock.advance(3590)

    assert await tokens.prefetch([AUDIENCE]) == {}
    await run_for(tokens, clock, 10)
    assert mint.minted == [0, 3590, 3592, 3594, 3596, 3598]
    assert tokens.get(AUDIENCE, clock()) is None
    assert await tokens.prefetch([AUDIENCE]) == {AUDIENCE: "no answer"}

    mint.error = None
    clock.advance(2)
    await tokens.prefetch([AUDIENCE])
    assert tokens.get(AUDIENCE, clock()) == "token-8"


async def test_a_short_lived_token_does_not_make_its_source_a_target(tokens, mint, clock):
    mint.lifetime = 30
    await run_for(tokens, clock, 10)

    assert mint.minted == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("text", ["", "a\r\nb: c", "a b", "é"])
async def test_a_token_that_no_header_may_hold_is_no_token(tokens, mint, clock, text):
    mint.text = text

    assert AUDIENCE in await tokens.prefetch([AUDIENCE])
    assert tokens.get(AUDIENCE, clock()) is None


async def test_without_a_source_there_are_no_tokens(clock):
    tokens = BackendTokens(None, Live(), clock)
    tokens.start()

    assert await tokens.prefetch([AUDIENCE]) == {AUDIENCE: "no source of backend tokens is set"}
    assert tokens.get(AUDIENCE, clock()) is None
    await tokens.close()


async def test_tokens_are_renewed_in_the_background_until_closed(mint, clock):
    ticks = asyncio.Queue()
    live = Live(Rulebook(backend_audiences=frozenset({AUDIENCE})))
    tokens = BackendTokens(mint, live, clock, lambda _: ticks.get())
    tokens.start()
    tokens.start()
    while tokens.get(AUDIENCE, clock()) is None:  # noqa: ASYNC110 - another task brings it
        await asyncio.sleep(0)
    live.swap(Rulebook())
    clock.advance(7200)
    ticks.put_nowait(None)
    while tokens._tokens:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    await tokens.close()

    assert mint.minted == [0]
