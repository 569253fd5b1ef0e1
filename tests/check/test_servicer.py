"""The whole of Check, bytes to bytes: what is fetched, what is counted, and that trouble always denies."""

from __future__ import annotations

import inspect
import logging

import pytest
from envoy.service.auth.v3 import external_auth_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from authz.check.decide import Reason
from authz.check.jwks import KeySets
from authz.check.jwt import sign
from authz.check.keys import KeyCache
from authz.check.servicer import CheckServicer
from authz.check.tokens import BackendTokens
from authz.errors import StoreError
from authz.model.auth import key_digest
from authz.model.quota import Cost
from authz.quota.counters.memory import MemoryCounters
from authz.quota.meter import Meter
from authz.quota.within import ChargingCheck
from authz.rulebook.compile import compile_book
from authz.rulebook.live import Live
from authz.settings import Settings
from authz.telemetry import Tally
from builders import (
    BY_BOTH,
    BY_KEY,
    BY_TOKEN,
    ISSUER,
    NOW,
    SERVICE,
    Clock,
    a_check_request,
    a_key,
    a_limit,
    a_metered_service,
    a_provider,
    an_inventory,
    an_operation,
)

ANSWER = external_auth_pb2.CheckResponse.FromString


class Gateway:
    """Check with everything around it; the store is a dictionary."""

    def __init__(self, fetcher, jwks_uri="", **settings):
        self.settings = Settings(jwks_retries=0, access_log="-", **settings)
        operations = (
            an_operation("Open"),
            an_operation("GetShelf", BY_KEY),
            an_operation("Token", BY_TOKEN),
            an_operation("Both", BY_BOTH),
            an_operation("Metered", BY_KEY, costs=(Cost("reads", 1),)),
        )
        provider = a_provider(jwks_uri=jwks_uri or f"{ISSUER}/keys")
        config = a_metered_service(*operations, providers=(provider,), limits=(a_limit(value=2),))
        self.live = Live(compile_book(an_inventory(config), self.settings))
        self.store = {key.digest: key for key in (a_key(),)}
        self.asked = []
        self.clock = Clock()
        self.keys = KeyCache(self.look_up, 100)
        self.sets = KeySets(fetcher, self.live, self.settings, self.clock)
        self.tally = Tally()
        self.servicer = CheckServicer(
            self.live,
            self.settings,
            self.keys,
            self.sets,
            BackendTokens(None, self.live, self.clock),
            ChargingCheck(Meter(self.live, MemoryCounters(), self.tally, self.clock), self.settings),
            self.tally,
            self.clock,
        )

    def look_up(self, digest):
        self.asked.append(digest)
        return self.store.get(digest)

    async def ask(self, path="/x", headers=None, **kind):
        return await self.send(a_check_request(path, headers, **kind))

    async def send(self, message):
        reply = self.servicer.handle(message)
        return ANSWER(await reply if inspect.isawaitable(reply) else reply)

    async def close(self):
        self.keys.close()
        await self.sets.close()


@pytest.fixture
async def gateway(fetcher, server):
    gateway = Gateway(fetcher, f"{server.url}/keys")
    yield gateway
    await gateway.close()


def token(key, **claims):
    base = {"iss": ISSUER, "aud": f"https://{SERVICE}", "exp": int(NOW) + 3600}
    return {"authorization": f"Bearer {sign(base | claims, key, 'RS256', 'k1')}"}


def decision(answer):
    return answer.dynamic_metadata.fields["decision"].string_value


async def test_a_key_is_looked_up_once_and_then_answered_without_waiting(gateway):
    request = a_check_request("/x?key=good-key")

    assert decision(await gateway.send(request)) == "allow"
    assert isinstance(gateway.servicer.handle(request), bytes)
    assert len(gateway.asked) == 1
    assert gateway.tally.total("check", decision="allow") == 2


async def test_an_unknown_key_is_denied_and_remembered(gateway):
    for _ in range(3):
        answer = await gateway.ask("/x?key=made-up")

        assert answer.denied_response.status.code == 400
    assert len(gateway.asked) == 1
    assert gateway.tally.total("check", decision="KEY_INVALID") == 3


async def test_a_revoked_key_stops_working_when_it_is_forgotten(gateway):
    await gateway.ask("/x?key=good-key")
    digest = key_digest("good-key")
    gateway.store[digest] = a_key(revoked_at=NOW)
    gateway.keys.forget([digest])

    assert decision(await gateway.ask("/x?key=good-key")) == "KEY_INVALID"


async def test_a_token_brings_its_issuers_keys(gateway, server, rsa_keys, jwk):
    server.say("/keys", {"keys": [jwk(rsa_keys[0])]})

    assert decision(await gateway.ask(headers=token(rsa_keys[0]), name="Token")) == "allow"
    assert decision(await gateway.ask(headers=token(rsa_keys[1]), name="Token")) == "TOKEN_SIGNATURE"
    assert decision(await gateway.ask("/x?key=good-key", token(rsa_keys[0]), name="Both")) == "allow"
    assert server.count("/keys") == 1


async def test_both_may_have_to_be_fetched_for_one_call(gateway, server, rsa_keys, jwk):
    server.say("/keys", {"keys": [jwk(rsa_keys[0])]})

    assert decision(await gateway.ask("/x?key=good-key", token(rsa_keys[0]), name="Both")) == "allow"


async def test_keys_that_rotate_are_found_at_once_and_then_at_most_once_per_interval(gateway, server, rsa_keys, jwk):
    server.say("/keys", {"keys": [jwk(rsa_keys[0], "k0")]})
    await gateway.sets.prefetch(gateway.live.book.providers)
    assert decision(await gateway.ask(headers=token(rsa_keys[1]), name="Token")) == "TOKEN_KEY_UNKNOWN"
    assert server.count("/keys") == 2

    server.say("/keys", {"keys": [jwk(rsa_keys[1])]})
    gateway.clock.advance(29)
    assert decision(await gateway.ask(headers=token(rsa_keys[1]), name="Token")) == "TOKEN_KEY_UNKNOWN"
    gateway.clock.advance(1)
    assert decision(await gateway.ask(headers=token(rsa_keys[1]), name="Token")) == "allow"
    assert server.count("/keys") == 3


async def test_an_issuer_that_is_away_is_our_trouble_and_never_an_allow(gateway, rsa_keys):
    answer = await gateway.ask(headers=token(rsa_keys[0]), name="Token")

    assert answer.denied_response.status.code == 503
    assert decision(answer) == "KEY_SET_UNREACHABLE"


async def test_a_store_that_is_away_is_our_trouble_and_never_an_allow(gateway, caplog):
    def away(_):
        raise StoreError("the database is away")

    gateway.keys._lookup = away
    for _ in range(2):
        answer = await gateway.ask("/x?key=good-key")

        assert answer.denied_response.status.code == 503
        assert decision(answer) == "KEYS_UNREACHABLE"
    assert caplog.text.count("the database is away") == 1


@pytest.mark.parametrize("message", [b"\xff\xff\xff", b"\x0a\x05abc"])
async def test_bytes_that_are_no_check_request_are_denied_and_logged_once(gateway, message, caplog):
    for _ in range(2):
        answer = await gateway.send(message)

        assert answer.denied_response.status.code == 503
    assert gateway.tally.total("check", decision="MALFORMED_CHECK") == 2
    assert len(caplog.records) == 1


@pytest.mark.parametrize("message", [b"", a_check_request(name="Nowhere"), a_check_request(service="other")])
async def test_an_operation_that_the_book_does_not_hold_is_denied(gateway, message):
    answer = await gateway.send(message)

    assert answer.status.code == 14
    assert decision(answer) == "UNKNOWN_OPERATION"


async def test_a_mistake_of_our_own_denies(gateway, caplog):
    caplog.set_level(logging.CRITICAL)
    gateway.servicer._known = None
    answer = await gateway.ask("/x?key=good-key")

    assert answer.denied_response.status.code == 503
    assert decision(answer) == Reason.INTERNAL.name


async def test_a_mistake_while_fetching_denies(gateway, caplog):
    caplog.set_level(logging.CRITICAL)
    gateway.keys._lookup = lambda _: 1 / 0
    answer = await gateway.ask("/x?key=good-key")

    assert decision(answer) == Reason.INTERNAL.name


async def test_a_key_that_is_forgotten_again_and_again_is_denied_in_the_end(gateway):
    gateway.keys.get = lambda _: None
    answer = await gateway.ask("/x?key=good-key")

    assert decision(answer) == Reason.INTERNAL.name
    assert len(gateway.asked) == 4


async def test_the_book_of_the_first_moment_holds_to_the_end_of_a_call(gateway):
    reply = gateway.servicer.handle(a_check_request("/x?key=good-key"))
    gateway.live.swap(compile_book(an_inventory(), gateway.settings))

    assert decision(ANSWER(await reply)) == "allow"


@pytest.mark.parametrize(
    ("headers", "name", "reason"),
    [
        # Bytes that are not UTF-8 reach Check as "!" while backends see the bytes.
        ({"x-api-key": "good!key"}, "GetShelf", "KEY_INVALID"),
        # A folded header line arrives with a blank in the middle.
        ({"x-api-key": "good- key"}, "GetShelf", "KEY_INVALID"),
        ({"authorization": "Bearer aa.bb. cc"}, "Token", "TOKEN_MALFORMED"),
        # What `Connection:` names is gone before Check sees it.
        ({"connection": "x-api-key"}, "GetShelf", "KEY_MISSING"),
        ({"x-endpoint-api-consumer-number": "1", "x-endpoint-api-userinfo": "e30"}, "GetShelf", "KEY_MISSING"),
    ],
)
async def test_credentials_that_were_bent_on_the_way(gateway, headers, name, reason):
    assert decision(await gateway.ask(headers=headers, name=name)) == reason


GUARDED = [a_check_request("/x?key=bad", {"authorization": "Bearer a.b.c"}, name=n) for n in ("GetShelf", "Both")]


class NoFetch:
    async def get(self, url, headers=None):
        raise AssertionError("nothing is fetched here")


@pytest.fixture(scope="module")
def closed():
    """A gateway whose every key is unknown."""
    gateway = Gateway(NoFetch())
    for text in ("bad",):
        gateway.keys._remember(key_digest(text), None)
    logging.getLogger("authz").setLevel(logging.CRITICAL)
    yield gateway
    logging.getLogger("authz").setLevel(logging.NOTSET)
    gateway.keys.close()


def denies(gateway, message):
    reply = gateway.servicer.handle(message)
    if inspect.isawaitable(reply):
        reply.close()
        return True
    return ANSWER(reply).status.code != 0


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_whatsoever_are_allowed(closed, data):
    assert denies(closed, data)


@settings(deadline=None)
@given(st.sampled_from(GUARDED), st.data())
def test_no_mutation_of_a_bad_call_to_a_guarded_operation_is_allowed(closed, message, data):
    mutated = bytearray(message)
    for _ in range(data.draw(st.integers(1, 8))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))

    assert denies(closed, bytes(mutated))


@settings(deadline=None)
@given(
    st.text(max_size=40),
    st.dictionaries(st.sampled_from(["authorization", "x-api-key", "cookie", "content-type"]), st.text(max_size=60)),
    st.sampled_from(["GetShelf", "Token", "Both"]),
)
def test_no_text_in_any_place_is_allowed(closed, query, headers, name):
    assert denies(closed, a_check_request(f"/x?{query}", headers, name=name))


# -- charging what may pass -------------------------------------------------------------------------------------------


def headers(options):
    return {option.header.key: option.header.value for option in options}


async def test_what_may_pass_is_charged_and_what_may_not_is_not(gateway):
    metered = {"name": "Metered", "charge": "1"}
    denied = [await gateway.ask("/x?key=made-up", **metered) for _ in range(3)]
    first, second, third = [await gateway.ask("/x?key=good-key", **metered) for _ in range(3)]

    assert {decision(answer) for answer in denied} == {"KEY_INVALID"}
    assert [
        headers(answer.ok_response.response_headers_to_add)["x-ratelimit-remaining"] for answer in (first, second)
    ] == ["1", "0"]
    # What Check says to the backend is all there, too.
    assert headers(first.ok_response.headers)["x-endpoint-api-consumer-number"]
    assert first.ok_response.headers_to_remove
    assert (third.status.code, third.denied_response.status.code) == (8, 429)
    assert third.denied_response.body.startswith("RESOURCE_EXHAUSTED: ")
    assert int(headers(third.denied_response.headers)["retry-after"]) > 0
    assert decision(third) == "QUOTA_USED_UP"
    assert not third.HasField("ok_response")


async def test_a_grpc_call_over_its_quota_is_told_so_in_its_own_way(gateway):
    content = {"content-type": "application/grpc"}
    answers = [await gateway.ask("/x?key=good-key", content, name="Metered", charge="1") for _ in range(3)]

    assert headers(answers[-1].denied_response.headers)["grpc-status"] == "8"


async def test_where_rate_limit_is_asked_check_charges_nothing_and_says_who_called(gateway):
    answers = [await gateway.ask("/x?key=good-key", name="Metered") for _ in range(5)]

    assert {decision(answer) for answer in answers} == {"allow"}
    assert answers[0].dynamic_metadata.fields["subject"].string_value.startswith("consumer:")
    assert not answers[0].ok_response.response_headers_to_add


async def test_an_operation_that_costs_nothing_is_not_charged_whatever_the_route_says(gateway):
    answers = [await gateway.ask("/x?key=good-key", charge="1") for _ in range(5)]

    assert not any(answer.ok_response.response_headers_to_add for answer in answers)
