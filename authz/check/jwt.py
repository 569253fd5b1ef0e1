"""Is this token its issuer's, and in time? The only home of PyJWT, which does the signatures and nothing else.

Reading is stricter than JWS asks: one spelling per token, no duplicate members, no header that brings its own
key. Keys come from `jwks` alone; `jku`, `x5u`, `jwk` and `x5c` are never looked at.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, Protocol

import jwt

from authz.check.decide import NeedKeys, Reason
from authz.check.jwks import ALGORITHMS, KeySet
from authz.rulebook.book import ProviderRule

MOST_CHARS: Final = 8192
_MOST_KID: Final = 256
_FAR: Final = 253402300800
"""Year 10000: a later time is a mistake or an attempt to overflow something."""

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_signatures = {name: jwt.get_algorithm_by_name(name) for name in sorted(ALGORITHMS)}


class Sets(Protocol):
    """Where key sets are looked up: `jwks.KeySets`."""

    def get(self, provider: ProviderRule, now: float) -> KeySet | None:
        """The set to verify with."""
        ...

    def may_help(self, provider: ProviderRule, now: float) -> bool:
        """Whether a fetch might bring a missing set or key."""
        ...


class Claims:
    """What a verified token says, as `decide` needs it. `user_info` is the payload as it came, base64url."""

    __slots__ = ("audiences", "clients", "expires", "issuer", "keys", "scopes", "user_info")

    def __init__(self, payload: Mapping[str, Any], user_info: str, keys: KeySet) -> None:
        """Raises TypeError when a claim has a type that it cannot have."""
        self.issuer: str = payload["iss"]
        self.expires: int = payload["exp"]
        self.audiences = frozenset(_strings(payload.get("aud", ())))
        client = payload.get("azp", payload.get("client_id"))
        self.clients = self.audiences if client is None else frozenset(_strings(client))
        self.scopes = _scopes(payload)
        self.user_info = user_info
        self.keys = keys


class Verifier:
    """Verifies tokens and remembers those that passed, until they expire or their issuer's key set changes.

    Tokens are remembered by digest, so that none lies about in memory; the least recently used goes first.
    """

    def __init__(self, sets: Sets, *, skew: float, size: int) -> None:
        self._sets = sets
        self._skew = skew
        self._size = size
        self._verified: OrderedDict[bytes, Claims] = OrderedDict()

    def verify(self, text: str, provider: ProviderRule, now: float) -> Claims | Reason | NeedKeys:
        """The claims of a good token, why it is not one, or the key set that is needed to tell."""
        digest = sha256(text.encode()).digest()
        claims = self._verified.get(digest)
        # The set is compared as an object: an equal issuer with other keys, or newer ones, verifies afresh.
        if claims is not None and claims.keys is self._sets.get(provider, now) and claims.issuer in provider.issuers:
            if now >= claims.expires + self._skew:
                del self._verified[digest]
                return Reason.TOKEN_EXPIRED
            self._verified.move_to_end(digest)
            return claims
        fresh = self._judge(text, provider, now)
        if isinstance(fresh, Claims) and self._size:
            self._verified[digest] = fresh
            if len(self._verified) > self._size:
                self._verified.popitem(last=False)
        return fresh

    def _judge(self, text: str, provider: ProviderRule, now: float) -> Claims | Reason | NeedKeys:
        token = _Token.read(text)
        if isinstance(token, Reason):
            return token
        issuer = token.payload.get("iss")
        if not isinstance(issuer, str) or issuer not in provider.issuers:
            return Reason.TOKEN_ISSUER
        keys = self._sets.get(provider, now)
        if keys is None:
            return NeedKeys(provider) if self._sets.may_help(provider, now) else Reason.KEY_SET_UNREACHABLE
        candidates = keys.candidates(token.kid, token.algorithm)
        if not candidates:
            strange = token.kid not in keys.kids
            return NeedKeys(provider) if strange and self._sets.may_help(provider, now) else Reason.TOKEN_KEY_UNKNOWN
        if not any(token.is_signed_by(one.key) for one in candidates):
            return Reason.TOKEN_SIGNATURE
        return self._timely(token.payload, now) or _claims(token, keys)

    def _timely(self, payload: Mapping[str, Any], now: float) -> Reason | None:
        times = [payload.get(name) for name in ("exp", "nbf", "iat")]
        # bool is an int to Python and not to JSON.
        if times[0] is None or not all(t is None or (type(t) is int and 0 <= t < _FAR) for t in times):
            return Reason.TOKEN_CLAIMS
        if now >= times[0] + self._skew:
            return Reason.TOKEN_EXPIRED
        if any(start is not None and start > now + self._skew for start in times[1:]):
            return Reason.TOKEN_NOT_YET
        return None


class _Token:
    """A token that has been read and not yet believed."""

    __slots__ = ("_signature", "_signed", "algorithm", "kid", "middle", "payload")

    def __init__(self, header: Mapping[str, Any], payload: Mapping[str, Any], signed: str, signature: bytes) -> None:
        self.algorithm: str = header["alg"]
        self.kid: str | None = header.get("kid")
        self.payload = payload
        self.middle = signed.partition(".")[2]
        self._signed = signed.encode()
        self._signature = signature

    @classmethod
    def read(cls, text: str) -> _Token | Reason:
        """The token's parts; the header's algorithm is one of ours and its key id is sane."""
        match = _COMPACT.fullmatch(text) if len(text) <= MOST_CHARS else None
        if match is None:
            return Reason.TOKEN_MALFORMED
        try:
            header, payload = _object(match[1]), _object(match[2])
            signature = _decode(match[3])
        except (ValueError, RecursionError):
            return Reason.TOKEN_MALFORMED
        kid = header.get("kid", "")
        if "crit" in header or not isinstance(kid, str) or len(kid) > _MOST_KID:
            return Reason.TOKEN_UNSUPPORTED
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            return Reason.TOKEN_UNSUPPORTED
        return cls(header, payload, text[: match.end(2)], signature)

    def is_signed_by(self, key: Any) -> bool:
        """Whether the signature is this key's. The key's type fits the algorithm: `candidates` saw to that."""
        return bool(_signatures[self.algorithm].verify(self._signed, key, self._signature))


def _claims(token: _Token, keys: KeySet) -> Claims | Reason:
    try:
        return Claims(token.payload, token.middle, keys)
    except TypeError:
        return Reason.TOKEN_CLAIMS


def _decode(part: str) -> bytes:
    """Strict base64url: the one spelling that an encoder gives. Two spellings of one token help only attackers."""
    data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if urlsafe_b64encode(data).rstrip(b"=") != part.encode():
        raise ValueError("not canonical")
    return data


def _object(part: str) -> dict[str, Any]:
    found = _JSON.decode(_decode(part).decode())
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 - malformed, like all else here
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands in it twice")
    return members


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_JSON: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_constant)


def _strings(claim: Any) -> tuple[str, ...]:
    values = (claim,) if isinstance(claim, str) else claim
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
        raise TypeError("neither a string nor a list of strings")
    return tuple(values)


def _scopes(payload: Mapping[str, Any]) -> frozenset[str]:
    """`scope` (RFC 8693: blank-separated) or, without it, `scp`, which is a list at some issuers."""
    said = payload.get("scope", payload.get("scp", ()))
    return frozenset(said.split(" ")) if isinstance(said, str) else frozenset(_strings(said))


def sign(claims: Mapping[str, Any], key: Any, algorithm: str, kid: str) -> str:
    """A token of our own, for backends."""
    return jwt.encode(dict(claims), key, algorithm=algorithm, headers={"kid": kid})


def expiry(text: str) -> int:
    """When a token that we were given for ourselves ends. It is not verified: we are not the ones to trust it.

    Raises:
        ValueError: it is no token, or has no exp.
    """
    token = _Token.read(text)
    if isinstance(token, Reason) or type(token.payload.get("exp")) is not int:
        raise ValueError("it is no token with an expiry")
    return int(token.payload["exp"])
