"""What a function says of its operation: the docstring, and where that says nothing of answers, the return annotation.

A docstring is text for people, and below a line of `---`, in YAML, what OpenAPI says of it: Starlette, and the tools
that Flask's users know, read docstrings so.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from authz.frameworks.adapters.routes import Route
from authz.frameworks.exceptions import ApiConfigurationError

_FIELDS: Final = frozenset({"responses", "parameters", "requestBody", "summary", "description", "tags", "operationId"})
_TARGET: Final = "#/components/schemas/"
ANSWER: Final = {"200": {"description": "A successful response"}}
"""Of operations that say nothing of their answers."""


def operation(route: Route, schemas: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """What the docstring of a route's function says, and the variables of its path that it says nothing of.

    Raises:
        ApiConfigurationError: what should be YAML is not.
    """
    text, below, yaml = (inspect.getdoc(route.function) or "").partition("---\n")
    said = _parsed(yaml if below else text, route.place, is_needed=bool(below))
    found = {} if said is not None and not below else _words(text)
    found.update(said or {})
    answers = found.get("responses") or ANSWER
    found["responses"] = {str(status): answer for status, answer in answers.items()}
    given = found.setdefault("parameters", [])
    known = {one.get("name") for one in given if isinstance(one, dict)}
    given += [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in schemas.items()
        if name not in known
    ]
    return found


def _parsed(text: str, place: str, *, is_needed: bool) -> dict[str, Any] | None:
    import yaml

    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as error:
        if is_needed:
            raise ApiConfigurationError(f"{place}: the docstring is no YAML below '---': {error}") from error
        return None
    is_operation = isinstance(said, dict) and (is_needed or not said.keys() - _FIELDS)
    return said if is_operation else None


def _words(text: str) -> dict[str, Any]:
    summary, _, rest = text.strip().partition("\n")
    words = {"summary": summary.strip(), "description": text.strip() if rest.strip() else ""}
    return {key: value for key, value in words.items() if value}


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
