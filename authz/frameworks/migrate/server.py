"""What `api_server` is given, and what it did without being told."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from authz.frameworks.migrate.reading.names import Module
from authz.frameworks.migrate.rules import Found

TRUST: Final = ("trusted_gateways", "gateway_secret", "verify_tokens")
ALWAYS: Final = {
    "cors_origins": "answers for browsers of other origins",
    "discovery": "discovery documents",
    "method_override": "X-HTTP-Method-Override",
}


def check(module: Module) -> Iterator[Found]:
    """Findings of one module."""
    for name, call in module.calls():
        if name == "endpoints.api_server" and all(one.arg for one in call.keywords):
            yield from _server(call)


def _server(call: ast.Call) -> Iterator[Found]:
    from authz.frameworks.serve import Options

    options = Options.__dataclass_fields__
    given = {one.arg: one.value.lineno for one in call.keywords}
    for name, line in given.items():
        if name not in options:
            yield Found("server-argument", line, f"api_server has no {name}", f"It takes {', '.join(options)}.")
    if not any(name in given for name in TRUST):
        message = "get_current_user() is None for every caller until the server knows its gateway"
        hint = "Set AUTHZ_GATEWAY_SECRET for both, or give trusted_gateways; without a gateway, verify_tokens=True."
        yield Found("server-trust", call.lineno, message, hint)
    left = {name: what for name, what in ALWAYS.items() if name not in given and name in options}
    if left:
        message = f"off by default: {', '.join(left.values())}"
        yield Found("server-defaults", call.lineno, message, f"If clients use them, say so: {', '.join(left)}.")
