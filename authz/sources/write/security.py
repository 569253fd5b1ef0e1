"""Requirements as OpenAPI's security: a scheme for each place of a key and for each issuer of tokens."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from authz.model.auth import (
    DEFAULT_KEY_PLACES,
    DEFAULT_TOKEN_PLACES,
    Alternative,
    JwtProvider,
    Place,
    PlaceKind,
    Requirement,
)
from authz.model.service import Operation, ServiceConfig
from authz.sources.write.dialect import Dialect, Json

_KEY = "api_key"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
# OpenAPI names one place; any of the default ones means all of them. This one does not end up in logs.
_DEFAULT = Place(PlaceKind.HEADER, "x-api-key")


@dataclass(frozen=True, slots=True)
class Secured:
    """What an operation says of its security. `extensions` are the fields that stand beside it."""

    security: list[Json]
    extensions: Json = field(default_factory=dict)


class Security:
    """The schemes of a service, and its requirements in their words."""

    def __init__(self, operations: Sequence[Operation], config: ServiceConfig, dialect: Dialect) -> None:
        self.config = config
        self.dialect = dialect
        requirements = list(dict.fromkeys(one.requirement for one in operations))
        self.keys = _key_names(requirements, {provider.id for provider in config.providers})
        self.clients = _client_ids(requirements)
        self.scopes = _scopes(requirements)
        self.remarks = list(_remarks(requirements, config.providers))
        self.read: dict[Requirement, Secured] = {}

    def schemes(self) -> Json:
        """The security schemes of the document."""
        keys = {name: _key_scheme(place) for place, name in self.keys.items()}
        return keys | {provider.id: self._scheme(provider) for provider in self.config.providers}

    def secured(self, requirement: Requirement) -> Secured:
        """A requirement as alternatives of schemes. None at all is an empty list, an optional one ends in `{}`."""
        if requirement not in self.read:
            entries: list[Json] = []
            for way in requirement.alternatives:
                entries += (entry for entry in self._entries(way) if entry not in entries)
            if requirement.optional:
                entries.append({})
            self.read[requirement] = Secured(entries, self._extensions(requirement))
        return self.read[requirement]

    def _entries(self, way: Alternative) -> Iterable[Json]:
        token: Json = {way.jwt.provider: list(way.jwt.scopes)} if way.jwt else {}
        if not way.needs_key:
            return [token]
        return [{self.keys[place]: [], **token} for place in _places(way)]

    def _extensions(self, requirement: Requirement) -> Json:
        tokens = [way.jwt for way in requirement.alternatives if way.jwt]
        audiences: dict[str, list[str]] = {}
        for token in tokens:
            named = audiences.setdefault(token.provider, [])
            named += (audience for audience in token.audiences if audience not in named)
        own = [
            {name: {"audiences": self._with_default(name, requirement, named)}}
            for name, named in audiences.items()
            if named
        ]
        extensions: Json = {"x-security": own} if own else {}
        differing = [token for token in tokens if token.client_ids != self.clients.get(token.provider)]
        if differing and differing[0].client_ids is not None:
            extensions["x-authz-client-ids"] = list(differing[0].client_ids)
        return extensions

    def _with_default(self, name: str, requirement: Requirement, named: list[str]) -> list[str]:
        """Audiences of one provider, its own included where one of the alternatives leaves them to it."""
        tokens = [way.jwt for way in requirement.alternatives if way.jwt and way.jwt.provider == name]
        if all(token.audiences for token in tokens):
            return named
        own = self.config.provider(name).audiences or (f"https://{self.config.name}",)
        return list(dict.fromkeys((*own, *named)))

    def _scheme(self, provider: JwtProvider) -> Json:
        clients = self.clients.get(provider.id)
        issuer = _issuer2(provider) if self.dialect.is_version2 else {"x-google-auth": _issuer3(provider)}
        return {
            **self._type(provider),
            **({"description": _described(provider)} if provider.places != DEFAULT_TOKEN_PLACES else {}),
            **issuer,
            **({"x-authz-client-ids": list(clients)} if clients is not None else {}),
        }

    def _type(self, provider: JwtProvider) -> Json:
        url, scopes = provider.authorization_url, dict.fromkeys(self.scopes.get(provider.id, ()), "")
        if self.dialect.is_version2:
            return {"type": "oauth2", "flow": "implicit", "authorizationUrl": url, "scopes": scopes}
        if url or scopes:
            return {"type": "oauth2", "flows": {"implicit": {"authorizationUrl": url, "scopes": scopes}}}
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def _places(way: Alternative) -> tuple[Place, ...]:
    """The places that are written: one of the default ones stands for all of them."""
    return tuple(dict.fromkeys(_DEFAULT if place in DEFAULT_KEY_PLACES else place for place in way.key_places))


def _key_names(requirements: Iterable[Requirement], taken: Collection[str]) -> dict[Place, str]:
    """A name for each place of keys: `api_key`, and with the place's own name where there are several."""
    ways = (way for requirement in requirements for way in requirement.alternatives if way.needs_key)
    places = list(dict.fromkeys(place for way in ways for place in _places(way)))
    names: dict[Place, str] = {}
    for place in places:
        is_plain = place == _DEFAULT or len(places) == 1
        stem = name = _KEY if is_plain else f"{_KEY}_{_NOT_IN_NAMES.sub('_', place.name).strip('_')}"
        number = 1
        while name in names.values() or name in taken:
            number += 1
            name = f"{stem}{number}"
        names[place] = name
    return names


def _client_ids(requirements: Iterable[Requirement]) -> dict[str, tuple[str, ...] | None]:
    """The client ids that a scheme can say once for all: those that every operation has that asks for its tokens.

    An operation that speaks of its own speaks of all its schemes alike; where they differ, the schemes said it.
    """
    used: dict[str, set[tuple[str, ...] | None]] = {}
    certain: dict[str, tuple[str, ...] | None] = {}
    for requirement in requirements:
        tokens = [way.jwt for way in requirement.alternatives if way.jwt]
        for token in tokens:
            used.setdefault(token.provider, set()).add(token.client_ids)
            if len({one.client_ids for one in tokens}) > 1:
                certain[token.provider] = token.client_ids
    return {name: next(iter(sets)) for name, sets in used.items() if len(sets) == 1} | certain


def _scopes(requirements: Iterable[Requirement]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for requirement in requirements:
        for way in requirement.alternatives:
            if way.jwt and way.jwt.scopes:
                found.setdefault(way.jwt.provider, {}).update(dict.fromkeys(way.jwt.scopes))
    return {name: list(scopes) for name, scopes in found.items()}


def _remarks(requirements: Iterable[Requirement], providers: Iterable[JwtProvider]) -> Iterable[str]:
    ways = [way for requirement in requirements for way in requirement.alternatives if way.needs_key]
    for places in dict.fromkeys(way.key_places for way in ways):
        default = [place for place in places if place in DEFAULT_KEY_PLACES]
        if default and len(default) < len(DEFAULT_KEY_PLACES):
            named = " and ".join(f"{place.kind.value} '{place.name}'" for place in default)
            yield (
                f"API keys in {named} cannot be had without those in the other usual places: beside the document, "
                "query 'key', query 'api_key' and header 'x-api-key' all count"
            )
    for provider in providers:
        if _NOT_IN_NAMES.search(provider.id):
            yield f"the provider id '{provider.id}' is a security scheme's name that other tools may refuse"


def _key_scheme(place: Place) -> Json:
    return {"type": "apiKey", "in": place.kind.value, "name": place.name}


def _issuer2(provider: JwtProvider) -> Json:
    locations = [_location(place, "value_prefix") for place in provider.places]
    return _given({
        "x-google-issuer": provider.issuer,
        "x-google-jwks_uri": provider.jwks_uri,
        "x-google-audiences": ",".join(provider.audiences),
        "x-google-jwt-locations": locations if provider.places != DEFAULT_TOKEN_PLACES else [],
    })  # fmt: skip


def _issuer3(provider: JwtProvider) -> Json:
    locations = [_location(place, "valuePrefix") for place in provider.places]
    return _given({
        "issuer": provider.issuer,
        "jwksUri": provider.jwks_uri,
        "audiences": list(provider.audiences),
        "jwtLocations": locations if provider.places != DEFAULT_TOKEN_PLACES else [],
    })  # fmt: skip


def _location(place: Place, prefix: str) -> Json:
    return _given({place.kind.value: place.name, prefix: place.prefix})


def _described(provider: JwtProvider) -> str:
    named = [f"{place.kind.value} {place.name}" for place in provider.places]
    return f"The token stands in {' or '.join(named)}."


def _given(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value}
