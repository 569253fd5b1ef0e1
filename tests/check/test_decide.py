"""Who passes and who does not, and which reason they read: a table."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from authz.check.call import Call
from authz.check.decide import Known, NeedConsumer, NeedKeys, Reason, Verdict, decide, spoken
from authz.check.keys import KnownKey
from authz.model.auth import DEFAULT_KEY_PLACES, Alternative, ConsumerStatus, JwtRequirement, key_digest
from authz.model.service import Backend
from authz.rulebook.compile import compile_book
from authz.settings import Settings
from builders import (
    BY_BOTH,
    BY_KEY,
    BY_TOKEN,
    ISSUER,
    NOW,
    SERVICE,
    a_check_request,
    a_consumer,
    a_key,
    a_provider,
    a_service,
    an_inventory,
    an_operation,
)

AUDIENCE = f"https://{SERVICE}"


@dataclass(frozen=True)
class FakeToken:
    user_info: str = "eyJ9"
    audiences: frozenset[str] = frozenset({AUDIENCE})
    clients: frozenset[str] = frozenset({"app"})
    scopes: frozenset[str] = frozenset({"read", "write"})
    issuer: str = ISSUER


OTHER = "https://other.example.test"
TOKENS = {
    "good": FakeToken(),
    "theirs": FakeToken(audiences=frozenset({"https://elsewhere"})),
    "narrow": FakeToken(scopes=frozenset({"read"})),
    "expired": Reason.TOKEN_EXPIRED,
    "forged": Reason.TOKEN_SIGNATURE,
    "outage": Reason.KEY_SET_UNREACHABLE,
    "of-other": FakeToken(issuer=OTHER),
}
KEYS = {
    "good-key": a_key(),
    "revoked-key": a_key("revoked-key", revoked_at=NOW - 1),
    "expired-key": a_key("expired-key", expires_at=NOW),
    "later-key": a_key("later-key", expires_at=NOW + 1, revoked_at=NOW + 1),
    "narrow-key": a_key("narrow-key", services=("other.example.test",)),
    "suspended-key": a_key("suspended-key", consumer=a_consumer(status=ConsumerStatus.SUSPENDED)),
    "deleted-key": a_key("deleted-key", consumer=a_consumer(status=ConsumerStatus.DELETED)),
    "no-such-key": None,
}


class FakeTokens:
    def verify(self, text, provider, now):
        found = TOKENS.get(text)
        if found is None:
            return NeedKeys(provider)
        if isinstance(found, FakeToken) and found.issuer not in provider.issuers:
            return Reason.TOKEN_ISSUER
        return found


class FakeBackends(dict):
    def get(self, audience, now):
        return super().get(audience)


KNOWN = Known({key_digest(text): KnownKey(key) for text, key in KEYS.items()}, FakeTokens(), FakeBackends())


def outcome(operation, path="/v1/getshelf", headers=None, *, known=KNOWN, settings=None, **service):
    book = compile_book(an_inventory(a_service(operation, **service)), settings or Settings())
    return decide(book, Call(a_check_request(path, headers)), known, NOW)


def bearer(token, **more):
    return {"authorization": f"Bearer {token}", **more}


OPEN = ()
KEY = (BY_KEY,)
TOKEN = (BY_TOKEN,)
BOTH = (BY_BOTH,)
EITHER = (BY_KEY, BY_TOKEN)
R = Reason

MATRIX = [
    # ways in, path, headers, reason (None: passes)
    (OPEN, "/v1/getshelf", {}, None),
    (OPEN, "/v1/getshelf?key=no-such-key", bearer("forged"), None),
    # keys: the first declared place that is present counts
    (KEY, "/v1/getshelf?key=good-key", {}, None),
    (KEY, "/v1/getshelf?api_key=good-key", {}, None),
    (KEY, "/v1/getshelf", {"x-api-key": "good-key"}, None),
    (KEY, "/v1/getshelf?api_key=no-such-key&key=good-key", {}, None),
    (KEY, "/v1/getshelf?key=no-such-key", {"x-api-key": "good-key"}, R.KEY_INVALID),
    (KEY, "/v1/getshelf?key=", {"x-api-key": "good-key"}, R.KEY_MISSING),
    (KEY, "/v1/getshelf?key", {"x-api-key": "good-key"}, R.KEY_MISSING),
    (KEY, "/v1/getshelf", {}, R.KEY_MISSING),
    (KEY, "/v1/getshelf?KEY=good-key", {}, R.KEY_MISSING),
    (KEY, "/v1/getshelf?keys=good-key&mykey=good-key", {}, R.KEY_MISSING),
    (KEY, "/v1/getshelf?a=b?key=good-key", {}, R.KEY_MISSING),
    (KEY, "/v1/getshelf", {"cookie": "key=good-key"}, R.KEY_MISSING),
    # keys: twice, or in disguise
    (KEY, "/v1/getshelf?key=good-key&key=good-key", {}, R.KEY_TWICE),
    (KEY, "/v1/getshelf?k%65y=good-key", {}, R.KEY_TWICE),
    (KEY, "/v1/getshelf?key=good-key&%6B%65%79=other", {}, R.KEY_TWICE),
    (KEY, "/v1/getshelf", {"x-api-key": "good-key,good-key"}, R.KEY_TWICE),
    # keys: their state
    (KEY, "/v1/getshelf?key=revoked-key", {}, R.KEY_INVALID),
    (KEY, "/v1/getshelf?key=expired-key", {}, R.KEY_INVALID),
    (KEY, "/v1/getshelf?key=later-key", {}, None),
    (KEY, "/v1/getshelf?key=narrow-key", {}, R.KEY_SERVICE),
    (KEY, "/v1/getshelf?key=suspended-key", {}, R.CONSUMER_SUSPENDED),
    (KEY, "/v1/getshelf?key=deleted-key", {}, R.CONSUMER_DELETED),
    # tokens
    (TOKEN, "/v1/getshelf", bearer("good"), None),
    (TOKEN, "/v1/getshelf", {"authorization": "bearer good"}, None),
    (TOKEN, "/v1/getshelf", {"x-goog-iap-jwt-assertion": "good"}, None),
    (TOKEN, "/v1/getshelf?access_token=good", {}, None),
    (TOKEN, "/v1/getshelf?access_token=expired", bearer("good"), None),
    (TOKEN, "/v1/getshelf?access_token=good", bearer("expired"), R.TOKEN_EXPIRED),
    (TOKEN, "/v1/getshelf", {}, R.TOKEN_MISSING),
    (TOKEN, "/v1/getshelf", {"authorization": "good"}, R.TOKEN_MISSING),
    (TOKEN, "/v1/getshelf", {"authorization": "Basic good"}, R.TOKEN_MISSING),
    (TOKEN, "/v1/getshelf", {"authorization": "Bearergood"}, R.TOKEN_MISSING),
    (TOKEN, "/v1/getshelf", {"authorization": "Digest a=1, b=2"}, R.TOKEN_MISSING),
    (TOKEN, "/v1/getshelf", {"authorization": "Bearer good,Bearer good"}, R.TOKEN_TWICE),
    (TOKEN, "/v1/getshelf", {"authorization": "Basic x,Bearer good"}, R.TOKEN_TWICE),
    (TOKEN, "/v1/getshelf?access_token=good&access_token=good", {}, R.TOKEN_TWICE),
    (TOKEN, "/v1/getshelf?access%5Ftoken=good", {}, R.TOKEN_TWICE),
    (TOKEN, "/v1/getshelf", bearer("theirs"), R.TOKEN_AUDIENCE),
    (TOKEN, "/v1/getshelf", bearer("outage"), R.KEY_SET_UNREACHABLE),
    # all of one alternative; the token is judged first
    (BOTH, "/v1/getshelf?key=good-key", bearer("good"), None),
    (BOTH, "/v1/getshelf", {}, R.TOKEN_MISSING),
    (BOTH, "/v1/getshelf?key=good-key", {}, R.TOKEN_MISSING),
    (BOTH, "/v1/getshelf", bearer("good"), R.KEY_MISSING),
    (BOTH, "/v1/getshelf?key=no-such-key", bearer("expired"), R.TOKEN_EXPIRED),
    (BOTH, "/v1/getshelf?key=no-such-key", bearer("good"), R.KEY_INVALID),
    # any of several
    (EITHER, "/v1/getshelf?key=good-key", {}, None),
    (EITHER, "/v1/getshelf", bearer("good"), None),
    (EITHER, "/v1/getshelf?key=no-such-key", bearer("good"), None),
    (EITHER, "/v1/getshelf", {}, R.KEY_MISSING),
    ((BY_TOKEN, BY_KEY), "/v1/getshelf", {}, R.TOKEN_MISSING),
    (EITHER, "/v1/getshelf?key=no-such-key", {}, R.KEY_INVALID),
    (EITHER, "/v1/getshelf", bearer("expired"), R.TOKEN_EXPIRED),
    ((BY_BOTH, BY_TOKEN), "/v1/getshelf", bearer("theirs"), R.TOKEN_AUDIENCE),
]


@pytest.mark.parametrize(("ways", "path", "headers", "reason"), MATRIX)
def test_matrix(ways, path, headers, reason):
    verdict = outcome(an_operation("GetShelf", *ways), path, headers)

    assert isinstance(verdict, Verdict)
    assert verdict.reason is reason


OPTIONAL = [
    ((BY_TOKEN,), "/v1/getshelf", {}, None),
    ((BY_TOKEN,), "/v1/getshelf", bearer("good"), None),
    ((BY_TOKEN,), "/v1/getshelf", bearer("forged"), R.TOKEN_SIGNATURE),
    ((BY_TOKEN,), "/v1/getshelf", bearer("of-other"), R.TOKEN_ISSUER),
    ((BY_TOKEN,), "/v1/getshelf", {"authorization": "Bearer"}, NeedKeys),
    ((BY_KEY,), "/v1/getshelf", {}, None),
    ((BY_KEY,), "/v1/getshelf?key=", {}, R.KEY_MISSING),
    ((BY_KEY,), "/v1/getshelf?key=no-such-key", {}, R.KEY_INVALID),
    ((BY_KEY, BY_TOKEN), "/v1/getshelf?key=no-such-key", {}, R.KEY_INVALID),
    ((BY_KEY, BY_TOKEN), "/v1/getshelf?key=no-such-key", bearer("good"), None),
    ((BY_BOTH,), "/v1/getshelf?key=good-key", {}, R.TOKEN_MISSING),
]


@pytest.mark.parametrize(("ways", "path", "headers", "reason"), OPTIONAL)
def test_optional_authentication_lets_nobody_through_with_a_bad_credential(ways, path, headers, reason):
    result = outcome(an_operation("GetShelf", *ways, optional=True), path, headers)

    if reason is NeedKeys:
        assert isinstance(result, NeedKeys)
    else:
        assert result.reason is reason


def test_an_empty_alternative_makes_the_others_optional_and_not_void():
    operation = an_operation("GetShelf", BY_TOKEN, Alternative())

    assert outcome(operation).reason is None
    assert outcome(operation, headers=bearer("forged")).reason is Reason.TOKEN_SIGNATURE


def test_an_operation_that_no_rule_knows_is_denied():
    book = compile_book(an_inventory(a_service()), Settings())

    for request in (a_check_request(name="Nowhere"), a_check_request(config="2020-01-01r0"), b""):
        assert decide(book, Call(request), KNOWN, NOW).reason is Reason.UNKNOWN_OPERATION


def test_a_keys_value_is_taken_raw():
    raw = outcome(an_operation("GetShelf", BY_KEY), "/v1/getshelf?key=good%2Dkey")

    assert raw == NeedConsumer(key_digest("good%2Dkey"))


def test_what_is_not_known_yet_is_asked_for():
    wanted = outcome(an_operation("GetShelf", BY_KEY), "/v1/getshelf?key=never-seen")

    assert wanted == NeedConsumer(key_digest("never-seen"))
    assert outcome(an_operation("GetShelf", BY_TOKEN), headers=bearer("new")).provider.issuer == ISSUER


def test_two_issuers_are_alternatives():
    second = Alternative(jwt=JwtRequirement("other"))
    providers = (a_provider(), a_provider(id="other", issuer=OTHER))
    operation = an_operation("GetShelf", BY_TOKEN, second)

    assert outcome(operation, headers=bearer("good"), providers=providers).reason is None
    assert outcome(operation, headers=bearer("of-other"), providers=providers).reason is None
    assert outcome(operation, headers=bearer("expired"), providers=providers).reason is Reason.TOKEN_EXPIRED


@pytest.mark.parametrize(
    ("requirement", "token", "reason"),
    [
        (JwtRequirement("issuer", scopes=("read", "write")), "good", None),
        (JwtRequirement("issuer", scopes=("read", "write")), "narrow", Reason.TOKEN_SCOPE),
        (JwtRequirement("issuer", client_ids=("app", "web")), "good", None),
        (JwtRequirement("issuer", client_ids=("web",)), "good", Reason.TOKEN_CLIENT),
        (JwtRequirement("issuer", client_ids=()), "good", Reason.TOKEN_CLIENT),
        (JwtRequirement("issuer", audiences=("https://elsewhere",)), "theirs", None),
        (JwtRequirement("issuer", audiences=("https://elsewhere",)), "good", Reason.TOKEN_AUDIENCE),
    ],
)
def test_a_good_token_must_also_fit_the_operation(requirement, token, reason):
    assert outcome(an_operation("GetShelf", Alternative(jwt=requirement)), headers=bearer(token)).reason is reason


def test_the_default_audience_can_be_switched_off():
    operation = an_operation("GetShelf", BY_TOKEN)

    assert outcome(operation, headers=bearer("theirs"), settings=Settings(default_audience=False)).reason is None


def test_the_first_alternative_that_fits_names_the_consumer():
    verdict = outcome(an_operation("GetShelf", BY_KEY, BY_TOKEN), "/v1/getshelf?key=good-key", bearer("good"))

    assert verdict.consumer == a_consumer()
    assert verdict.token is None


def test_a_backend_that_wants_a_token_gets_one_or_no_call():
    backend = Backend("https://backend", jwt_audience="https://backend", disable_auth=False)
    settings = Settings(backend_auth="self")
    ready = replace_backends({"https://backend": "own"})
    operation = an_operation("GetShelf", backend=backend)

    assert outcome(operation, settings=settings).reason is Reason.BACKEND_TOKEN_MISSING
    assert outcome(operation, settings=settings, known=ready).backend_token == "own"
    assert outcome(operation).reason is None


def replace_backends(tokens):
    return KNOWN._replace(backend_tokens=FakeBackends(tokens))


def test_places_are_spoken_of_in_words():
    assert spoken(DEFAULT_KEY_PLACES) == "query parameter key or query parameter api_key or header x-api-key"
    text = outcome(an_operation("GetShelf", BY_TOKEN)).detail

    assert text.startswith("header authorization (Bearer ...) or ")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_consistent_statuses(reason):
    expected = {400: 3, 401: 16, 403: 7, 429: 8, 503: 14}

    assert reason.grpc == expected[reason.http]
    assert not reason.canonical or reason.canonical in {
        "UNAUTHENTICATED",
        "INVALID_ARGUMENT",
        "PERMISSION_DENIED",
        "UNAVAILABLE",
    }
    assert reason.message("x.").endswith(".")


def test_a_strangers_bad_keys_are_all_alike():
    reasons = {
        outcome(an_operation("GetShelf", BY_KEY), f"/v1/getshelf?key={text}")
        for text in ("revoked-key", "expired-key", "no-such-key")
    }

    assert len({(verdict.reason, verdict.detail, verdict.consumer) for verdict in reasons}) == 1


def test_a_key_alternative_without_places_is_not_open():
    assert outcome(an_operation("GetShelf", replace(BY_KEY, key_places=()))).reason is Reason.KEY_MISSING
