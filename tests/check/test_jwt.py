"""Tokens as attackers and careless issuers write them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from authz.check.decide import NeedKeys, Reason
from authz.check.jwks import KeySet, PublicJwk
from authz.check.jwt import Claims, Verifier, expiry, sign
from authz.model.auth import DEFAULT_TOKEN_PLACES
from authz.rulebook.book import ProviderRule
from builders import ISSUER, NOW, SERVICE

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
STRANGER = rsa.generate_private_key(65537, 2048)
RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
PROVIDER = ProviderRule("issuer", ISSUER, frozenset({ISSUER}), f"{ISSUER}/keys", DEFAULT_TOKEN_PLACES)
R = Reason


def a_set(generation=1, **kids):
    keys = kids or {"rsa": RSA_KEY, "ec": EC_KEY, "ed": ED_KEY}
    kinds = {rsa.RSAPrivateKey: RSA_ALGORITHMS, ec.EllipticCurvePrivateKey: {"ES256"}}
    listed = tuple(
        PublicJwk(
            kid, key.public_key(), frozenset(next((a for k, a in kinds.items() if isinstance(key, k)), {"EdDSA"}))
        )
        for kid, key in keys.items()
    )
    return KeySet(listed, generation, frozenset(keys))


class Sets:
    def __init__(self, keys=None):
        self.keys = keys
        self.helps = False

    def get(self, provider, now):
        return self.keys

    def may_help(self, provider, now):
        return self.helps


def claims(**changes):
    base = {"iss": ISSUER, "sub": "alice", "aud": f"https://{SERVICE}", "exp": int(NOW) + 3600}
    return {name: value for name, value in (base | changes).items() if value is not ...}


def encode(data):
    raw = data if isinstance(data, bytes) else data.encode() if isinstance(data, str) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(header, payload, key=RSA_KEY):
    """A token whose parts are written to the letter, truly signed with RS256."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    signed = f"{encode(header)}.{encode(payload)}"
    return f"{signed}.{encode(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def judge(text, *, keys=None, helps=False, provider=PROVIDER, now=NOW):
    sets = Sets(a_set() if keys is None else keys)
    sets.helps = helps
    return Verifier(sets, skew=60, size=10).verify(text, provider, now)


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [
        *((RSA_KEY, algorithm, "rsa") for algorithm in sorted(RSA_ALGORITHMS)),
        (EC_KEY, "ES256", "ec"),
        (ED_KEY, "EdDSA", "ed"),
    ],
)
def test_good_tokens_pass_and_their_payload_is_handed_on_as_it_came(key, algorithm, kid):
    text = sign(claims(), key, algorithm, kid)
    verified = judge(text)

    assert isinstance(verified, Claims)
    assert verified.user_info == text.split(".")[1]
    assert verified.audiences == {f"https://{SERVICE}"}


HEADER = {"alg": "RS256", "kid": "rsa"}
BODY = claims()


def unsigned(alg):
    return f"{encode({'alg': alg})}.{encode(BODY)}."


def hmac_with_public_key():
    pem = RSA_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = f"{encode({'alg': 'HS256', 'kid': 'rsa'})}.{encode(BODY)}"
    return f"{signed}.{encode(hmac.new(pem, signed.encode(), hashlib.sha256).digest())}"


GOOD = by_hand(HEADER, BODY)
H, P, S = GOOD.split(".")


def second_spelling(part):
    """The same bytes with other unused bits, for a part whose length allows it."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(part) % 4
    return part[:-1] + alphabet[alphabet.index(part[-1]) ^ 1]


ATTACKS = {
    "alg none": (unsigned("none"), R.TOKEN_MALFORMED),
    "alg None with a signature": (f"{unsigned('None')}{encode('x')}", R.TOKEN_UNSUPPORTED),
    "alg none with a signature": (f"{unsigned('none')}{encode('x')}", R.TOKEN_UNSUPPORTED),
    "no signature": (f"{H}.{P}.", R.TOKEN_MALFORMED),
    "HMAC with the public key": (hmac_with_public_key(), R.TOKEN_UNSUPPORTED),
    "alg of another key type": (by_hand({"alg": "ES256", "kid": "rsa"}, BODY), R.TOKEN_KEY_UNKNOWN),
    "alg of a key with another id": (by_hand({"alg": "RS256", "kid": "ec"}, BODY), R.TOKEN_KEY_UNKNOWN),
    "PS alg on a PKCS1 signature": (by_hand({"alg": "PS256", "kid": "rsa"}, BODY), R.TOKEN_SIGNATURE),
    "alg missing": (by_hand({"kid": "rsa"}, BODY), R.TOKEN_UNSUPPORTED),
    "alg not a string": (by_hand({"alg": ["RS256"], "kid": "rsa"}, BODY), R.TOKEN_UNSUPPORTED),
    "own jwk": (sign(claims(), STRANGER, "RS256", "rsa"), R.TOKEN_SIGNATURE),
    "crit": (by_hand(HEADER | {"crit": ["exp"]}, BODY), R.TOKEN_UNSUPPORTED),
    "crit empty": (by_hand(HEADER | {"crit": []}, BODY), R.TOKEN_UNSUPPORTED),
    "b64 false": (by_hand(HEADER | {"crit": ["b64"], "b64": False}, BODY), R.TOKEN_UNSUPPORTED),
    "kid unknown": (by_hand({"alg": "RS256", "kid": "../../etc/passwd"}, BODY), R.TOKEN_KEY_UNKNOWN),
    "kid huge": (by_hand({"alg": "RS256", "kid": "k" * 300}, BODY), R.TOKEN_UNSUPPORTED),
    "kid not a string": (by_hand({"alg": "RS256", "kid": 1}, BODY), R.TOKEN_UNSUPPORTED),
    "payload changed": (f"{H}.{encode(claims(sub='root'))}.{S}", R.TOKEN_SIGNATURE),
    "five parts": (f"{GOOD}.a.b", R.TOKEN_MALFORMED),
    "two parts": (f"{H}.{P}", R.TOKEN_MALFORMED),
    "empty": ("", R.TOKEN_MALFORMED),
    "padding": (f"{H}=.{P}.{S}", R.TOKEN_MALFORMED),
    "plus and slash": (f"{H}.{P}.+/{S}", R.TOKEN_MALFORMED),
    "white space": (f"{H}.{P}.{S} ", R.TOKEN_MALFORMED),
    "line end": (f"{GOOD}\n", R.TOKEN_MALFORMED),
    "unused bits": (f"{H}.{P}.{second_spelling(S)}", R.TOKEN_MALFORMED),
    "not a string of base64": (f"{H}.{P}.A", R.TOKEN_MALFORMED),
    "too long": (by_hand(HEADER, claims(pad="x" * 7000)), R.TOKEN_MALFORMED),
    "duplicate in header": (by_hand('{"alg":"RS256","alg":"RS256","kid":"rsa"}', BODY), R.TOKEN_MALFORMED),
    "duplicate in claims": (by_hand(HEADER, json.dumps(BODY)[:-1] + ',"sub":"root"}'), R.TOKEN_MALFORMED),
    "duplicate deep in claims": (by_hand(HEADER, json.dumps(BODY)[:-1] + ',"x":{"a":1,"a":2}}'), R.TOKEN_MALFORMED),
    "NaN": (by_hand(HEADER, json.dumps(BODY)[:-1] + ',"x":NaN}'), R.TOKEN_MALFORMED),
    "payload a list": (by_hand(HEADER, [BODY]), R.TOKEN_MALFORMED),
    "payload a token": (by_hand(HEADER | {"cty": "JWT"}, GOOD), R.TOKEN_MALFORMED),
    "payload not UTF-8": (by_hand(HEADER, b'{"iss":"\xff"}'), R.TOKEN_MALFORMED),
    "payload too deep": (by_hand(HEADER, "[" * 3000 + "]" * 2000), R.TOKEN_MALFORMED),
    "iss missing": (by_hand(HEADER, claims(iss=...)), R.TOKEN_ISSUER),
    "iss a prefix": (by_hand(HEADER, claims(iss=ISSUER[:-1])), R.TOKEN_ISSUER),
    "iss with a slash": (by_hand(HEADER, claims(iss=ISSUER + "/")), R.TOKEN_ISSUER),
    "iss in other case": (by_hand(HEADER, claims(iss=ISSUER.upper())), R.TOKEN_ISSUER),
    "iss a list": (by_hand(HEADER, claims(iss=[ISSUER])), R.TOKEN_ISSUER),
    "exp missing": (by_hand(HEADER, claims(exp=...)), R.TOKEN_CLAIMS),
    "exp null": (by_hand(HEADER, claims(exp=None)), R.TOKEN_CLAIMS),
    "exp a float": (by_hand(HEADER, claims(exp=NOW + 10.5)), R.TOKEN_CLAIMS),
    "exp a string": (by_hand(HEADER, claims(exp=str(int(NOW) + 10))), R.TOKEN_CLAIMS),
    "exp true": (by_hand(HEADER, claims(exp=True)), R.TOKEN_CLAIMS),
    "exp negative": (by_hand(HEADER, claims(exp=-1)), R.TOKEN_CLAIMS),
    "exp absurd": (by_hand(HEADER, claims(exp=10**15)), R.TOKEN_CLAIMS),
    "exp infinite": (by_hand(HEADER, json.dumps(claims(exp=...))[:-1] + ',"exp":1e400}'), R.TOKEN_CLAIMS),
    "nbf a string": (by_hand(HEADER, claims(nbf="0")), R.TOKEN_CLAIMS),
    "iat a float": (by_hand(HEADER, claims(iat=1.5)), R.TOKEN_CLAIMS),
    "aud a number": (by_hand(HEADER, claims(aud=7)), R.TOKEN_CLAIMS),
    "aud a list of numbers": (by_hand(HEADER, claims(aud=[7])), R.TOKEN_CLAIMS),
    "azp a number": (by_hand(HEADER, claims(azp=7)), R.TOKEN_CLAIMS),
    "scope a number": (by_hand(HEADER, claims(scope=7)), R.TOKEN_CLAIMS),
    "expired": (by_hand(HEADER, claims(exp=int(NOW) - 60)), R.TOKEN_EXPIRED),
    "not yet": (by_hand(HEADER, claims(nbf=int(NOW) + 61)), R.TOKEN_NOT_YET),
    "issued in the future": (by_hand(HEADER, claims(iat=int(NOW) + 61)), R.TOKEN_NOT_YET),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_and_mistakes(name):
    text, reason = ATTACKS[name]

    assert judge(text) is reason


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(NOW) - 59},
        {"nbf": int(NOW) + 60},
        {"iat": int(NOW) + 60},
        {"nbf": int(NOW), "iat": int(NOW)},
        {"aud": ...},
        {"aud": ["a", "b"]},
    ],
)
def test_clocks_may_differ_by_a_minute(changes):
    assert isinstance(judge(by_hand(HEADER, claims(**changes))), Claims)


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk", "x5c"])
def test_keys_that_a_token_brings_along_are_not_looked_at(header):
    assert isinstance(judge(by_hand(HEADER | {header: "https://evil.test/keys"}, BODY)), Claims)
    assert judge(by_hand(HEADER | {header: "https://evil.test/keys"}, BODY, STRANGER)) is Reason.TOKEN_SIGNATURE


def test_a_token_without_a_key_id_is_tried_with_every_fitting_key():
    text = by_hand({"alg": "RS256"}, BODY)

    assert isinstance(judge(text, keys=a_set(other=STRANGER, right=RSA_KEY)), Claims)
    assert judge(text, keys=a_set(other=STRANGER)) is Reason.TOKEN_SIGNATURE


def test_a_key_without_an_id_may_be_any():
    assert isinstance(judge(GOOD, keys=a_set(**{"": RSA_KEY})), Claims)


@pytest.mark.parametrize(
    ("claim", "clients", "scopes"),
    [
        ({"azp": "app", "client_id": "other"}, {"app"}, set()),
        ({"client_id": "app"}, {"app"}, set()),
        ({"aud": ["a", "b"]}, {"a", "b"}, set()),
        ({"azp": "app", "scope": "read write"}, {"app"}, {"read", "write"}),
        ({"azp": "app", "scp": ["read", "write"]}, {"app"}, {"read", "write"}),
        ({"azp": "app", "scp": "read write"}, {"app"}, {"read", "write"}),
        ({"azp": "app", "scope": "read", "scp": ["admin"]}, {"app"}, {"read"}),
    ],
)
def test_clients_and_scopes_are_read_from_the_claims_that_issuers_use(claim, clients, scopes):
    found = judge(by_hand(HEADER, claims(**claim)))

    assert (found.clients, found.scopes) == (clients, scopes)


def test_a_set_that_may_be_fetched_is_asked_for():
    sets = Sets(None)
    verifier = Verifier(sets, skew=60, size=10)

    assert verifier.verify(GOOD, PROVIDER, NOW) is Reason.KEY_SET_UNREACHABLE
    sets.helps = True
    assert verifier.verify(GOOD, PROVIDER, NOW) == NeedKeys(PROVIDER)


def test_only_an_unknown_key_id_is_worth_a_fetch():
    unknown = by_hand({"alg": "RS256", "kid": "new"}, BODY)

    assert judge(unknown, helps=True) == NeedKeys(PROVIDER)
    assert judge(unknown, helps=False) is Reason.TOKEN_KEY_UNKNOWN
    assert judge(by_hand({"alg": "ES256", "kid": "rsa"}, BODY), helps=True) is Reason.TOKEN_KEY_UNKNOWN
    assert judge(by_hand({"alg": "RS256", "kid": "new"}, claims(iss="x")), helps=True) is Reason.TOKEN_ISSUER


def test_a_remembered_token_ends_when_it_expires():
    verifier = Verifier(Sets(a_set()), skew=60, size=10)

    assert verifier.verify(GOOD, PROVIDER, NOW) is verifier.verify(GOOD, PROVIDER, NOW)
    assert verifier.verify(GOOD, PROVIDER, NOW + 3660) is Reason.TOKEN_EXPIRED
    assert verifier.verify(GOOD, PROVIDER, NOW + 3660) is Reason.TOKEN_EXPIRED


def test_a_remembered_token_ends_with_its_key_set():
    sets = Sets(a_set())
    verifier = Verifier(sets, skew=60, size=10)
    verifier.verify(GOOD, PROVIDER, NOW)
    sets.keys = a_set(2, rsa=STRANGER)

    assert verifier.verify(GOOD, PROVIDER, NOW) is Reason.TOKEN_SIGNATURE
    sets.keys = None
    assert verifier.verify(GOOD, PROVIDER, NOW) is Reason.KEY_SET_UNREACHABLE


def test_a_token_remembered_for_one_provider_does_not_pass_for_another():
    other = ProviderRule("other", "https://other", frozenset({"https://other"}), PROVIDER.jwks_uri, PROVIDER.places)
    verifier = Verifier(Sets(a_set()), skew=60, size=10)
    verifier.verify(GOOD, PROVIDER, NOW)

    assert verifier.verify(GOOD, other, NOW) is Reason.TOKEN_ISSUER


@pytest.mark.parametrize(("size", "kept"), [(0, 0), (2, 2)])
def test_the_memory_of_tokens_is_bounded(size, kept):
    verifier = Verifier(Sets(a_set()), skew=60, size=size)
    for number in range(4):
        verifier.verify(by_hand(HEADER, claims(jti=str(number))), PROVIDER, NOW)

    assert len(verifier._verified) == kept


def test_the_expiry_of_a_token_for_ourselves():
    assert expiry(GOOD) == int(NOW) + 3600
    with pytest.raises(ValueError, match="no token"):
        expiry("ya29.opaque")
    with pytest.raises(ValueError, match="expiry"):
        expiry(by_hand(HEADER, claims(exp=...)))


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n"


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.sampled_from(ALPHABET), st.booleans())
def test_no_other_text_passes_for_a_good_token(place, char, insert):
    changed = GOOD[:place] + char + GOOD[place + (not insert) :]
    verifier = Verifier(Sets(a_set()), skew=60, size=10)
    verifier.verify(GOOD, PROVIDER, NOW)

    assert isinstance(verifier.verify(changed, PROVIDER, NOW), Claims) is (changed == GOOD)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(["iss", "exp", "nbf", "iat", "aud", "azp", "client_id", "scope", "scp"]),
)
def test_claims_of_any_type_give_a_verdict(value, name):
    assert isinstance(judge(by_hand(HEADER, claims(**{name: value}))), Claims | Reason)
