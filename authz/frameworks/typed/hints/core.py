"""What pydantic makes of a type hint, made into what travels as JSON: base64 for bytes, RFC 3339 for times.

Pydantic by itself writes bytes as UTF-8, reads `"123"` as a time, and takes `true` for the 1 of an enum: none of that
is what a document says by `byte`, `date-time` and `integer`. A pydantic model's own schema is left alone: how it
travels is part of the model.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import EncodedBytes
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_OFFSET = r"(Z|[+-]\d\d:\d\d)?"
_TIMES: Final[Mapping[str, tuple[str, re.Pattern[str], str]]] = {
    "datetime": (
        "datetime_parsing",
        re.compile(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?{_OFFSET}", re.ASCII | re.IGNORECASE),
        "Input should be a date and time such as 2030-01-31T12:30:00Z",
    ),
    "time": (
        "time_parsing",
        re.compile(rf"\d\d:\d\d(:\d\d(\.\d+)?)?{_OFFSET}", re.ASCII | re.IGNORECASE),
        "Input should be a time such as 12:30:00",
    ),
    "timedelta": (
        "time_delta_parsing",
        re.compile(r"[+-]?P(?=.)[\dYMWDTHS.,]*", re.ASCII),
        "Input should be an ISO 8601 duration such as P1DT12H",
    ),
    "uuid": (
        "uuid_parsing",
        re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE),
        "Input should be a UUID such as 123e4567-e89b-12d3-a456-426614174000",
    ),
}
_OPAQUE: Final = frozenset({"model", "custom-error"})
_PLAIN: Final = frozenset({"metadata", "config", "default", "cls", "ref", "schema_ref", "computed_fields"})
"""Members of a schema's node that hold no schemas of what is read."""


def travelling(schema: CoreSchema) -> CoreSchema:
    """The schema of the same values as they travel; the very same object where nothing is different."""
    changed: CoreSchema = _walk(schema)
    return changed


def _walk(node: Any) -> Any:
    if isinstance(node, list):
        items = [_walk(item) for item in node]
        return items if any(new is not old for new, old in zip(items, node, strict=True)) else node
    if isinstance(node, tuple):  # a choice and its label
        return (_walk(node[0]), *node[1:]) if node else node
    if not isinstance(node, dict):
        return node
    kind = node.get("type")
    if not isinstance(kind, str):  # fields by name, choices by tag
        return _members(node, frozenset())
    if change := _CHANGES.get(kind):
        return change(node)
    return node if _is_opaque(node, kind) else _members(node, _PLAIN)


def _members(node: dict[str, Any], plain: frozenset[str]) -> dict[str, Any]:
    changed = {key: new for key, old in node.items() if key not in plain and (new := _walk(old)) is not old}
    return {**node, **changed} if changed else node


def _is_opaque(node: Mapping[str, Any], kind: object) -> bool:
    """A model's schema, and bytes that have an encoding of their own."""
    function = node.get("function")
    if isinstance(function, dict):
        function = function.get("function")
    return kind in _OPAQUE or isinstance(getattr(function, "__self__", None), EncodedBytes)


def _bytes(node: dict[str, Any]) -> Any:
    if "serialization" in node:
        return node
    return core_schema.chain_schema(
        [core_schema.str_schema(), core_schema.no_info_plain_validator_function(_decode), node],
        serialization=core_schema.plain_serializer_function_ser_schema(
            _encode, return_schema=core_schema.str_schema(), when_used="json"
        ),
        metadata={"pydantic_js_updates": {"format": "byte", "contentEncoding": "base64"}},
    )


def _decode(text: str) -> bytes:
    standard = text.translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PydanticCustomError("base64", "Input should be base64") from error


def _encode(value: Any) -> str:
    if not isinstance(value, bytes | bytearray):
        message = f"expected bytes, not {type(value).__name__}"
        raise TypeError(message)
    return base64.b64encode(value).decode()


def _time(node: dict[str, Any]) -> Any:
    code, pattern, message = _TIMES[node["type"]]

    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.fullmatch(value):
            raise PydanticCustomError(code, message)
        return value

    return _checked(check, node)


def _members_of(node: dict[str, Any]) -> Any:
    """An enum or a literal: Python's True is 1, JSON's is not."""
    wanted = [getattr(value, "value", value) for value in node.get("members", node.get("expected", ()))]
    if not any(type(value) is int and value in {0, 1} for value in wanted):
        return node
    booleans = {value for value in wanted if isinstance(value, bool)}

    def check(value: Any) -> Any:
        if isinstance(value, bool) and value not in booleans:
            raise PydanticCustomError("enum", "Input should be a number, not true or false")
        return value

    return _checked(check, node)


def _checked(check: Callable[[Any], Any], node: dict[str, Any]) -> Any:
    return core_schema.no_info_before_validator_function(check, node)


_CHANGES: Final[Mapping[str, Callable[[dict[str, Any]], Any]]] = {
    "bytes": _bytes,
    **dict.fromkeys(_TIMES, _time),
    "enum": _members_of,
    "literal": _members_of,
}
