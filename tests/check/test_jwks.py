"""Key sets through rotations, outages, floods and garbage."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from authz.check.fetch import FetchError
from authz.check.jwks import KeySets, read_keys
from authz.model.auth import DEFAULT_TOKEN_PLACES
from authz.rulebook.book import ProviderRule, Rulebook
from authz.rulebook.live import Live
from authz.settings import Settings
from builders import NOW, Clock


def number(value):
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


def body_of(*entries):
    return json.dumps({"keys": entries}).encode()


def certificate(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = builder.serial_number(1).not_valid_before(day).not_valid_after(day + dt.timedelta(days=900))
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_a_jwk_set_of_every_kind(rsa_keys, jwk):
    curve = ec.generate_private_key(ec.SECP384R1()).public_key().public_numbers()
    ed = {kind: kind.generate().public_key().public_bytes_raw() for kind in
          (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)}  # fmt: skip
    entries = (
        jwk(rsa_keys[0], "rsa", use="sig"),
        jwk(rsa_keys[0], "rs256", alg="RS256", key_ops=["verify"]),
        {"kty": "EC", "crv": "P-384", "kid": "ec", "x": number(curve.x), "y": number(curve.y)},
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "kid": "ed",
            "x": number(int.from_bytes(ed[ed25519.Ed25519PrivateKey], "big")),
        },
        {"kty": "OKP", "crv": "Ed448", "kid": "ed448", "x": number(int.from_bytes(ed[ed448.Ed448PrivateKey], "big"))},
    )
    found = {key.kid: sorted(key.algorithms) for key in read_keys(body_of(*entries), "here")}

    assert found == {
        "rsa": ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"],
        "rs256": ["RS256"],
        "ec": ["ES384"],
        "ed": ["EdDSA"],
        "ed448": ["EdDSA"],
    }


def test_an_x509_map(rsa_keys):
    document = {"k1": certificate(rsa_keys[0]), "k2": "not a certificate", "k3": 7}
    (key,) = read_keys(json.dumps(document).encode(), "here")

    assert key.kid == "k1"
    assert key.key.public_numbers() == rsa_keys[0].public_key().public_numbers()


def test_keys_that_cannot_be_used_are_skipped(rsa_keys, jwk):
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
    point = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    bad = (
        jwk(rsa_keys[1], use="enc"),
        jwk(rsa_keys[1], key_ops=["encrypt"]),
        jwk(rsa_keys[1], alg="HS256"),
        jwk(rsa_keys[1], kid=7),
        jwk(rsa_keys[1], n="!"),
        jwk(weak),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "hmac"},
        {"kty": "EC", "crv": "P-256", "x": number(point.x), "y": number(point.x)},
        {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": []},
        {},
        "text",
        None,
    )
    (key,) = read_keys(body_of(*bad, jwk(rsa_keys[0], "good")), "here")

    assert key.kid == "good"


def test_at_most_a_hundred_keys_are_read(rsa_keys, jwk):
    found = read_keys(body_of(*(jwk(rsa_keys[0], str(number)) for number in range(150))), "here")

    assert len(found) == 100


@pytest.mark.parametrize("body", [b"{}", b'{"keys": []}', b'{"keys": {}}', b"<html>", b"[]"])
def test_what_holds_no_keys_is_no_key_set(body):
    with pytest.raises(FetchError, match="here"):
        read_keys(body, "here")


class World:
    """Key sets over one scripted server, a clock that stands still, and sleeps that take no time."""

    def __init__(self, server, fetcher, **settings):
        self.server = server
        self.clock = Clock()
        self.live = Live()
        self.slept = []
        defaults = {"jwks_retries": 0, "jwks_refetch_seconds": 30.0, "jwks_cache_seconds": 300.0}
        self.settings = Settings(**(defaults | settings))
        self.sets = KeySets(fetcher, self.live, self.settings, self.clock, self.sleep)

    async def sleep(self, seconds):
        self.slept.append(seconds)

    def provider(self, path="/keys", issuer="https://issuer.example.test"):
        uri = f"{self.server.url}{path}" if path else ""
        rule = ProviderRule(issuer, issuer, frozenset({issuer}), uri, DEFAULT_TOKEN_PLACES)
        self.live.swap(Rulebook(providers=(*self.live.book.providers, rule)))
        return rule

    def kids(self, provider):
        keys = self.sets.get(provider, self.clock())
        return keys and sorted(keys.kids)


@pytest.fixture
async def world(server, fetcher):
    world = World(server, fetcher)
    yield world
    await world.sets.close()


async def test_prefetch_brings_each_set_once_and_tells_which_are_missing(world, server, rsa_keys, jwk):
    server.say("/keys", {"keys": [jwk(rsa_keys[0])]})
    good, bad = world.provider(), world.provider("/nothing", "https://bad")

    errors = await world.sets.prefetch([good, bad, good])

    assert list(errors) == [bad]
    assert "answered 404" in errors[bad]
    assert world.kids(good) == ["k1"]
    assert await world.sets.prefetch([good]) == {}
    assert server.count("/keys") == 1


async def test_callers_who_need_the_same_set_share_one_fetch(world, server, rsa_keys, jwk):
    server.say("/keys", {"keys": [jwk(rsa_keys[0])]})
    provider = world.provider()

    await asyncio.gather(*(world.sets.fetch(provider) for _ in range(50)))

    assert server.count("/keys") == 1


async def test_a_flood_of_unknown_key_ids_costs_one_fetch_per_interval(world, server, rsa_keys, jwk):
    server.say("/keys", {"keys": [jwk(rsa_keys[0])]})
    provider = world.provider()
    await world.sets.prefetch([provider])
    asked = []
    for second in range(61):
        for _ in range(10):
            if world.sets.may_help(provider, world.clock()):
                asked.append(second)
                await world.sets.fetch(provider)
        world.clock.advance(1)

    assert asked == [0, 30, 60]
    assert server.count("/keys") == 4


async def test_those_who_come_while_a_fetch_runs_wait_for_it(world, server, rsa_keys, jwk):
    server.say("/keys", {"keys": [jwk(rsa_keys[0])]})
    provider = world.provider()
    await world.sets.prefetch([provider])
    world.clock.advance(31)
    first = asyncio.ensure_future(world.sets.fetch(provider))
    await asyncio.sleep(0)

    assert world.sets.may_help(provider, world.clock())
    await first
    assert not world.sets.may_help(provider, world.clock())


async def test_only_so_many_wait_for_an_issuer_that_hangs(world, server, monkeypatch):
    async def hang(_):
        await server.hold.wait()

    monkeypatch.setattr("authz.check.jwks._MOST_WAITING", 2)
    server.say("/keys", hang)
    provider = world.provider()
    waiting = []
    while world.sets.may_help(provider, world.clock()):
        waiting.append(asyncio.ensure_future(world.sets.fetch(provider)))
        await asyncio.sleep(0)
    await world.sets.close()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert len(waiting) == 2


async def test_rotation_makes_a_new_set_and_the_same_answer_keeps_the_old_one(world, server, rsa_keys, jwk):
    provider = world.provider()
    server.say("/keys", {"keys": [jwk(rsa_keys[0])]})
    await world.sets.prefetch([provider])
    first = world.sets.get(provider, world.clock())
    await world.sets.fetch(provider)

    assert world.sets.get(provider, world.clock()) is first

    server.say("/keys", {"keys": [jwk(rsa_keys[1], "k2")]})
    await world.sets.fetch(provider)
    second = world.sets.get(provider, world.clock())

    assert world.kids(provider) == ["k2"]
    assert second.generation > first.generation


async def test_sets_are_refreshed_before_they_are_old(world, server, rsa_keys, jwk):
    provider = world.provider()
    server.say("/keys", {"keys": [jwk(rsa_keys[0])]})
    await world.sets.refresh()
    world.clock.advance(269)
    await world.sets.refresh()
    assert server.count("/keys") == 1

    world.clock.advance(31)
    await world.sets.refresh()
    assert server.count("/keys") == 2
    assert world.kids(provider) == ["k1"]


async def test_an_outage_is_survived_until_the_set_is_too_old(world, server, rsa_keys, jwk):
    provider = world.provider()
    server.say("/keys", {"keys": [jwk(rsa_keys[0])]})
    await world.sets.refresh()
    server.say("/keys", 500)
    world.clock.advance(86400)
    await world.sets.refresh()

    assert world.kids(provider) == ["k1"]

    world.clock.advance(1)
    assert world.kids(provider) is None

    server.say("/keys", {"keys": [jwk(rsa_keys[1], "k2")]})
    await world.sets.refresh()
    assert world.kids(provider) == ["k2"]


async def test_a_failing_issuer_is_asked_less_and_less_often(world, server):
    world.provider()
    asked = []
    for second in range(100):
        before = server.count("/keys")
        await world.sets.refresh()
        asked += [second] * (server.count("/keys") - before)
        world.clock.advance(1)

    assert asked == [0, 1, 3, 7, 15, 31, 61, 91]


async def test_garbage_does_not_replace_a_good_set(world, server, rsa_keys, jwk):
    provider = world.provider()
    server.say("/keys", {"keys": [jwk(rsa_keys[0])]})
    await world.sets.refresh()
    for garbage in (b"<html>", {"keys": []}, b"x" * (1 << 21), {"keys": [{"kty": "oct", "k": "AA"}]}):
        server.say("/keys", garbage)

        assert "/keys" in await world.sets.fetch(provider)
        assert world.kids(provider) == ["k1"]


async def test_a_fetch_that_fails_is_repeated_as_often_as_set(server, fetcher):
    world = World(server, fetcher, jwks_retries=2)
    error = await world.sets.fetch(world.provider())

    assert "404" in error
    assert server.count("/keys") == 3
    assert world.slept == [0.2, 0.4]


async def test_a_set_nobody_uses_any_more_is_neither_refreshed_nor_kept(world, server, rsa_keys, jwk):
    provider = world.provider()
    server.say("/keys", {"keys": [jwk(rsa_keys[0])]})
    await world.sets.refresh()
    world.live.swap(Rulebook())
    world.clock.advance(1000)
    await world.sets.refresh()

    assert server.count("/keys") == 1
    assert world.kids(provider) == ["k1"]

    world.clock.advance(90000)
    await world.sets.refresh()
    assert not world.sets._sources


async def test_discovery(world, server, rsa_keys, jwk):
    provider = world.provider("", server.url)
    server.say("/.well-known/openid-configuration", {"issuer": server.url, "jwks_uri": f"{server.url}/found"})
    server.say("/found", {"keys": [jwk(rsa_keys[0])]})

    assert await world.sets.prefetch([provider]) == {}
    assert world.kids(provider) == ["k1"]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"issuer": "https://evil.test", "jwks_uri": "https://evil.test/keys"}, "speaks for another issuer"),
        ({"jwks_uri": "https://evil.test/keys"}, "speaks for another issuer"),
        ({"issuer": []}, "speaks for another issuer"),
        ({"issuer": "ISSUER"}, "names no jwks_uri"),
        ({"issuer": "ISSUER", "jwks_uri": ["x"]}, "names no jwks_uri"),
        ({"issuer": "ISSUER", "jwks_uri": "file:///etc/passwd"}, "no http or https URL"),
        (b"<html>", "JSON object"),
        (404, "answered 404"),
    ],
)
async def test_discovery_that_leads_nowhere(world, server, document, words):
    if isinstance(document, dict) and document.get("issuer") == "ISSUER":
        document = document | {"issuer": server.url}
    server.say("/.well-known/openid-configuration", document)

    assert words in await world.sets.fetch(world.provider("", server.url))


async def test_discovery_can_be_switched_off(server, fetcher):
    world = World(server, fetcher, oidc_discovery=False)

    assert "discovery is off" in await world.sets.fetch(world.provider("", server.url))
    assert not server.requests


async def test_an_issuer_without_a_scheme_is_asked_over_https(world, server):
    error = await world.sets.fetch(world.provider("", "127.0.0.1:1"))

    assert error.startswith("https://127.0.0.1:1/.well-known/openid-configuration cannot be reached")


async def test_one_set_is_not_taken_for_another_issuers(world, server, rsa_keys, jwk):
    server.say("/keys", {"keys": [jwk(rsa_keys[0])]})
    mine, theirs = world.provider(), world.provider("/other")
    await world.sets.prefetch([mine])

    assert world.kids(theirs) is None
    assert world.sets.may_help(theirs, NOW)


async def test_refreshing_goes_on_in_the_background_until_closed(server, fetcher, rsa_keys, jwk):
    ticks = asyncio.Queue()
    live = Live()
    sets = KeySets(fetcher, live, Settings(jwks_retries=0), Clock(), lambda _: ticks.get())
    issuer = "https://issuer.example.test"
    provider = ProviderRule(issuer, issuer, frozenset({issuer}), f"{server.url}/keys", ())
    live.swap(Rulebook(providers=(provider,)))
    server.say("/keys", {"keys": [jwk(rsa_keys[0])]})
    sets.start()
    sets.start()
    ticks.put_nowait(None)
    while sets.get(provider, NOW) is None:  # noqa: ASYNC110 - another task brings it
        await asyncio.sleep(0.001)
    await sets.close()

    assert server.count("/keys") == 1


async def test_closing_ends_a_fetch_that_hangs(world, server):
    async def hang(_):
        await server.hold.wait()

    server.say("/keys", hang)
    waiting = asyncio.ensure_future(world.sets.fetch(world.provider()))
    while not server.requests:  # noqa: ASYNC110 - another task makes it
        await asyncio.sleep(0.001)
    await world.sets.close()

    with pytest.raises(asyncio.CancelledError):
        await waiting
