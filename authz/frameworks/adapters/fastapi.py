"""FastAPI: its own document, with what `protect` and `declare` say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from authz.frameworks.adapters.document import guarded
from authz.frameworks.adapters.routes import Route
from authz.frameworks.adapters.said import of_app, of_route

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.routing import Mount


def openapi(app: FastAPI, *, hostname: str | None = None) -> dict[str, Any]:
    """The OpenAPI document of an app.

    Raises:
        ApiConfigurationError: what its routes say does not fit together.
    """
    info = of_app(app, app.title, app.version)
    return guarded(app.openapi(), info, routes(app), hostname, root=app.root_path, in_order=True)


def routes(app: FastAPI) -> Iterator[Route]:
    """The app's routes, those of its routers included; its document has neither hidden ones nor mounted apps'."""
    from fastapi import routing
    from starlette.routing import Mount, compile_path

    # Routers are included as they are since FastAPI 0.140, and one by one before.
    walk: Callable[[Any], Iterable[Any]] = getattr(routing, "iter_route_contexts", iter)
    for route in walk(app.routes):
        original = getattr(route, "original_route", route)
        if isinstance(original, Mount):
            yield from _mounted(original)
        path, path_format = getattr(route, "path", None), getattr(route, "path_format", None)
        if path is None or path_format is None or not hasattr(route, "endpoint"):
            continue
        patterns = {name: one.regex for name, one in compile_path(path)[2].items()}
        said, shown = of_route(route.endpoint), bool(getattr(route, "include_in_schema", False))
        for verb in route.methods or ():
            yield Route(
                path=path_format, verb=verb.lower(), function=route.endpoint, said=said, patterns=patterns, shown=shown
            )


def _mounted(mount: Mount) -> Iterator[Route]:
    from fastapi import FastAPI

    from authz.frameworks.adapters import starlette

    below = routes(mount.app) if isinstance(mount.app, FastAPI) else (one for one, _ in starlette.routes(mount.routes))
    yield from (replace(one, path=mount.path + one.path, shown=False) for one in below)
