"""What is said of another framework's app and of its routes: the words of `endpoints.api` and `endpoints.method`.

Saying changes nothing at run time: functions and apps stay what they are. A gateway enforces it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypedDict, TypeVar, Unpack

from authz.frameworks.declare import checks
from authz.frameworks.declare.access import Access
from authz.frameworks.declare.classes import ApiInfo, api
from authz.frameworks.types import Issuer, LimitDefinition, OAuth2Scope

_Thing = TypeVar("_Thing")
_ROUTE: Final = "__authz_route__"
_APP: Final = "__authz_app__"
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._~-]+")


_SILENT: Final = Access()


class AppWords(TypedDict, total=False):
    """What an app may say for all of its routes; as for `endpoints.api`."""

    name: str
    version: str
    hostname: str | None
    description: str | None
    issuers: Mapping[str, Issuer] | None
    limit_definitions: list[LimitDefinition] | None
    scopes: list[str | OAuth2Scope] | tuple[str | OAuth2Scope, ...] | None
    audiences: list[str] | tuple[str, ...] | Mapping[str, list[str]] | None
    allowed_client_ids: list[str] | tuple[str, ...] | None
    api_key_required: bool | None
    optional_auth: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one route says."""

    access: Access = _SILENT
    metric_costs: Mapping[str, int] = field(default_factory=dict)

    def over(self, above: Said) -> Said:
        """A function over the class that it belongs to."""
        return Said(access=self.access.over(above.access), metric_costs=self.metric_costs or above.metric_costs)


def protect(
    without_brackets: object = None,
    /,
    *,
    api_key_required: bool | None = None,
    audiences: Any = None,
    scopes: Any = None,
    allowed_client_ids: Any = None,
    optional_auth: bool | None = None,
    metric_costs: Mapping[str, int] | None = None,
) -> Callable[[_Thing], _Thing]:
    """Say who may call a route and what a call costs. For view functions, and for classes with a method per verb.

    It stands above or below the framework's own decorator; what is left out comes from `declare`.

    Raises:
        TypeError: an argument that is something else, or the function itself: brackets are left out.
    """
    if without_brackets is not None:
        known = getattr(without_brackets, "__qualname__", repr(without_brackets))
        raise TypeError(f"{known}: write @adapters.protect(...) with brackets and named arguments")
    said = {
        "audiences": audiences,
        "scopes": scopes,
        "allowed_client_ids": allowed_client_ids,
        "api_key_required": api_key_required,
        "optional_auth": optional_auth,
        "auth_level": None,
    }

    def decorate(thing: _Thing) -> _Thing:
        if not callable(thing):
            raise checks.wrong("protect", "what is decorated", "a function or a class", thing)
        place = f"{thing.__module__}.{getattr(thing, '__qualname__', thing)}"
        route = Said(access=Access.of(place, said), metric_costs=checks.costs(place, metric_costs))
        setattr(thing, _ROUTE, route)
        return thing

    return decorate


def of_route(function: object) -> Said:
    """What a function or class says; nothing, if it is not decorated."""
    found = getattr(function, _ROUTE, None)
    return found if isinstance(found, Said) else Said()


def declare(app: _Thing, **said: Unpack[AppWords]) -> _Thing:
    """Say for a whole app what `endpoints.api` says for an API. Gives the app.

    declare(app, audiences=["shop"], limit_definitions=[LimitDefinition("read", "Reads", 100)])

    Raises:
        TypeError: an argument that is something else, or that there is not.
    """
    unknown = said.keys() - AppWords.__optional_keys__
    if unknown:
        raise TypeError(f"declare() has no argument '{min(unknown)}'")
    words: dict[str, Any] = {"name": _name(getattr(app, "title", "")), "version": _version(app), **said}
    info = api(words.pop("name"), words.pop("version"), **words).api_info
    setattr(app, _APP, (info, frozenset(said)))
    return app


def of_app(app: object, title: str, version: str) -> ApiInfo:
    """What an app says; title and version are its own, unless it says others."""
    found, said = getattr(app, _APP, (None, frozenset[str]()))
    if not isinstance(found, ApiInfo):
        return api(_name(title), version).api_info
    return replace(
        found,
        name=found.name if "name" in said else _name(title),
        api_version=found.api_version if "version" in said else version,
    )


def _name(title: str) -> str:
    """A title as the name of an API."""
    return _NOT_IN_NAMES.sub("-", title).strip("-.~_0123456789") or "app"


def _version(app: object) -> str:
    version = getattr(app, "version", None)
    return version if isinstance(version, str) and version else "1.0.0"
