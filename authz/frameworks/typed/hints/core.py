"""What pydantic makes of a type hint, made into what travels as JSON and is what a document says of it.

pydantic by itself reads `"1"` as an integer and `123` as a time, takes `true` for the 1 of an enum, and writes bytes as
UTF-8. Its strict mode does none of that, but refuses what validators of one's own have touched. So single values are
strict here, and what holds them is not: numbers are numbers, times are RFC 3339, bytes are base64. A field that says
`strict` or a model that says how its bytes travel is left as it is.
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from pydantic import EncodedBytes
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_OFFSET: Final = r"(Z|[+-]\d\d:\d\d)?"
_TEXTS: Final[Mapping[str, tuple[str, re.Pattern[str], str]]] = {
    "datetime": (
        "datetime_parsing",
        re.compile(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?{_OFFSET}", re.ASCII | re.IGNORECASE),
        "Input should be a date and time such as 2030-01-31T12:30:00Z",
    ),
    "date": (
        "date_parsing",
        re.compile(r"\d{4}-\d\d-\d\d", re.ASCII),
        "Input should be a date such as 2030-01-31",
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
_BYTES: Final = frozenset({"ser_json_bytes", "val_json_bytes"})
_PLAIN: Final = frozenset({"metadata", "config", "default", "cls", "ref", "schema_ref"})
"""Members of a schema's node that hold no schemas."""

Config = Mapping[str, Any]


def travelling(schema: CoreSchema) -> CoreSchema:
    """The schema of the same values as they travel."""
    changed: CoreSchema = _walk(schema, {})
    return changed


def _walk(node: Any, config: Config) -> Any:
    if isinstance(node, list):
        return [_walk(item, config) for item in node]
    if isinstance(node, tuple):  # a choice and its label
        return (_walk(node[0], config), *node[1:]) if node else node
    if not isinstance(node, dict):
        return node
    kind = node.get("type")
    if not isinstance(kind, str):  # fields by name, choices by tag
        return {key: _walk(value, config) for key, value in node.items()}
    if change := _CHANGES.get(kind):
        return change(node, config)
    if _is_encoded(node):
        return node
    inner = node.get("config") or config
    return {key: value if key in _PLAIN else _walk(value, inner) for key, value in node.items()}


def _is_encoded(node: Mapping[str, Any]) -> bool:
    """Whether these are bytes with an encoding of their own."""
    function = node.get("function")
    if isinstance(function, dict):
        function = function.get("function")
    return isinstance(getattr(function, "__self__", None), EncodedBytes)


def _strict(node: dict[str, Any], _: Config) -> Any:
    return {"strict": True, **node}


def _float(node: dict[str, Any], _: Config) -> Any:
    return {"strict": True, "allow_inf_nan": False, **node}


def _bytes(node: dict[str, Any], config: Config) -> Any:
    if "serialization" in node or config.keys() & _BYTES:
        return node
    return core_schema.no_info_before_validator_function(
        _decode,
        node,
        serialization=core_schema.plain_serializer_function_ser_schema(
            _encode, return_schema=core_schema.str_schema(), when_used="json"
        ),
        metadata={"pydantic_js_updates": {"format": "byte", "contentEncoding": "base64"}},
    )


def _decode(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise _no_base64()
    try:
        standard = value.translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _no_base64() from error


def _no_base64() -> PydanticCustomError:
    return PydanticCustomError("base64", "Input should be base64")


def _encode(value: Any) -> str:
    if not isinstance(value, bytes | bytearray):
        message = f"expected bytes, not {type(value).__name__}"
        raise TypeError(message)
    return base64.b64encode(value).decode()


def _text(node: dict[str, Any], _: Config) -> Any:
    code, pattern, message = _TEXTS[node["type"]]

    def check(value: Any) -> Any:
        if isinstance(value, bool | int | float) or (isinstance(value, str) and not pattern.fullmatch(value)):
            raise PydanticCustomError(code, message)
        return value

    return _checked(check, node)


def _members(node: dict[str, Any], _: Config) -> Any:
    """An enum or a literal: Python's True is 1, and to pydantic so is "1"; JSON's are not."""
    wanted = [getattr(value, "value", value) for value in node.get("members", node.get("expected", ()))]
    if all(isinstance(value, str) for value in wanted):
        return node
    others = tuple({bool, str} - {type(value) for value in wanted})

    def check(value: Any) -> Any:
        if isinstance(value, others) and not isinstance(value, enum.Enum):
            raise PydanticCustomError("enum", "Input should be one of the values, as it is declared")
        return value

    return _checked(check, node)


def _number(node: dict[str, Any], _: Config) -> Any:
    """A decimal, which is read from numbers and texts of numbers."""

    def check(value: Any) -> Any:
        if isinstance(value, bool):
            raise PydanticCustomError("decimal_type", "Input should be a number")
        return value

    return core_schema.no_info_after_validator_function(_sized, _checked(check, node))


def _sized(value: Decimal) -> Decimal:
    # 1e999999999 is ten characters, and a gigabyte as soon as somebody makes an integer of it.
    if abs(value.adjusted()) > sys.float_info.max_10_exp:
        raise PydanticCustomError("decimal_size", "Input should be a number of no more than 308 digits")
    return value


def _checked(check: Callable[[Any], Any], node: dict[str, Any]) -> Any:
    return core_schema.no_info_before_validator_function(check, node)


_CHANGES: Final[Mapping[str, Callable[[dict[str, Any], Config], Any]]] = {
    **dict.fromkeys(("int", "bool", "str"), _strict),
    "float": _float,
    **dict.fromkeys(_TEXTS, _text),
    "bytes": _bytes,
    "decimal": _number,
    "enum": _members,
    "literal": _members,
}
