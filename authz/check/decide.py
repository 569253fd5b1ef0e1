"""May this call pass? Why was I denied? The answers are all in this file.

`decide` is pure: no clock, no network, no store. When it lacks a key set or the record of an API key it says so
(`NeedKeys`, `NeedConsumer`); the servicer fetches it and asks again. Tokens are judged before keys.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple, Protocol

from authz.check.call import TWICE, Call
from authz.model.auth import Consumer, ConsumerStatus, Place, PlaceKind, key_digest
from authz.rulebook.book import AlternativeRule, JwtRule, OperationRule, ProviderRule, Rulebook


@enum.unique
class Reason(enum.Enum):
    """Why a call is denied: HTTP status, grpc-status, canonical name ("" for none), RFC 6750 error, our sentence.

    Rows stand from shallow to deep: where several ways in fail, the caller reads of the one it got farthest on.
    `{detail}` is what would have worked: places, scopes or the service's name. Nothing here tells an unknown key
    from an expired or a revoked one.
    """

    # fmt: off
    # The gateway's own trouble. Authentication never fails open.
    MALFORMED_CHECK = (503, 14, "UNAVAILABLE", "", "The gateway cannot read its proxy's question; try again later.")
    UNKNOWN_OPERATION = (503, 14, "UNAVAILABLE", "", "The gateway does not know this operation yet; try again soon.")
    INTERNAL = (503, 14, "UNAVAILABLE", "", "The gateway failed to check this call; try again later.")
    # What is not there, or not even readable.
    TOKEN_MISSING = (401, 16, "", "", "A token is needed; send it as {detail}.")
    KEY_MISSING = (401, 16, "UNAUTHENTICATED", "", "An API key is needed; send it as {detail}.")
    TOKEN_TWICE = (400, 3, "", "invalid_request", "The token came twice or under an encoded name; send it once.")
    KEY_TWICE = (400, 3, "INVALID_ARGUMENT", "", "The API key came twice or under an encoded name; send it once.")
    TOKEN_MALFORMED = (401, 16, "", "invalid_token", "The token is not a signed JWT in its compact form.")
    TOKEN_UNSUPPORTED = (401, 16, "", "invalid_token", "The token's algorithm or header is not accepted here.")
    TOKEN_ISSUER = (401, 16, "", "invalid_token", "The token's issuer is not one that this operation trusts.")
    # What is there and does not hold.
    KEY_INVALID = (400, 3, "INVALID_ARGUMENT", "", "The API key is not valid; send a current key of this API.")
    KEYS_UNREACHABLE = (503, 14, "UNAVAILABLE", "", "API keys cannot be looked up at the moment; try again soon.")
    KEY_SET_UNREACHABLE = (503, 14, "", "", "The issuer's keys cannot be fetched at the moment; try again soon.")
    TOKEN_KEY_UNKNOWN = (401, 16, "", "invalid_token", "The token is signed with a key that its issuer does not list.")
    TOKEN_SIGNATURE = (401, 16, "", "invalid_token", "The token's signature is wrong.")
    TOKEN_CLAIMS = (401, 16, "", "invalid_token", "The token lacks exp, or a claim of it has a wrong type.")
    TOKEN_EXPIRED = (401, 16, "", "invalid_token", "The token has expired; get a new one.")
    TOKEN_NOT_YET = (401, 16, "", "invalid_token", "The token is not valid yet.")
    # Who it is, is known; it may not do this.
    TOKEN_AUDIENCE = (403, 7, "", "", "The token is meant for another audience than this API.")
    TOKEN_CLIENT = (403, 7, "", "", "The token was issued to a client that may not call this operation.")
    TOKEN_SCOPE = (403, 7, "", "insufficient_scope", "The token lacks a scope; needed: {detail}.")
    CONSUMER_DELETED = (403, 7, "PERMISSION_DENIED", "", "The consumer of this API key has been deleted.")
    CONSUMER_SUSPENDED = (403, 7, "PERMISSION_DENIED", "", "The consumer of this API key is suspended.")
    KEY_SERVICE = (403, 7, "PERMISSION_DENIED", "", "API {detail} is not open to this API key.")
    KEY_TARGET = (403, 7, "PERMISSION_DENIED", "", "This API key may not call this operation.")
    KEY_ADDRESS = (403, 7, "PERMISSION_DENIED", "", "This API key may not be used from this IP address.")
    KEY_REFERRER = (403, 7, "PERMISSION_DENIED", "", "This API key may not be used from this web page.")
    KEY_APP = (403, 7, "PERMISSION_DENIED", "", "This API key may not be used from this application.")
    BACKEND_TOKEN_MISSING = (503, 14, "UNAVAILABLE", "", "The gateway has no token for its backend; try again soon.")
    # It may pass, but for what it would take (quota/within.py).
    QUOTA_UNREACHABLE = (503, 14, "UNAVAILABLE", "", "Quotas cannot be counted at the moment; try again soon.")
    QUOTA_USED_UP = (429, 8, "", "", "{detail}")
    # fmt: on

    def __init__(self, http: int, grpc: int, canonical: str, oauth: str, sentence: str) -> None:
        self.http = http
        self.grpc = grpc
        self.canonical = canonical
        self.oauth = oauth
        self.sentence = sentence
        self.depth = len(type(self).__members__)

    def message(self, detail: str = "") -> str:
        """What the caller reads."""
        text = self.sentence.format(detail=detail)
        return f"{self.canonical}: {text}" if self.canonical else text


class Token(Protocol):
    """A verified token. `user_info` is its payload as it came: base64url without padding."""

    @property
    def user_info(self) -> str:
        """What backends are told."""
        ...

    @property
    def audiences(self) -> frozenset[str]:
        """Whom it is meant for."""
        ...

    @property
    def clients(self) -> frozenset[str]:
        """Whom it was issued to."""
        ...

    @property
    def scopes(self) -> frozenset[str]:
        """What it allows."""
        ...


class Key(Protocol):
    """What is known of an API key."""

    @property
    def consumer(self) -> Consumer | None:
        """Whose it is; None for a text that is no key."""
        ...

    def is_live(self, now: float) -> bool:
        """Neither expired nor revoked."""
        ...

    def opens(self, service: str) -> bool:
        """Whether it may call a service at all."""
        ...

    def blocks(self, call: Call, rule: OperationRule) -> Reason | None:
        """The restriction that the call runs into."""
        ...


class NeedKeys(NamedTuple):
    """Fetch this provider's key set, then ask again."""

    provider: ProviderRule


class NeedConsumer(NamedTuple):
    """Look up the API key with this digest, then ask again."""

    digest: bytes


class Keys(Protocol):
    """API keys that have been looked up, by digest; None for one that has not."""

    def get(self, digest: bytes, /) -> Key | None:
        """The key's record."""
        ...


class Tokens(Protocol):
    """Judges whether a token is its issuer's and in time."""

    def verify(self, text: str, provider: ProviderRule, now: float) -> Token | Reason | NeedKeys:
        """The token's contents, or why it is none of this provider's."""
        ...


class Verdict(NamedTuple):
    """The answer: `reason` None lets the call pass. `detail` fills the reason's sentence."""

    reason: Reason | None
    rule: OperationRule | None = None
    consumer: Consumer | None = None
    token: Token | None = None
    detail: str = ""
    backend_token: str = ""


class BackendTokens(Protocol):
    """The gateway's own tokens for its backends, by audience; None while there is none."""

    def get(self, audience: str, now: float) -> str | None:
        """A token that is valid now."""
        ...


class Known(NamedTuple):
    """What this process knows at the moment; `decide` only looks things up in it."""

    keys: Keys
    tokens: Tokens
    backend_tokens: BackendTokens


Outcome = Verdict | NeedKeys | NeedConsumer


def decide(book: Rulebook, call: Call, known: Known, now: float) -> Outcome:
    """Whether a call may pass, and with whose name and which token for the backend."""
    rule = book.operations.get(call.operation)
    if rule is None:
        return Verdict(Reason.UNKNOWN_OPERATION)
    outcome = _credentials(rule, call, known, now) if rule.alternatives else Verdict(None, rule)
    if rule.backend_audience and isinstance(outcome, Verdict) and outcome.reason is None:
        return _with_backend_token(outcome, known.backend_tokens.get(rule.backend_audience, now))
    return outcome


def _with_backend_token(verdict: Verdict, token: str | None) -> Verdict:
    if token is None:
        return verdict._replace(reason=Reason.BACKEND_TOKEN_MISSING)
    return verdict._replace(backend_token=token)


def _credentials(rule: OperationRule, call: Call, known: Known, now: float) -> Outcome:
    """The first alternative that the call satisfies; else the failure of the one it got farthest on."""
    deepest: Verdict | None = None
    for way in rule.alternatives:
        outcome = _try(way, rule, call, known, now)
        if not isinstance(outcome, Verdict) or outcome.reason is None:
            return outcome
        if deepest is None or _depth(outcome) > _depth(deepest):
            deepest = outcome
    if rule.optional and not any(_presented(way, call) for way in rule.alternatives):
        return Verdict(None, rule)
    return deepest or Verdict(Reason.INTERNAL, rule)


def _try(way: AlternativeRule, rule: OperationRule, call: Call, known: Known, now: float) -> Outcome:
    token = None
    if way.jwt is not None:
        judged = _token(way.jwt, rule, call, known.tokens, now)
        if isinstance(judged, (Verdict, NeedKeys)):
            return judged
        token = judged
    if way.key_places:
        return _key(way.key_places, rule, call, known.keys, now, token)
    # An alternative that asks for nothing is never compiled; if one were, it would not be a way in.
    return Verdict(None, rule, None, token) if token is not None else Verdict(Reason.INTERNAL, rule)


def _token(jwt: JwtRule, rule: OperationRule, call: Call, tokens: Tokens, now: float) -> Token | Verdict | NeedKeys:
    text = call.find(jwt.provider.places)
    if text is None:
        return Verdict(Reason.TOKEN_MISSING, rule, detail=spoken(jwt.provider.places))
    if text is TWICE:
        return Verdict(Reason.TOKEN_TWICE, rule)
    token = tokens.verify(text, jwt.provider, now)
    if isinstance(token, NeedKeys):
        return token
    if isinstance(token, Reason):
        return Verdict(token, rule)
    if jwt.audiences is not None and jwt.audiences.isdisjoint(token.audiences):
        return Verdict(Reason.TOKEN_AUDIENCE, rule)
    if jwt.client_ids is not None and jwt.client_ids.isdisjoint(token.clients):
        return Verdict(Reason.TOKEN_CLIENT, rule)
    if not jwt.scopes <= token.scopes:
        return Verdict(Reason.TOKEN_SCOPE, rule, detail=" ".join(sorted(jwt.scopes)))
    return token


def _key(
    places: tuple[Place, ...], rule: OperationRule, call: Call, keys: Keys, now: float, token: Token | None
) -> Verdict | NeedConsumer:
    text = call.find(places)
    if not text:
        return Verdict(Reason.KEY_MISSING, rule, None, token, spoken(places))
    if text is TWICE:
        return Verdict(Reason.KEY_TWICE, rule, None, token)
    digest = key_digest(text)
    key = keys.get(digest)
    if key is None:
        return NeedConsumer(digest)
    consumer = key.consumer
    if consumer is None or not key.is_live(now):
        return Verdict(Reason.KEY_INVALID, rule, None, token)
    if consumer.status is not ConsumerStatus.ACTIVE:
        return Verdict(_INACTIVE[consumer.status], rule, consumer, token)
    if not key.opens(rule.service):
        return Verdict(Reason.KEY_SERVICE, rule, consumer, token, rule.service)
    return Verdict(key.blocks(call, rule), rule, consumer, token)


_INACTIVE: Final = {
    ConsumerStatus.SUSPENDED: Reason.CONSUMER_SUSPENDED,
    ConsumerStatus.DELETED: Reason.CONSUMER_DELETED,
}


def _depth(denial: Verdict) -> tuple[bool, int]:
    """How far a caller got: a token that passed counts most, an absent credential nothing."""
    reason = denial.reason
    return denial.token is not None, 0 if reason is None or reason in _ABSENT else reason.depth


_ABSENT: Final = frozenset({Reason.TOKEN_MISSING, Reason.KEY_MISSING})


def _presented(way: AlternativeRule, call: Call) -> bool:
    if way.jwt is not None and call.find(way.jwt.provider.places) is not None:
        return True
    return bool(way.key_places) and call.find(way.key_places) is not None


_SPOKEN: Final = {PlaceKind.HEADER: "header", PlaceKind.QUERY: "query parameter", PlaceKind.COOKIE: "cookie"}


def spoken(places: tuple[Place, ...]) -> str:
    """Places in words: `header x-api-key or query parameter key`."""
    return " or ".join(
        f"{_SPOKEN[p.kind]} {p.name}" + (f" ({p.prefix.strip()} ...)" if p.prefix else "") for p in places
    )
