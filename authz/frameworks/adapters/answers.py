"""What a view's return annotation says of its answer, where the docstring does not: `-> Item`, `-> list[Item]`."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from typing import Any, Final

_TARGET: Final = "#/components/schemas/"


def described(views: Sequence[tuple[dict[str, Any], Callable[..., Any]]]) -> dict[str, Any]:
    """Give operations the schemas of what their functions return; the schemas that these refer to come back.

    Annotations that are no JSON objects or arrays say nothing: responses, texts, tuples of body and status.
    """
    hinted = [(operation, hint) for operation, function in views if (hint := _hint(function)) is not None]
    if not hinted:
        return {}
    from authz.frameworks.typed.hints.generate import REF, together
    from authz.frameworks.typed.signature import jsonable

    read = [(operation, core) for operation, hint in hinted if (core := jsonable(hint)) is not None]
    schemas, definitions = together([(core, "serialization") for _, core in read])
    for (operation, _), schema in zip(read, schemas, strict=True):
        content = {"application/json": {"schema": _linked(schema, REF)}}
        operation["responses"] = {"200": {"description": "A successful response", "content": content}}
    return {name: _linked(schema, REF) for name, schema in definitions.items()}


def _hint(function: Callable[..., Any]) -> Any:
    try:
        hint = typing.get_type_hints(function, include_extras=True).get("return")
    except (NameError, TypeError):
        return None  # names for type checkers only
    return None if hint in {Any, str, bytes} or typing.get_origin(hint) is tuple else hint


def _linked(node: Any, prefix: str) -> Any:
    if isinstance(node, list):
        return [_linked(item, prefix) for item in node]
    if isinstance(node, dict):
        return {key: _linked(value, prefix) for key, value in node.items()}
    if isinstance(node, str) and node.startswith(prefix):
        return _TARGET + node.removeprefix(prefix)
    return node
