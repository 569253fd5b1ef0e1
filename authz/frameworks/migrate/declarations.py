"""What decorators and fields are given: arguments that are refused here, or that mean more than they did."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from authz.frameworks.declare import paths
from authz.frameworks.declare.names import path_version
from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.migrate import refused
from authz.frameworks.migrate.reading.names import Module, constant, keyword
from authz.frameworks.migrate.rules import Found, finding
from authz.frameworks.types import EMAIL_SCOPE
from authz.model.findings import Finding

DECORATORS: Final = re.compile(r"(endpoints\.(api|method)|.*\.api_class)")
APPENGINE_ARGUMENTS: Final = ("auth_level", "auth", "frontend_limits")


def check(module: Module) -> Iterator[Found]:
    """Findings of one module."""
    for name, call in module.calls():
        kind = DECORATORS.fullmatch(name)
        if kind:
            yield from _decorator(kind[2] or "api_class", call)
        elif name in {"messages.BytesField", "messages.StringField"}:
            yield from _default(name, call)
    yield from _integers(module)


def _decorator(kind: str, call: ast.Call) -> Iterator[Found]:
    for name in APPENGINE_ARGUMENTS:
        given = keyword(call, name)
        if given is not None:
            yield Found("appengine-argument", given.lineno, f"{name} is kept, and nobody reads it", "Remove it.")
    yield from refused.check(kind, call)
    for name, look in _ARGUMENTS.items():
        given = keyword(call, name)
        if given is not None:
            yield from look(given)
    if kind == "api" and keyword(call, "base_path") is None:
        hint = "Leave it if clients use it; otherwise say base_path='/' or another one."
        yield Found("base-path-default", call.lineno, "no base_path: the API is served below /_ah/api/", hint)


def _http_method(given: ast.expr) -> Iterator[Found]:
    verb = constant(given)
    if isinstance(verb, str) and verb != verb.upper():
        message = f"{verb!r} counts as {verb.upper()}: it collides with a method of that name on the same path"
        yield Found("http-method-case", given.lineno, message, f"Write {verb.upper()!r}.")


def _path(given: ast.expr) -> Iterator[Found]:
    """Decorators leave it to the class, whose path may come before."""
    path = constant(given)
    joined = paths.joined(None, path, "x") if isinstance(path, str) and path else ""
    try:
        paths.check(joined or "x", "path")
    except ApiConfigurationError as error:
        yield Found("argument-refused", given.lineno, str(error), refused.HINT)


def _scopes(given: ast.expr) -> Iterator[Found]:
    words = [constant(one) for one in given.elts] if isinstance(given, ast.List | ast.Tuple) else []
    if words and words != [EMAIL_SCOPE] and not ast.unparse(given).strip("[](),").endswith("EMAIL_SCOPE"):
        wanted = " or ".join(str(one) for one in words if one) or "them"
        message = f"where there are audiences, the gateway asks tokens for {wanted}"
        hint = "Tokens need a scope claim with it; leave scopes out if audience and issuer are enough."
        yield Found("scopes-enforced", given.lineno, message, hint)


def _client_ids(given: ast.expr) -> Iterator[Found]:
    text = ast.unparse(given)
    if "'*'" in text or "SKIP_CLIENT_ID_CHECK" in text or text == "None":
        return
    message = "the gateway turns away tokens of clients that are not listed, whoever their issuer is"
    if isinstance(given, ast.List | ast.Tuple) and not given.elts:
        message = "nobody may call: allowed_client_ids is empty"
    hint = "List every client that calls (the azp claim), or write ['*'] for any."
    yield Found("client-ids-enforced", given.lineno, message, hint)


_ARGUMENTS: Final[dict[str, Callable[[ast.expr], Iterable[Found]]]] = {
    "http_method": _http_method,
    "path": _path,
    "scopes": _scopes,
    "allowed_client_ids": _client_ids,
}


def _default(name: str, call: ast.Call) -> Iterator[Found]:
    default = constant(keyword(call, "default"))
    wrong = str if name == "messages.BytesField" else bytes
    if isinstance(default, wrong):
        hint = "Write b'...' for bytes, and '...' for text."
        yield Found("bytes-default", call.lineno, f"the default of a {name.rpartition('.')[2]} is {default!r}", hint)


def _integers(module: Module) -> Iterator[Found]:
    """Once for a file: it is about data, which the code does not show."""
    lines = sorted(call.lineno for name, call in module.calls() if name == "messages.IntegerField")
    if lines:
        count = f"{len(lines)} integer fields" if len(lines) > 1 else "an integer field"
        message = f"{count} from here on: numbers beyond the variant (INT64 by default), and true, are refused with 400"
        hint = "Choose a variant that holds what clients send, and catch messages.ValidationError where code assigns."
        yield Found("integer-range", lines[0], message, hint)


def shared_urls(modules: Iterable[Module]) -> Iterator[Finding]:
    """Versions of one API, in whatever files, that would have one URL."""
    seen: dict[tuple[str, str], tuple[str, str, int]] = {}
    for module in modules:
        for call in (call for name, call in module.calls() if name == "endpoints.api"):
            api, version = (_argument(call, at, word) for at, word in enumerate(("name", "version")))
            if not isinstance(api, str) or not isinstance(version, str):
                continue
            mine = (version, module.name, call.lineno)
            other, file, line = seen.setdefault((api, path_version(version)), mine)
            if other != version:
                message = f"version {version} of {api} has the URLs of version {other} ({file}:{line})"
                hint = "Serve them in different processes, or give them different major versions."
                yield finding(module.name, Found("versions-share-urls", call.lineno, message, hint))


def _argument(call: ast.Call, at: int, name: str) -> object:
    return constant(call.args[at] if len(call.args) > at else keyword(call, name))
