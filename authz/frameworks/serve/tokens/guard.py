"""The check of one method: which token counts, whether its issuer signed it, and whether it may in.

The only home of PyJWT here, which does signatures and nothing else. Where keys must be fetched to tell, that is said
and not done: the caller knows in which thread.
"""

from __future__ import annotations

import functools
import json
import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from authz.frameworks.exceptions import ForbiddenException, InvalidGetUserCall, UnauthorizedException
from authz.frameworks.serve.request import Request, pairs
from authz.frameworks.serve.tokens import rules
from authz.frameworks.serve.tokens.keys import Key, KeySets
from authz.frameworks.service import Api, Security
from authz.frameworks.types import EMAIL_SCOPE, Issuer
from authz.frameworks.users import Call, User, current

SKEW_SECONDS: Final = 60
LIFETIME_SECONDS: Final = 86400
"""Tokens that live longer are refused."""
_MOST_CHARS: Final = 8192
_FAR: Final = 253402300800
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_QUERY: Final = ("bearer_token", "access_token")


@dataclass(frozen=True, slots=True)
class NeedKeys:
    """Keys must be fetched before anything can be said: call `fetch` in a thread that may wait, and ask again."""

    fetch: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Provider:
    """An issuer that a method takes tokens of."""

    issuer: Issuer
    audiences: tuple[str, ...]
    google: bool = False

    @property
    def names(self) -> frozenset[str]:
        """What `iss` may say."""
        return rules.issuers(self.issuer, google=self.google)


class Guards:
    """What the guards of one server share: the keys, and the time."""

    def __init__(self, sets: KeySets | None = None, clock: Callable[[], float] = time.time) -> None:
        self._sets = sets or KeySets()
        self._clock = clock

    def guard(self, api: Api, security: Security) -> Guard | None:
        """The check of a method; None if it is open, as the document says it is."""
        providers = _providers(api, security)
        return Guard(self, providers, security) if providers else None

    def claims(self, token: str, providers: Sequence[Provider]) -> Mapping[str, Any] | NeedKeys | None:
        """What a token says, if one of these issuers signed it and it is in time; None if not."""
        header, said = _unverified(token)
        provider = next((one for one in providers if said.get("iss") in one.names), None)
        algorithm, kid = header.get("alg"), header.get("kid")
        if provider is None or algorithm not in {"RS256", "ES256"} or "crit" in header:
            return None
        keys = self._sets.keys(provider.issuer, kid if isinstance(kid, str) else None)
        if keys is None:
            return NeedKeys(functools.partial(self._sets.fetch, provider.issuer))
        signed = any(_is_signed(token, key) for key in keys if key.algorithm == algorithm)
        return said if signed and _is_timely(said, self._clock()) else None


@dataclass(frozen=True, slots=True)
class Guard:
    """The check of one method. A call without a token passes only where the API says that it may."""

    guards: Guards
    providers: tuple[Provider, ...]
    security: Security

    def user(self, request: Request) -> User | NeedKeys | None:
        """Who calls.

        Raises:
            UnauthorizedException: the token is missing where one must be, or no good.
            ForbiddenException: it is good, and not for this method.
        """
        token = find_token(request)
        if token is None and self.security.optional:
            return None
        if not token:
            raise UnauthorizedException("This method needs a token: send Authorization: Bearer and the token.")
        claims = self.guards.claims(token, self.providers)
        if isinstance(claims, NeedKeys):
            return claims
        if claims is None:
            raise UnauthorizedException("The token is not one that this method's issuers signed, or has expired.")
        if not self._lets_in(claims):
            raise ForbiddenException("The token was not made for this method: another audience, client or scope.")
        return User.of(claims)

    def _lets_in(self, claims: Mapping[str, Any]) -> bool:
        # What the gateway asks of the same declaration comes first, so that code meets no other tokens without one:
        # there "*" is any client, no scopes are none that are needed, and clients are those of any issuer.
        listed, scopes = self.security.client_ids, self.security.scopes
        clients: Collection[str] | None = None if listed is None or "*" in listed else listed
        if clients is not None and not rules.clients(claims) & frozenset(clients):
            return False
        if scopes and scopes != (EMAIL_SCOPE,) and not rules.has_scopes(rules.granted(claims), scopes):
            return False
        return any(
            rules.accepts(
                claims,
                allowed_issuers=one.names,
                audiences=one.audiences,
                allowed_client_ids=clients,
                google=one.google,
            )
            for one in self.providers
        )


def _providers(api: Api, security: Security) -> tuple[Provider, ...]:
    said = security.audiences
    if not said:
        return ()
    named = said if isinstance(said, Mapping) else {rules.GOOGLE_NAME: tuple(said)}
    own = {rules.GOOGLE_NAME: rules.GOOGLE, **api.issuers}
    return tuple(
        Provider(own[name], tuple(audiences), google=name == rules.GOOGLE_NAME and name not in api.issuers)
        for name, audiences in named.items()
        if name in own
    )


def find_token(call: Request) -> str | None:
    """The token that counts: of the Authorization header, or without one of the query. Two of them are a bad one."""
    if (authorization := call.headers.get("authorization")) is not None:
        return rules.bearer(authorization)
    found = pairs(call.query) if call.query else []
    said = next((said for wanted in _QUERY if (said := [value for name, value in found if name == wanted])), None)
    return None if said is None else said[0] if len(said) == 1 else ""


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of what may be a token; nothing of it is true yet."""
    if len(token) > _MOST_CHARS or not _COMPACT.fullmatch(token):
        return {}, {}
    try:
        header, said = (json.loads(urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    except (ValueError, RecursionError):
        return {}, {}
    are_objects = isinstance(header, dict) and isinstance(said, dict)
    if not are_objects or not isinstance(header.get("alg"), str) or not isinstance(said.get("iss"), str):
        return {}, {}  # neither can be one that is known
    return header, said


def _is_signed(token: str, key: Key) -> bool:
    import jwt

    try:
        jwt.PyJWS(algorithms=[key.algorithm]).decode(token, key.key, algorithms=[key.algorithm])
    except jwt.PyJWTError:
        return False
    return True


def _is_timely(claims: Mapping[str, Any], now: float) -> bool:
    # bool is an int to Python and not to JSON.
    issued: Any = claims.get("iat")
    expires: Any = claims.get("exp")
    start: Any = claims.get("nbf", issued)
    if any(type(said) is not int or not 0 <= said < _FAR for said in (issued, expires, start)):
        return False
    begun = max(issued, start) <= now + SKEW_SECONDS
    return bool(begun and now - SKEW_SECONDS < expires <= now + LIFETIME_SECONDS + SKEW_SECONDS)


@functools.cache
def _shared() -> Guards:
    return Guards()


def get_verified_jwt(
    providers: Sequence[Mapping[str, str]],
    audiences: Collection[str],
    *,
    check_authorization_header: bool = True,
    check_query_arg: bool = True,
    request: object = None,
    cache: object = None,
) -> Mapping[str, Any] | None:
    """What the current call's token says, if one of the providers (`issuer`, `cert_uri`) signed it for the audiences.

    It may wait for the issuer's keys. `request` says only that there is one; what came is known here. A `cache` that
    is no `Guards` is not used: keys are kept in this process.

    Raises:
        ValueError: there is nowhere to look for a token.
        InvalidGetUserCall: no request is being handled here.
    """
    if not (check_authorization_header or check_query_arg):
        raise ValueError("get_verified_jwt is to look for a token neither in the header nor in the query")
    if check_query_arg and request is None:
        raise ValueError("get_verified_jwt needs the request to look into its query; or say check_query_arg=False")
    call = current.get(None)
    if call is None:
        raise InvalidGetUserCall("get_verified_jwt was called outside of a request")
    token = _token_of(call, header=check_authorization_header, query=check_query_arg)
    known = [Provider(Issuer(one["issuer"], one.get("cert_uri")), tuple(audiences)) for one in providers]
    claims = _waited(cache if isinstance(cache, Guards) else _shared(), token, known) if token else None
    return claims if claims and rules.texts(claims.get("aud")) & set(audiences) else None


def _token_of(call: Call, *, header: bool, query: bool) -> str | None:
    said = call.headers.get("authorization") if header else None
    if said is not None:
        return rules.bearer(said, ("Bearer",))
    found = pairs(call.query) if query and isinstance(call, Request) else []
    return next((value for name, value in found if name == "access_token"), None)


def _waited(guards: Guards, token: str, providers: Sequence[Provider]) -> Mapping[str, Any] | None:
    claims = guards.claims(token, providers)
    if isinstance(claims, NeedKeys):
        claims.fetch()
        claims = guards.claims(token, providers)
    return None if isinstance(claims, NeedKeys) else claims
