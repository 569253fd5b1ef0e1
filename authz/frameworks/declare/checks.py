"""Whether arguments of decorators are what they must be; a TypeError says where, which one and what it is.

`place` is how messages name who has the argument: `api 'echo' v1`, `EchoApi`, `EchoApi.echo`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from authz.frameworks.exceptions import (
    ApiConfigurationError,
    InvalidLimitDefinitionException,
    InvalidNamespaceException,
)
from authz.frameworks.types import (
    AUTH_LEVEL,
    EMAIL_DESCRIPTION,
    EMAIL_SCOPE,
    Issuer,
    LimitDefinition,
    Namespace,
    OAuth2Scope,
)

Audiences: TypeAlias = tuple[str, ...] | Mapping[str, tuple[str, ...]]
_MOST_DISPLAY = 40
_VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SCHEME = re.compile(r"[A-Za-z0-9._-]+")
_PLAIN = re.compile(r"[A-Za-z0-9._~!$&'()+,;=@-]+")


def wrong(place: str, argument: str, what: str, value: object) -> TypeError:
    """The error of an argument that is something else."""
    return TypeError(f"{place}: {argument} is not {what}, but {value!r}")


def text(place: str, argument: str, value: Any) -> str | None:
    """A string or None."""
    if value is not None and not isinstance(value, str):
        raise wrong(place, argument, "a string", value)
    return value


def needed(place: str, argument: str, value: Any) -> str:
    """A string that is not empty."""
    if not isinstance(value, str):
        raise wrong(place, argument, "a string", value)
    if not value:
        message = f"{place}: {argument} is empty"
        raise ApiConfigurationError(message)
    return value


def flag(place: str, argument: str, value: Any) -> bool | None:
    """A real bool or None: `0` and `"yes"` are not."""
    if value is not None and not isinstance(value, bool):
        raise wrong(place, argument, "True or False", value)
    return value


def texts(place: str, argument: str, value: Any) -> tuple[str, ...] | None:
    """A list or tuple of strings, or None. A string is not split."""
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        raise wrong(place, argument, "a list of strings", value)
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise wrong(place, f"{argument}[{index}]", "a string", item)
    return tuple(value)


def client_ids(place: str, value: Any) -> tuple[str, ...] | None:
    """A list of client ids, which are not empty."""
    ids = texts(place, "allowed_client_ids", value)
    for one in ids or ():
        if not one.strip():
            message = f"{place}: allowed_client_ids has an empty one; write [] if nobody may call, or ['*'] for anybody"
            raise ApiConfigurationError(message)
    return ids


def audiences(place: str, value: Any) -> Audiences | None:
    """A list of audiences, or a mapping of issuer names to such lists."""
    if isinstance(value, Mapping):
        return {name: _some(place, f"audiences[{name!r}]", one) for name, one in value.items()}
    found = texts(place, "audiences", value)
    return found if not found else _usable(place, "audiences", found)


def _some(place: str, argument: str, value: Any) -> tuple[str, ...]:
    found = texts(place, argument, value)
    if found is None:
        raise wrong(place, argument, "a list of strings", value)
    if not found:
        message = f"{place}: {argument} is empty, and no token would pass; name an audience, or leave the issuer out"
        raise ApiConfigurationError(message)
    return _usable(place, argument, found)


def _usable(place: str, argument: str, found: tuple[str, ...]) -> tuple[str, ...]:
    """A document writes audiences as one text with commas: none holds one, or is blank."""
    for one in found:
        if not one.strip() or one != one.strip() or "," in one:
            message = f"{place}: {argument} has {one!r}; an audience is not empty, and has no commas and outer blanks"
            raise ApiConfigurationError(message)
    return found


def scopes(place: str, value: Any) -> tuple[OAuth2Scope, ...] | None:
    """A list of scopes: strings or OAuth2Scope. A string of several words asks for all of them."""
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        raise wrong(place, "scopes", "a list of strings", value)
    return tuple(_scope(place, index, item) for index, item in enumerate(value))


def _scope(place: str, index: int, item: Any) -> OAuth2Scope:
    if not isinstance(item, str | OAuth2Scope):
        raise wrong(place, f"scopes[{index}]", "a string or an OAuth2Scope", item)
    words = item if isinstance(item, str) else item.scope
    if not words.strip():
        message = f"{place}: scopes[{index}] is empty, and every token would pass; remove it, or name a scope"
        raise ApiConfigurationError(message)
    if isinstance(item, OAuth2Scope):
        return item
    return OAuth2Scope(item, EMAIL_DESCRIPTION if item == EMAIL_SCOPE else item)


def auth_level(place: str, value: Any) -> int | None:
    """A member of AUTH_LEVEL, or None."""
    if value is not None and (isinstance(value, bool) or value not in list(AUTH_LEVEL)):
        raise wrong(place, "auth_level", "a member of AUTH_LEVEL", value)
    return value


def record(place: str, argument: str, value: Any, kind: type) -> Any:
    """An instance of a record, or None."""
    if value is not None and not isinstance(value, kind):
        raise wrong(place, argument, f"an instance of {kind.__name__}", value)
    return value


def issuers(place: str, value: Any) -> dict[str, Issuer]:
    """Issuers by the name of their definition."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong(place, "issuers", "a dict of names and Issuer", value)
    for name, issuer in value.items():
        _issuer(place, name, issuer)
    return dict(value)


def _issuer(place: str, name: Any, issuer: Any) -> None:
    if not isinstance(name, str) or not isinstance(issuer, Issuer):
        raise wrong(place, f"issuers[{name!r}]", "an Issuer under a string", issuer)
    needed(place, f"issuers[{name!r}].issuer", issuer.issuer)
    text(place, f"issuers[{name!r}].jwks_uri", issuer.jwks_uri)
    if name == "api_key" or not _SCHEME.fullmatch(name):
        what = "which documents use for API keys" if name == "api_key" else "which cannot name a security scheme"
        message = f"{place}: issuers has the name {name!r}, {what}; choose another one of letters, digits, and -._"
        raise ApiConfigurationError(message)


def limits(place: str, value: Any) -> tuple[LimitDefinition, ...]:
    """Limit definitions, a list."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise wrong(place, "limit_definitions", "a list of LimitDefinition", value)
    seen: set[str] = set()
    for index, limit in enumerate(value):
        if not isinstance(limit, LimitDefinition):
            raise wrong(place, f"limit_definitions[{index}]", "an instance of LimitDefinition", limit)
        _limit(place, limit)
        if limit.metric_name in seen:
            message = f"{place}: limit_definitions has the metric '{limit.metric_name}' twice"
            raise InvalidLimitDefinitionException(message)
        seen.add(limit.metric_name)
    return tuple(value)


def _limit(place: str, limit: LimitDefinition) -> None:
    for name in ("metric_name", "display_name"):
        if not text(place, f"limit_definition.{name}", getattr(limit, name)):
            message = f"{place}: limit_definition.{name} is empty"
            raise InvalidLimitDefinitionException(message)
    amount: Any = limit.default_limit
    if not isinstance(amount, int) or isinstance(amount, bool):
        raise wrong(place, "limit_definition.default_limit", "an integer", amount)
    if amount < 0:
        message = f"{place}: limit_definition.default_limit of '{limit.metric_name}' is {amount}; write 0 or more"
        raise InvalidLimitDefinitionException(message)
    if len(limit.display_name) > _MOST_DISPLAY:
        message = f"{place}: limit_definition.display_name of '{limit.metric_name}' is longer than {_MOST_DISPLAY}"
        raise InvalidLimitDefinitionException(message)


def namespace(place: str, value: Any) -> Namespace | None:
    """A namespace with an owner."""
    found: Namespace | None = record(place, "namespace", value, Namespace)
    if found is None:
        return None
    for name in ("owner_domain", "owner_name", "package_path"):
        text(place, f"namespace.{name}", getattr(found, name))
    for name in ("owner_domain", "owner_name"):
        if not getattr(found, name):
            message = f"{place}: namespace.{name} is missing"
            raise InvalidNamespaceException(message)
    return found


def costs(place: str, value: Any) -> dict[str, int]:
    """Metric costs: what one call takes of each metric."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong(place, "metric_costs", "a dict of metrics and integers", value)
    for metric, cost in value.items():
        if not isinstance(metric, str):
            raise wrong(place, "metric_costs key", "a string", metric)
        if not isinstance(cost, int) or isinstance(cost, bool):
            raise wrong(place, f"metric_costs[{metric!r}]", "an integer", cost)
        if cost < 0:
            message = f"{place}: metric_costs[{metric!r}] is {cost}; write 0 or more"
            raise ApiConfigurationError(message)
    return dict(value)


def verb(place: str, value: Any) -> str:
    """An HTTP method in capitals; POST if nothing is said."""
    written = text(place, "http_method", value) or "POST"
    if written.upper() not in _VERBS:
        message = f"{place}: http_method is {written!r}, but must be one of {', '.join(_VERBS)}"
        raise ApiConfigurationError(message)
    return written.upper()


def matching(pattern: str, remedy: str) -> Callable[[str, str, str], str]:
    """A check of names that stand in URLs."""
    compiled = re.compile(pattern)

    def check(place: str, argument: str, value: str) -> str:
        if not compiled.fullmatch(value):
            message = f"{place}: {argument} is {value!r}; {remedy}"
            raise ApiConfigurationError(message)
        return value

    return check


api_name = matching(r"[A-Za-z][A-Za-z0-9_.~-]*", "it stands in URLs: write a letter, then letters and digits")
version = matching(r"[A-Za-z0-9][A-Za-z0-9_.~+-]*", "it stands in URLs: write, for example, v1 or 1.2.0")


def base_path(place: str, value: str) -> str:
    """What precedes all URLs: it begins and ends with a slash."""
    parts = [part for part in value.strip("/").split("/") if part]
    if any(not _PLAIN.fullmatch(part) for part in parts):
        message = f"{place}: base_path is {value!r}; write segments of letters, digits, and -._~ between slashes"
        raise ApiConfigurationError(message)
    return "".join(("/", *(f"{part}/" for part in parts)))
