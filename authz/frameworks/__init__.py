"""Endpoints Frameworks: decorated classes become OpenAPI documents and served APIs, in the user's own process.

`from authz.frameworks import endpoints, messages, message_types, remote` is what an old module imports, and all of it.
Nothing is loaded before it is used: neither a server, nor whatever the typed style needs.
"""

from __future__ import annotations

import importlib
from typing import Any

_ROOMS = frozenset({"endpoints", "messages", "message_types", "remote", "protojson", "typed", "users", "adapters"})
_NAMES = {
    "api_server": "authz.frameworks.serve",
    "asgi_server": "authz.frameworks.serve",
    "get_current_user": "authz.frameworks.users",
    "User": "authz.frameworks.users",
}

__all__ = ["User", "api_server", "asgi_server", "endpoints", "get_current_user", "message_types", "messages", "remote"]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"authz.frameworks.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    message = f"module 'authz.frameworks' has no attribute {name!r}"
    raise AttributeError(message)
