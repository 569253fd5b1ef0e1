"""Requests as `curl` lines that a newcomer can paste: one for each kind of credential that an API asks for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from authz.cli.runners import Example
from authz.model.auth import DEFAULT_KEY_PLACES, DEFAULT_TOKEN_PLACES, Alternative, Place, PlaceKind
from authz.model.paths import DOUBLE_STAR, STAR
from authz.model.service import Operation, ServiceConfig
from authz.settings import Settings

KEY_PLACEHOLDER = "YOUR_API_KEY"
TOKEN_PLACEHOLDER = "YOUR_TOKEN"  # noqa: S105 - what a person replaces
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
_READING_FIRST = ("GET", "*", "HEAD", "DELETE", "POST", "PUT", "PATCH")


def examples(
    configs: Sequence[ServiceConfig], url: str, settings: Settings, *, key: str = "", token: str = ""
) -> tuple[Example, ...]:
    """One line per service and kind of credential. Without a real `key` or `token` a placeholder stands in."""
    found: list[Example] = []
    for config in configs:
        host = "" if _answers_for_all(config.name, configs, settings) else config.name
        for title, operation, alternative in _kinds(config):
            credentials = _credentials(config, alternative, key or KEY_PLACEHOLDER, token or TOKEN_PLACEHOLDER)
            heading = f"{config.name}: {title}" if len(configs) > 1 else title
            found.append(Example(heading, line(operation, url, settings, host=host, credentials=credentials)))
    return tuple(found)


def line(
    operation: Operation,
    url: str,
    settings: Settings,
    *,
    host: str = "",
    credentials: Sequence[tuple[Place, str]] = (),
) -> str:
    """One operation as a `curl` line. `host` is sent as Host when the gateway could not tell the service."""
    words = ["curl", "-i"]
    if settings.tls_self_signed:
        words.append("-k")
    if settings.tls_client_ca:
        words += ["--cert", "client.pem", "--key", "client-key.pem"]
    if operation.method not in {"GET", "*"}:
        words += ["-I"] if operation.method == "HEAD" else ["-X", operation.method]
    if host:
        words += ["-H", f"Host: {host}"]
    query: list[tuple[str, str]] = []
    for place, secret in credentials:
        if place.kind is PlaceKind.HEADER:
            words += ["-H", f"{place.name}: {place.prefix}{secret}"]
        elif place.kind is PlaceKind.COOKIE:
            words += ["--cookie", f"{place.name}={secret}"]
        else:
            query.append((place.name, secret))
    if operation.method in _BODY_METHODS:
        words += ["-H", "content-type: application/json", "-d", "{}"]
    target = url.rstrip("/") + sample_path(operation) + ("?" + urlencode(query) if query else "")
    return shlex.join([*words, target])


def sample_path(operation: Operation) -> str:
    """A path that the operation's template matches."""
    template = operation.template
    filled = [{STAR: "1", DOUBLE_STAR: "path"}.get(segment, segment) for segment in template.segments]
    return "/" + "/".join(filled) + (f":{template.verb}" if template.verb else "")


def guard(config: ServiceConfig, operation: Operation) -> str:
    """What guards an operation, in words: `API key or JWT of https://issuer (optional)`."""
    requirement = operation.requirement
    if requirement.is_open:
        return "open"
    # Alternatives that differ in scopes or places only are one in words.
    text = " or ".join(dict.fromkeys(_kind(config, alternative) for alternative in requirement.alternatives))
    return f"{text} (optional)" if requirement.optional else text


def _kind(config: ServiceConfig, alternative: Alternative) -> str:
    names = ["API key"] if alternative.needs_key else []
    if alternative.jwt is not None:
        names.append(f"JWT of {config.provider(alternative.jwt.provider).issuer}")
    return " + ".join(names) or "open"


def _kinds(config: ServiceConfig) -> Iterator[tuple[str, Operation, Alternative]]:
    """The first and simplest operation of every kind of guard."""
    seen: set[str] = set()
    for operation in sorted(config.operations, key=_simplicity):
        for alternative in operation.requirement.alternatives or (Alternative(),):
            title = _kind(config, alternative)
            if title not in seen and not operation.generated:
                seen.add(title)
                yield title, operation, alternative


def _simplicity(operation: Operation) -> tuple[bool, int, int]:
    order = _READING_FIRST.index(operation.method) if operation.method in _READING_FIRST else len(_READING_FIRST)
    return operation.is_rpc_path, order, 0 if operation.template.is_exact else 1


def _credentials(config: ServiceConfig, alternative: Alternative, key: str, token: str) -> list[tuple[Place, str]]:
    found = []
    if alternative.needs_key:
        found.append((_easiest(alternative.key_places or DEFAULT_KEY_PLACES), key))
    if alternative.jwt is not None:
        places = config.provider(alternative.jwt.provider).places or DEFAULT_TOKEN_PLACES
        found.append((_easiest(places), token))
    return found


def _easiest(places: Sequence[Place]) -> Place:
    """A header if there is one: queries end up in logs."""
    return next((place for place in places if place.kind is PlaceKind.HEADER), places[0])


def _answers_for_all(name: str, configs: Sequence[ServiceConfig], settings: Settings) -> bool:
    return settings.default_service == name or (not settings.default_service and len(configs) == 1)
