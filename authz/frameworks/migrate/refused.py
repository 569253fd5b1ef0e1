"""Arguments that the decorators refuse: the decorators themselves are asked, with what the code says literally.

An argument that is computed, or named, is left aside: it is found when the code runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, Final

from authz.frameworks import endpoints, remote
from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.migrate.rules import Found

HINT: Final = "It is refused when the class is decorated; mend it first."
RECORDS: Final = {
    "Issuer": endpoints.Issuer,
    "LimitDefinition": endpoints.LimitDefinition,
    "Namespace": endpoints.Namespace,
}
UNREAD: Final = ("auth_level", "auth", "frontend_limits", "request_message", "response_message")
ERRORS: Final = (TypeError, ValueError, AttributeError, ApiConfigurationError)


def check(kind: str, call: ast.Call) -> Iterator[Found]:
    """What `api`, `api_class` or `method` says of each argument that is a literal."""
    for one in call.keywords:
        if one.arg is None or one.arg in UNREAD:
            continue
        try:
            value = literal(one.value)
        except LookupError:
            continue
        error = _error(kind, {one.arg: value})
        if error:
            yield Found("argument-refused", one.value.lineno, error, HINT)


def _error(kind: str, arguments: dict[str, Any]) -> str:
    try:
        _decorate(kind, arguments)
    except ERRORS as error:
        return str(error).partition(": ")[2] or str(error)
    return ""


def _decorate(kind: str, arguments: dict[str, Any]) -> None:
    """One class, or one method, of an API that is right but for these arguments."""
    api = endpoints.api(**{"name": "api", "version": "v1", **(arguments if kind == "api" else {})})
    asked = type("Api", (remote.Service,), {})
    if kind == "method":
        endpoints.method(**arguments)(lambda self, request: (self, request))
    elif kind == "api_class":
        api.api_class(**arguments)(asked)
    else:
        api(asked)


def literal(node: ast.expr) -> Any:
    """The value that an expression is, whatever the rest of the code does.

    Raises:
        LookupError: that depends.
    """
    if isinstance(node, ast.List | ast.Tuple):
        elements = [literal(one) for one in node.elts]
        return elements if isinstance(node, ast.List) else tuple(elements)
    if isinstance(node, ast.Dict):
        return {literal(_there(key)): literal(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.Call):
        return _record(node)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise LookupError from error


def _there(node: ast.expr | None) -> ast.expr:
    if node is None:
        raise LookupError("the dictionary unpacks another")
    return node


def _record(node: ast.Call) -> Any:
    kind = RECORDS.get(ast.unparse(node.func).rpartition(".")[2])
    if kind is None or any(one.arg is None for one in node.keywords):
        raise LookupError("it is made by other code")
    named = {str(one.arg): literal(one.value) for one in node.keywords}
    try:
        return kind(*(literal(one) for one in node.args), **named)
    except TypeError as error:
        raise LookupError from error
