"""FastAPI, Starlette and Flask behind the gateway: what it shall enforce is said at their routes.

    from authz.frameworks import adapters

    @app.get("/items/{id}")
    @adapters.protect(audiences=["shop"], metric_costs={"read": 1})
    def item(id: int) -> Item: ...

    adapters.declare(app, limit_definitions=[...])

The frameworks themselves are imported only by who uses them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from authz.frameworks.adapters.said import declare, of_app, protect
from authz.frameworks.adapters.users import AsgiUsers, WsgiUsers

__all__ = ["AsgiUsers", "WsgiUsers", "asgi_app", "declare", "describe", "info", "is_app", "protect"]

# FastAPI's apps are Starlette's too: it comes first.
_APPS: Final = (
    ("fastapi", "fastapi.applications", "FastAPI"),
    ("starlette", "starlette.applications", "Starlette"),
    ("flask", "flask.app", "Flask"),
)


def _framework(thing: object) -> str | None:
    """Which framework made an app; one that is not loaded has made none."""
    for framework, module, name in _APPS:
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type) and isinstance(thing, kind):
            return framework
    return None


def is_app(thing: object) -> bool:
    """Whether something is an app of FastAPI, Starlette or Flask."""
    return _framework(thing) is not None


def describe(thing: Any, *, hostname: str | None = None) -> dict[str, Any] | None:
    """The OpenAPI 3.1 document of an app; None if it is none.

    Raises:
        ApiConfigurationError: what its routes say does not fit together.
    """
    framework = _framework(thing)
    if framework is None:
        return None
    write: Callable[..., dict[str, Any]] = import_module(f"{__name__}.{framework}").openapi
    return write(thing, hostname=hostname)


def info(thing: Any) -> tuple[str, str]:
    """The name and the version of an app."""
    title = thing.name.rpartition(".")[2] if _framework(thing) == "flask" else getattr(thing, "title", "app")
    found = of_app(thing, title, getattr(thing, "version", "1.0.0"))
    return found.name, found.api_version


def asgi_app(thing: Any, **options: Any) -> AsgiUsers:
    """An app as ASGI servers take it, with `get_current_user()`; Flask's calls run in threads."""
    if _framework(thing) != "flask":
        return AsgiUsers(thing, **options)
    from authz.frameworks.adapters.threads import Threads

    return AsgiUsers(Threads(thing), **options)
