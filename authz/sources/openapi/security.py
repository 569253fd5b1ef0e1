"""Security schemes and requirements: a list is alternatives, one object is all-of.

What cannot be checked (basic, mutualTLS, oauth2 without an issuer) may stand beside a scheme that can; an
alternative that consists of nothing else would silently open the operation, so it is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from authz.model.auth import (
    DEFAULT_KEY_PLACES,
    OPEN,
    Alternative,
    JwtProvider,
    JwtRequirement,
    Place,
    PlaceKind,
    Requirement,
)
from authz.sources.extensions import (
    SCHEME,
    check_names,
    client_ids,
    comma_list,
    jwt_locations,
    warn_placeholder,
)
from authz.sources.node import Node
from authz.sources.openapi.reading import Reading
from authz.sources.syntax.tree import Map, kind

_PLACES = {place.value: place for place in PlaceKind}
_DISCOVERY = "/.well-known/openid-configuration"
_TOKEN_TYPES = frozenset({"oauth2", "openidconnect", "http"})

Names = Mapping[str, tuple[str, ...]]
"""One security requirement object: scheme names with their scopes."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """A declared scheme: a key's place, or a token's provider, or why neither can be checked."""

    place: Place | None = None
    provider: JwtProvider | None = None
    client_ids: tuple[str, ...] | None = None
    unusable: str = ""
    means_scopes: bool = False


def schemes(node: Node | None) -> dict[str, Scheme]:
    """The security schemes of a document by name."""
    found: dict[str, Scheme] = {}
    for name, member in node.members() if node else ():
        resolved = member.resolved()
        if resolved is not None:
            check_names(resolved, SCHEME)
            found[name] = _scheme(name, resolved, node.line(name) if node else 0)
    return found


def _scheme(name: str, node: Node, line: int) -> Scheme:
    type_ = node.text("type")
    if not type_:
        node.report("scheme-invalid", f"the scheme '{name}' has no 'type'", "Write 'type: apiKey' or 'type: oauth2'.")
    elif type_.lower() == "apikey":
        return _key(name, node)
    elif type_.lower() in _TOKEN_TYPES and (provider := _provider(name, node, line)):
        means_scopes = node.flag("x-authz-scopes") or False
        return Scheme(provider=provider, client_ids=client_ids(node), means_scopes=means_scopes)
    what = f"type '{type_}' and no issuer" if type_.lower() in _TOKEN_TYPES else f"type '{type_}'"
    return Scheme(unusable=what)


def _key(name: str, node: Node) -> Scheme:
    where, parameter = node.choice(tuple(_PLACES), "in"), node.text("name")
    if not where or not parameter:
        message = f"the API key scheme '{name}' needs 'in' and 'name'"
        node.report(
            "scheme-invalid", message, "Write 'in: query' and 'name: key', or 'in: header' and 'name: x-api-key'."
        )
        return Scheme(unusable="no place")
    place = _PLACES[where]
    return Scheme(place=Place(place, parameter.lower() if place is PlaceKind.HEADER else parameter))


def _provider(name: str, node: Node, line: int) -> JwtProvider | None:
    """What x-google-auth, x-google-issuer and their kin say; or plain OpenID Connect discovery."""
    auth = node.child("x-google-auth")
    if auth is not None:
        auth.known("issuer", "jwksUri", "jwks_uri", "audiences", "jwtLocations", "jwt_locations")
        issuer, jwks_uri = certain(auth, "issuer"), key_set_url(auth, "jwksUri", "jwks_uri")
        audiences, places = auth.texts("audiences"), jwt_locations(auth, "jwtLocations", "jwt_locations")
    else:
        issuer, jwks_uri = (
            certain(node, "x-google-issuer", "x-issuer"),
            key_set_url(node, "x-google-jwks_uri", "x-jwks_uri"),
        )
        audiences, places = comma_list(_audiences(node)), jwt_locations(node, "x-google-jwt-locations")
    issuer = issuer or node.text("openIdConnectUrl").partition(_DISCOVERY)[0]
    for audience in audiences:
        warn_placeholder(auth or node, "audiences" if auth else "x-google-audiences", audience)
    if not issuer:
        return None
    return JwtProvider(
        id=name,
        issuer=issuer,
        jwks_uri=jwks_uri,
        audiences=audiences,
        places=places,
        authorization_url=_authorization_url(node),
        file=node.document.file,
        line=line,
    )


def _authorization_url(node: Node) -> str:
    """Where people sign in: OpenAPI 2.0 says it at the scheme, 3.x at one of its flows."""
    flows = node.value.get("flows")
    places = [node.value, *(flows.values() if isinstance(flows, Map) else ())]
    urls = (place.get("authorizationUrl") for place in places if isinstance(place, Map))
    return next((url for url in urls if isinstance(url, str)), "")


def _audiences(node: Node) -> str:
    value = node.value.get("x-google-audiences")
    if isinstance(value, list):
        message = f"'x-google-audiences' must be one string, but is {kind(value)}"
        node.report("wrong-type", message, 'Write "first,second" instead of a list.', "x-google-audiences")
        return ""
    return node.text("x-google-audiences")


def certain(node: Node, *names: str) -> str:
    """A text without placeholders: with one, no token would pass."""
    text = node.text(*names)
    warn_placeholder(node, node.pick(names), text)
    return text


def key_set_url(node: Node, *names: str) -> str:
    """The URL of a key set; '' if there is none."""
    text = certain(node, *names)
    try:
        parts = urlsplit(text)
        valid = parts.scheme in {"http", "https"} and bool(parts.netloc)
    except ValueError:
        valid = False
    if text and not valid:
        key = node.pick(names)
        node.report("scheme-invalid", f"'{key}' is '{text}'", "Write the http or https URL of a key set.", key)
    return text


class Guard:
    """Resolves what operations ask of their callers."""

    def __init__(self, root: Node, declared: Node | None, reading: Reading) -> None:
        self.root = root
        self.schemes = schemes(declared)
        reading.providers = {name: one.provider for name, one in self.schemes.items() if one.provider}
        self.optional = root.flag("x-authz-optional") or False
        self.cache: dict[object, Requirement] = {}
        self.warned: set[str] = set()
        self.inherited: list[Names] | None = None

    def check_root(self) -> None:
        """Resolve the document's own security, so that its mistakes show even where every operation overrides it."""
        self.requirement(self.root)

    def requirement(self, node: Node) -> Requirement:
        """What callers of an operation must present."""
        holder = node if "security" in node else self.root
        names = self.names(holder)
        legacy = _legacy(node) if "x-security" in node else {}
        if not legacy and holder is self.root and "x-security" in self.root:
            legacy = _legacy(self.root)
        flag = node.flag("x-authz-optional")
        optional = self.optional if flag is None else flag
        allowed = client_ids(node) if node is not self.root else None
        key = (tuple(tuple(one.items()) for one in names), tuple(legacy.items()), optional, allowed)
        if key not in self.cache:
            place = (holder, "security" if "security" in holder else "x-security")
            requirement = _Resolver(self, place, legacy, allowed).resolve(names, optional)
            if self.root.document.findings.has_errors:
                return requirement
            self.cache[key] = requirement
        return self.cache[key]

    def names(self, holder: Node) -> list[Names]:
        """The alternatives of a `security` field; the document's own are read once."""
        if holder is self.root and self.inherited is not None:
            return self.inherited
        if "security" in holder and holder.value["security"] is None:
            holder.wrong("security", "a list")
        found: list[Names] = [
            {name: entry.texts(name) for name in entry.value} for entry in holder.children("security")
        ]
        if holder is self.root:
            self.inherited = found
        return found

    def warn_once(self, subject: str, place: tuple[Node, str], code: str, message: str, hint: str) -> None:
        """Warn of something that would otherwise be said for every operation."""
        if subject not in self.warned:
            self.warned.add(subject)
            place[0].report(code, message, hint, place[1])


def _merged(ways: Iterable[Alternative]) -> list[Alternative]:
    """Ways in that differ in the place of the key only are one: the key stands in any of the places."""
    merged: list[Alternative] = []
    for way in ways:
        last = merged[-1] if merged else None
        if last and last.needs_key and way.needs_key and last.jwt == way.jwt:
            merged[-1] = replace(last, key_places=tuple(dict.fromkeys((*last.key_places, *way.key_places))))
        else:
            merged.append(way)
    return merged


def _legacy(node: Node) -> dict[str, tuple[str, ...]]:
    """x-security: audiences by scheme."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in node.children("x-security"):
        for name, scheme in entry.members():
            found[name] = scheme.texts("audiences")
    return found


class _Resolver:
    """One security field made into a Requirement."""

    def __init__(self, guard: Guard, place: tuple[Node, str], legacy: Names, allowed: tuple[str, ...] | None) -> None:
        self.guard = guard
        self.place = place
        self.legacy = legacy
        self.allowed = allowed

    def report(self, code: str, message: str, hint: str) -> None:
        self.place[0].report(code, message, hint, self.place[1])

    def resolve(self, names: list[Names], optional: bool) -> Requirement:
        wanted = [one for one in self.with_legacy(names) if one]
        optional = optional or len(wanted) < len(names)
        alternatives = tuple(_merged(self.alternative(one) for one in wanted))
        if self.allowed is not None and not any(alternative.jwt for alternative in alternatives):
            hint = "Add a JWT scheme to 'security', or remove it."
            self.report("client-ids-unused", "'x-authz-client-ids' without a JWT scheme has no effect", hint)
        with_key = sum(alternative.needs_key for alternative in alternatives)
        if 0 < with_key < len(alternatives):
            message = "either an API key or a token is enough here; Cloud Endpoints checked the token only"
            hint = "To ask for both, put both schemes into one object: [{api_key: [], jwt: []}]."
            self.guard.warn_once(f"or {names}", self.place, "security-key-or-jwt", message, hint)
        return Requirement(alternatives, optional) if alternatives else OPEN

    def with_legacy(self, names: list[Names]) -> list[Names]:
        """x-security adds its schemes as further tokens; keys that every alternative needs are still needed."""
        extra = [name for name in self.legacy if not any(name in one for one in names)]
        if not extra:
            return names
        if not any(names):
            return [{name: ()} for name in extra]
        if not any(self.is_token(name) for one in names for name in one):
            return [{**one, name: ()} for one in names for name in extra]
        keys: Names = {name: () for name in names[0] if not self.is_token(name)}
        shared = keys if all(any(not self.is_token(name) for name in one) for one in names) else {}
        return [*names, *({**shared, name: ()} for name in extra)]

    def is_token(self, name: str) -> bool:
        scheme = self.guard.schemes.get(name)
        return scheme is not None and scheme.provider is not None

    def alternative(self, names: Names) -> Alternative:
        used = {name: scheme for name in names if (scheme := self.lookup(name))}
        places = tuple(scheme.place for scheme in used.values() if scheme.place)
        tokens = [name for name, scheme in used.items() if scheme.provider]
        self.check(names, used, len(places), tokens)
        if places and all(place in DEFAULT_KEY_PLACES for place in places):
            places = DEFAULT_KEY_PLACES
        return Alternative(bool(places), places, self.token(tokens[0], names[tokens[0]]) if tokens else None)

    def check(self, names: Names, used: Mapping[str, Scheme], keys: int, tokens: list[str]) -> None:
        if len(tokens) > 1:
            message = f"two JWT schemes are logically ANDed: {' and '.join(tokens)}"
            self.report("security-two-jwts", message, "Put each into an object of its own: one of them is then enough.")
        if keys > 1:
            hint = "Keep one of them, or put each into an object of its own."
            self.report("security-two-keys", "two API key schemes in one object: a key in either place is enough", hint)
        if len(used) == len(names) and not keys and not tokens:
            message = f"nothing here can be checked ({', '.join(names)}): the operation would be open to everyone"
            self.report("security-unchecked", message, "Use an API key or a JWT scheme, or write 'security: []'.")
        for name, scheme in used.items():
            self.check_scopes(name, scheme, names[name])

    def check_scopes(self, name: str, scheme: Scheme, scopes: tuple[str, ...]) -> None:
        if scopes and scheme.place:
            message = f"the scopes of the API key scheme '{name}' have no effect"
            self.guard.warn_once(f"key {name}", self.place, "scopes-ignored", message, "Write an empty list.")
        elif scopes and scheme.provider and not scheme.means_scopes:
            message = (
                f"tokens of '{name}' need the scopes {', '.join(scopes)} from now on; Cloud Endpoints ignored them"
            )
            hint = "Write an empty list if a valid token is enough."
            self.guard.warn_once(f"scopes {name}", self.place, "security-scopes", message, hint)
        elif scheme.unusable:
            message = f"the scheme '{name}' has {scheme.unusable}: it is not checked"
            hint = "Use type apiKey, or a JWT scheme with x-google-issuer or x-google-auth."
            self.guard.warn_once(f"other {name}", self.place, "scheme-unsupported", message, hint)

    def lookup(self, name: str) -> Scheme | None:
        scheme = self.guard.schemes.get(name)
        if scheme is None:
            declared = ", ".join(self.guard.schemes) or "none"
            message = f"the security scheme '{name}' is not defined"
            self.report("scheme-undefined", message, f"Define it, or use one of: {declared}.")
        return scheme

    def token(self, name: str, scopes: tuple[str, ...]) -> JwtRequirement:
        scheme = self.guard.schemes[name]
        requirement = JwtRequirement(name, self.legacy.get(name, ()), scopes, scheme.client_ids)
        return requirement if self.allowed is None else replace(requirement, client_ids=self.allowed)
