"""An app's own OpenAPI document, with what its routes say of keys, tokens and quotas added to it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from authz.frameworks.adapters.routes import DEEP, Kept, Route, told_apart
from authz.frameworks.adapters.said import Said
from authz.frameworks.declare import names, paths
from authz.frameworks.declare.classes import ApiInfo
from authz.frameworks.document import version3
from authz.frameworks.document.security import Schemes
from authz.frameworks.document.version2 import scheme
from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.service import Api, Security

VERBS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the schemes of a document look at."""

    owner: str
    name: str
    security: Security


def guarded(
    document: Mapping[str, Any],
    info: ApiInfo,
    routes: Iterable[Route],
    hostname: str | None,
    *,
    root: str = "",
    in_order: bool = False,
) -> dict[str, Any]:
    """The document with security, quotas and the server's URL. What it says of security itself is the app's own
    business, which a gateway cannot check; it is left out. `in_order`: the app takes the first route that fits.

    Raises:
        ApiConfigurationError: a path that gateways have no template for, a metric that nothing declares, or routes
            that a gateway would not tell apart as the app does.
    """
    found = copy.deepcopy(dict(document))
    found["paths"] = _without_slashes(found.get("paths", {}))
    api = described(info)
    schemes = Schemes(api, version3.scheme_of)
    several = [replace(route, path=_without_slash(route.path)) for route in routes]
    kept = {number: _kept(route, info) for number, route in enumerate(several)}
    by_place = told_apart(several, kept, in_order=in_order)
    for path, verb, operation in operations(found):
        route = by_place.get((path, verb), Route(path=path, verb=verb, function=None, said=Said()))
        _check(route, api)
        operation.pop("security", None)
        operation.update(_extensions(route, info, schemes))
        _deepen(operation, route)
    _name_operations(found, by_place)
    found.pop("security", None)
    components = found.setdefault("components", {})
    components.pop("securitySchemes", None)
    if used := schemes.used():
        components["securitySchemes"] = used
    if api.limits:
        found["x-google-api-management"] = version3.management(api.limits)
    host = hostname or api.hostname
    base = f"/{root.strip('/')}".rstrip("/")
    if host or base:
        found["servers"] = [{"url": f"{scheme(host)}://{host}{base}" if host else base}]
    return found


def described(info: ApiInfo) -> Api:
    """What documents read of an API, without methods: the app serves them."""
    return Api(
        name=info.name,
        version=info.api_version,
        path_version=info.path_version,
        base_path="/",
        hostname=info.hostname,
        description=info.description,
        issuers=info.issuers,
        limits=info.limit_definitions,
        scopes=info.scope_objs,
    )


def _without_slash(path: str) -> str:
    """A path as gateways have it: they take it with one more slash at its end, too."""
    return path.rstrip("/") or "/"


def _without_slashes(items: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path, item in items.items():
        known = found.setdefault(_without_slash(path), {})
        twice = next((verb for verb in item if verb in known and verb in VERBS), None)
        if twice:
            message = (
                f"{twice.upper()} {path} is there with and without the slash at its end; gateways take both as one"
            )
            raise ApiConfigurationError(message)
        known.update(item)
    return found


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, verb and operation."""
    for path, item in document.get("paths", {}).items():
        for verb in VERBS:
            if isinstance(item.get(verb), dict):
                yield path, verb, item[verb]


def _check(route: Route, api: Api) -> None:
    place = route.place
    if path := route.path.strip("/"):
        paths.check(path, place)
    known = {limit.metric_name for limit in api.limits}
    unknown = next((metric for metric in route.said.metric_costs if metric not in known), None)
    if unknown is not None:
        message = (
            f"{place}: metric_costs names '{unknown}', which no limit_definitions has; add a LimitDefinition to "
            f"declare(), or use one of: {', '.join(sorted(known)) or 'none so far'}"
        )
        raise ApiConfigurationError(message)


def _kept(route: Route, info: ApiInfo) -> Kept:
    security, costs = route.said.access.over(info.access).security(), sorted(route.said.metric_costs.items())
    is_nothing = not (security.api_key_required or security.audiences or costs)
    return Kept("" if is_nothing else repr((security, costs)), is_nothing)


def _extensions(route: Route, info: ApiInfo, schemes: Schemes) -> dict[str, Any]:
    security = route.said.access.over(info.access).security()
    owner, _, name = route.place.rpartition(".")
    asked: Any = _Asked(owner, name, security)
    required = schemes.requirement(asked)
    found: dict[str, Any] = schemes.extensions(asked)
    if required is not None:
        found["security"] = [*required, {}] if required and security.is_optional else required
    if route.said.metric_costs:
        found["x-google-quota"] = {"metricCosts": dict(route.said.metric_costs)}
    return found


def _deepen(operation: dict[str, Any], route: Route) -> None:
    for parameter in operation.get("parameters", ()):
        if (
            parameter.get("in") == "path"
            and parameter.get("name") in route.patterns
            and route.patterns[parameter["name"]] == DEEP
        ):
            parameter["x-google-parameter"] = {"pattern": "**"}


def _name_operations(document: Mapping[str, Any], routes: Mapping[tuple[str, str], Route]) -> None:
    """Every operation has an id, and no other has the same."""
    found = [(operation, routes.get((path, verb))) for path, verb, operation in operations(document)]
    wanted = (
        operation.get("operationId") or (names.camel(route.name) if route else "operation")
        for operation, route in found
    )
    for (operation, _), name in zip(found, list(names.distinct(wanted)), strict=True):
        operation["operationId"] = name
