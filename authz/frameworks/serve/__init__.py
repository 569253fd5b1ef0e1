"""Serving what was declared: one core, behind WSGI and behind ASGI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from authz.frameworks.serve import reserved
from authz.frameworks.serve.asgi import AsgiServer
from authz.frameworks.serve.core import Core
from authz.frameworks.serve.options import Options
from authz.frameworks.serve.wsgi import WsgiServer

__all__ = ["AsgiServer", "Options", "WsgiServer", "api_server", "asgi_server"]


def api_server(services: Iterable[Any], **options: Any) -> WsgiServer:
    """A WSGI application that serves these classes, factories, or API objects. `options` are those of `Options`.

    Raises:
        ApiConfigurationError: they do not go together.
        TypeError: an option that there is not.
    """
    return WsgiServer(_core(services, options))


def asgi_server(services: Iterable[Any], **options: Any) -> AsgiServer:
    """An ASGI application that serves these classes, factories, or API objects. `options` are those of `Options`.

    Raises:
        ApiConfigurationError: they do not go together.
        TypeError: an option that there is not.
    """
    return AsgiServer(_core(services, options))


def _core(services: Iterable[Any], options: dict[str, Any]) -> Core:
    from authz.frameworks.declare import apis

    if strange := options.keys() - Options.__dataclass_fields__.keys():
        raise TypeError(
            f"no option {', '.join(sorted(strange))}; the options are {', '.join(Options.__dataclass_fields__)}"
        )
    if isinstance(services, type) or not isinstance(services, Iterable):
        raise TypeError(
            f"services is a list of classes, factories or API objects, not {services!r}; write [ ] around it"
        )
    declared = apis(services)
    core = Core(declared, Options(**options))
    reserved.add(core, declared)
    return core
