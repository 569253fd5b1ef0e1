"""Starlette: its routes, with what docstrings, `protect` and `declare` say."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from authz.frameworks.adapters.document import VERBS, guarded
from authz.frameworks.adapters.operations import operation
from authz.frameworks.adapters.routes import Route
from authz.frameworks.adapters.said import of_app, of_route

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.routing import BaseRoute

_SCHEMAS: Final[Mapping[str, dict[str, Any]]] = {
    "IntegerConvertor": {"type": "integer", "minimum": 0},
    "FloatConvertor": {"type": "number", "minimum": 0},
    "UUIDConvertor": {"type": "string", "format": "uuid"},
}


def openapi(app: Starlette, *, hostname: str | None = None) -> dict[str, Any]:
    """The OpenAPI document of an app. Its name and version are those of `declare`.

    Raises:
        ApiConfigurationError: what its routes say does not fit together.
    """
    info = of_app(app, "app", "1.0.0")
    found = list(routes(app.routes))
    paths: dict[str, dict[str, Any]] = {}
    for route, schemas in (one for one in found if one[0].shown):
        paths.setdefault(route.path, {}).setdefault(route.verb, operation(route, schemas))
    about = {"title": info.name, "version": info.api_version}
    if info.description:
        about["description"] = info.description
    document = {"openapi": "3.1.0", "info": about, "paths": paths}
    return guarded(document, info, [route for route, _ in found], hostname, in_order=True)


def routes(several: Iterable[BaseRoute], before: str = "") -> Iterator[tuple[Route, dict[str, dict[str, Any]]]]:
    """The routes, those of mounted apps included, with the schemas of their variables."""
    from starlette.routing import Host, Mount, compile_path
    from starlette.routing import Route as Plain

    for one in several:
        if isinstance(one, Mount | Host):
            yield from routes(one.routes or (), before + (one.path if isinstance(one, Mount) else ""))
        elif isinstance(one, Plain):
            _, path, convertors = compile_path(before + one.path)
            patterns = {name: convertor.regex for name, convertor in convertors.items()}
            schemas = {name: _schema(convertor) for name, convertor in convertors.items()}
            for verb, function in _functions(one):
                said = of_route(function).over(of_route(one.endpoint))
                yield (
                    Route(
                        path=path,
                        verb=verb,
                        function=function,
                        said=said,
                        patterns=patterns,
                        shown=one.include_in_schema,
                    ),
                    schemas,
                )


def _schema(convertor: object) -> dict[str, Any]:
    return dict(_SCHEMAS.get(type(convertor).__name__, {"type": "string"}))


def _functions(route: Any) -> Iterator[tuple[str, Any]]:
    """The function for each verb: one for all, or a class's own."""
    endpoint = route.endpoint
    if inspect.isclass(endpoint):
        yield from ((verb, getattr(endpoint, verb)) for verb in VERBS if hasattr(endpoint, verb))
    else:
        verbs = {verb.lower() for verb in route.methods or ("GET",)}
        yield from ((verb, endpoint) for verb in VERBS if verb in verbs - {"head"})
