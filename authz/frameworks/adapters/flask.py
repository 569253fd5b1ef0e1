"""Flask: its URL map, with what docstrings, `protect` and `declare` say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from authz.frameworks.adapters.document import VERBS, guarded
from authz.frameworks.adapters.operations import ANSWER, described, operation
from authz.frameworks.adapters.routes import ANY, DEEP, Route
from authz.frameworks.adapters.said import of_app, of_route
from authz.frameworks.exceptions import ApiConfigurationError

if TYPE_CHECKING:
    from flask import Flask

_VARIABLE: Final = re.compile(r"<(?:(?P<kind>[A-Za-z_]\w*)(?:\((?P<words>.*?)\))?:)?(?P<name>[A-Za-z_]\w*)>")
_TYPES: Final[Mapping[str, dict[str, Any]]] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "uuid": {"type": "string", "format": "uuid"},
}
_BOUNDS: Final = {"min": "minimum", "max": "maximum", "minlength": "minLength", "maxlength": "maxLength"}


def openapi(app: Flask, *, hostname: str | None = None) -> dict[str, Any]:
    """The OpenAPI document of an app. Its name is Flask's, unless `declare` says another.

    Raises:
        ApiConfigurationError: what its routes say does not fit together, or two rules are one path.
    """
    info = of_app(app, app.name.rpartition(".")[2], "1.0.0")
    paths: dict[str, dict[str, Any]] = {}
    found: dict[tuple[str, str], Route] = {}
    for route, schemas in routes(app):
        if (route.path, route.verb) in found:
            raise ApiConfigurationError(
                f"{route.verb.upper()} {route.path} has two rules, which OpenAPI cannot tell apart"
            )
        found[route.path, route.verb] = route
        paths.setdefault(route.path, {})[route.verb] = operation(route, schemas)
    about = {"title": info.name, "version": info.api_version}
    if info.description:
        about["description"] = info.description
    document: dict[str, Any] = {"openapi": "3.1.0", "info": about, "paths": paths}
    silent = [
        (one, route.function)
        for route in found.values()
        if (one := paths[route.path][route.verb])["responses"] == ANSWER
    ]
    if schemas := described(silent):
        document["components"] = {"schemas": schemas}
    root = app.config.get("APPLICATION_ROOT") or ""
    return guarded(document, info, found.values(), hostname, root=root)


def routes(app: Flask) -> Iterator[tuple[Route, dict[str, dict[str, Any]]]]:
    """The rules of an app, its blueprints' included, with the schemas of their variables; without static files."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.rpartition(".")[2] == "static" or rule.build_only or rule.websocket:
            continue
        view = app.view_functions[rule.endpoint]
        matches = list(_VARIABLE.finditer(rule.rule))
        path = _VARIABLE.sub(lambda match: f"{{{match['name']}}}", rule.rule)
        schemas = {match["name"]: _schema(match) for match in matches}
        patterns = {match["name"]: _pattern(match, app) for match in matches}
        for verb in VERBS:
            if verb.upper() in set(rule.methods or ()) - {"HEAD", "OPTIONS"}:
                function, above = _function(view, verb)
                said = of_route(function).over(of_route(above)).over(of_route(view))
                yield Route(path=path, verb=verb, function=function, said=said, patterns=patterns), schemas


def _function(view: Any, verb: str) -> tuple[Any, Any]:
    """What answers a verb, and the class that it belongs to."""
    owner = getattr(view, "view_class", None)
    return getattr(owner, verb, view), owner


def _pattern(match: re.Match[str], app: Flask) -> str:
    """What a converter matches, as far as it matters: everything, with or without slashes, or something narrower."""
    kind = match["kind"] or "default"
    if kind == "path" or (kind in {"default", "string"} and not match["words"]):
        return DEEP if kind == "path" else ANY
    return f"(?:{getattr(app.url_map.converters.get(kind), 'regex', ANY)})"


def _schema(match: re.Match[str]) -> dict[str, Any]:
    """What a converter takes."""
    from werkzeug.routing.rules import parse_converter_args

    kind = match["kind"] or "default"
    words, named = parse_converter_args(match["words"]) if match["words"] else ((), {})
    if kind == "any":
        return {"type": "string", "enum": [str(word) for word in words]}
    found = dict(_TYPES.get(kind, {"type": "string"}))
    if kind in {"int", "float"} and not named.get("signed"):
        found["minimum"] = 0
    found.update({_BOUNDS[key]: value for key, value in named.items() if key in _BOUNDS and value is not None})
    if length := named.get("length"):
        found.update({"minLength": length, "maxLength": length})
    return found
