"""Type hints, compiled once: JSON text to values, and values to JSON text.

What is read is checked strictly, as the schema says it: `"1"` is no integer, `true` is none either.
"""

from __future__ import annotations

import json
import re
from functools import cached_property, lru_cache
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import JsonSchemaMode
from pydantic_core import PydanticSerializationError, SchemaSerializer, SchemaValidator

from authz.frameworks.exceptions import InvalidValue
from authz.frameworks.typed.hints.core import travelling
from authz.frameworks.typed.hints.generate import generate, inlined, kinds
from authz.frameworks.typed.hints.places import place

_NUMBERS: Final = (
    ("integer", re.compile(r"-?[0-9]+\Z")),
    ("number", re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z")),
)
_BOOLEANS: Final = {"true": "true", "false": "false"}
_MISMATCH: Final = {
    "integer": "Input should be an integer",
    "number": "Input should be a number",
    "boolean": "Input should be true or false",
}


class Value:
    """One type hint. `hint` must be resolved: no names of types as text."""

    def __init__(self, hint: Any) -> None:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
        self.core = travelling(adapter.core_schema)
        # A model's own validator, which is there already, would read it as pydantic does.
        self.validator = SchemaValidator(self.core, _use_prebuilt=False)
        self.serializer = SchemaSerializer(self.core, _use_prebuilt=False)
        self._schemas: dict[JsonSchemaMode, dict[str, Any]] = {}

    def schema(self, mode: JsonSchemaMode = "validation") -> dict[str, Any]:
        """Its JSON Schema; objects in it are references that lead nowhere. It is not to be changed."""
        if mode not in self._schemas:
            self._schemas[mode] = inlined(generate(self.core, mode))
        return self._schemas[mode]

    @cached_property
    def returned(self) -> type:
        """The class of what may be written. pydantic writes None, or any model, for any other."""
        core: Any = self.core
        if core["type"] == "definitions":
            named = {one["ref"]: one for one in core["definitions"]}
            core = named.get(core["schema"].get("schema_ref"), core["schema"])
        return core["cls"] if core["type"] in {"model", "dataclass"} else object

    @cached_property
    def nullable(self) -> bool:
        """Whether None may be written."""
        return bool(kinds(self.schema("serialization")) & {"null", "any"})

    @cached_property
    def finite(self) -> bool:
        """Whether what is written holds no floats, which may be what JSON has no number for."""
        return '"number"' not in json.dumps(generate(self.core, "serialization"))

    def parse(self, text: str | bytes) -> Any:
        """The value of a JSON text.

        Raises:
            ValidationError: it is another value than the hint says.
        """
        return self.validator.validate_json(text)

    def read(self, value: object, location: str, where: Literal["parameter", "body"]) -> Any:
        """The value of parsed JSON.

        Raises:
            InvalidValue: it is another value than the hint says; the place is below `location`.
        """
        try:
            return self.parse(json.dumps(value))
        except ValidationError as error:
            if whole := _whole(value, error):
                return self.read(whole[0], location, where)
            raise refusal(error, value, location, where) from error

    def write(self, value: object) -> bytes:
        """A value as JSON text.

        Raises:
            TypeError: it is another value than the hint says.
            ValueError: it holds a number that JSON has not.
        """
        if not isinstance(value, self.returned) or (value is None and not self.nullable):
            raise TypeError(f"{type(value).__name__} is not what the function says that it returns")
        try:
            if self.finite:
                return self.serializer.to_json(value, by_alias=True, warnings="error")
            plain = self.serializer.to_python(value, mode="json", by_alias=True, warnings="error")
        except PydanticSerializationError as error:
            raise TypeError(str(error)) from error
        return json.dumps(plain, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()


def value_of(hint: Any) -> Value:
    """The hint, compiled; most hints of an API are those of many of its functions."""
    try:
        hash(hint)
    except TypeError:
        return Value(hint)
    return _known(hint)


_known = lru_cache(maxsize=2000)(Value)


def _whole(value: object, error: ValidationError) -> tuple[object] | None:
    """The value with 1.0 as 1, where that is what it was refused for: JSON Schema calls both an integer."""
    refused = (
        e.get("input") for e in error.errors(include_url=False, include_context=False) if e["type"] == "int_type"
    )
    if any(isinstance(one, float) and one.is_integer() for one in refused):
        return (_integral(value),)
    return None


def _integral(value: object) -> object:
    if isinstance(value, dict):
        return {key: _integral(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_integral(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def refusal(error: ValidationError, value: object, location: str, where: Literal["parameter", "body"]) -> InvalidValue:
    """What the caller reads: the first place that is wrong, and how many others there are."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    at = place(found[0]["loc"], value, location, missing=found[0]["type"] == "missing")
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    message = f"{at}: {found[0]['msg']}" if at else found[0]["msg"]
    return InvalidValue(f"{message}{more}", at, where)


class Text:
    """How one value is written in a path or a query, where everything is text."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.kinds = kinds(schema)

    def readings(self, text: str) -> list[str]:
        """What the text may be as JSON, the narrowest first; empty if it is nothing of what is wanted."""
        found = []
        if any(kind in self.kinds and pattern.match(text) for kind, pattern in _NUMBERS):
            found.append(_decimal(text))
        elif "boolean" in self.kinds and text.lower() in _BOOLEANS:
            found.append(text.lower())
        if "string" in self.kinds:
            found.append(json.dumps(text))
        return found

    def mismatch(self) -> str:
        """What the text should have been."""
        wanted = [_MISMATCH[kind] for kind in _MISMATCH if kind in self.kinds]
        return wanted[0] if len(wanted) == 1 else "Input should be another kind of value"


def _decimal(text: str) -> str:
    """A number as JSON writes it: without zeros before it."""
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    kept = digits.lstrip("0")
    return f"{sign}{kept if kept[:1].isdecimal() else '0' + kept}"
