"""JSON Schema 2020-12, as OpenAPI 3.1 has it, said in the words of OpenAPI 2.0.

2.0 has no null, no unions, no tuples, and bounds are written otherwise. What it cannot say is left open, said in the
description for people, and kept as an `x-` member where a tool may want it; never is more forbidden than is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from authz.frameworks.typed.hints.generate import REF, kinds

Schema = dict[str, Any]

_KEPT: Final = frozenset({
    "$ref", "title", "description", "type", "format", "enum", "default", "multipleOf", "maximum", "minimum",
    "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxProperties", "minProperties",
    "required", "readOnly", "example",
})  # fmt: skip
_BOUNDS: Final = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


def version2(schema: Mapping[str, Any]) -> Schema:
    """A schema of OpenAPI 2.0 that allows all that this one does."""
    found: Schema = {}
    for key, value in schema.items():
        if key in _KEPT or key.startswith("x-"):
            found[key] = value
        elif key in _CHANGES:
            _CHANGES[key](found, value, schema)
    _types(found)
    if found.get("default", 0) is None:
        del found["default"]
    if "$ref" in found and found.keys() & {"x-nullable", "default"}:
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    return found


def _types(found: Schema) -> None:
    """`type` is one word here."""
    if isinstance(found.get("type"), list):
        several = found.pop("type")
        rest = [one for one in several if one != "null"]
        if len(rest) < len(several):
            found["x-nullable"] = True
        if len(rest) == 1:
            found["type"] = rest[0]
        else:
            _say(found, f"One of: {', '.join(rest)}.")
    elif found.get("type") == "null":
        del found["type"]
        found.update({"x-nullable": True, "enum": [None]})


def _properties(found: Schema, value: Any, _: Mapping[str, Any]) -> None:
    found["properties"] = {name: version2(one) for name, one in value.items()}


def _items(found: Schema, value: Any, schema: Mapping[str, Any]) -> None:
    if "prefixItems" not in schema:
        found["items"] = version2(value) if isinstance(value, dict) else {}


def _tuple(found: Schema, value: Any, _: Mapping[str, Any]) -> None:
    found["items"] = {}
    found["x-prefixItems"] = [version2(one) for one in value]
    _say(found, f"In this order: {', '.join(named(one) for one in value)}.")


def _additional(found: Schema, value: Any, _: Mapping[str, Any]) -> None:
    found["additionalProperties"] = version2(value) if isinstance(value, dict) else value


def _patterned(found: Schema, value: Any, _: Mapping[str, Any]) -> None:
    found.setdefault("additionalProperties", True)
    _say(found, f"Names are like {' or '.join(value)}.")


def _const(found: Schema, value: Any, _: Mapping[str, Any]) -> None:
    found["enum"] = [value]
    found.setdefault("type", next(iter(kinds({"const": value}))))


def _bound(key: str) -> Callable[[Schema, Any, Mapping[str, Any]], None]:
    def change(found: Schema, value: Any, schema: Mapping[str, Any]) -> None:
        other = schema.get(_BOUNDS[key])
        tighter = other is None or (value >= other if key == "exclusiveMinimum" else value <= other)
        if tighter:
            found[_BOUNDS[key]] = value
            found[key] = True

    return change


def _all(found: Schema, value: Any, _: Mapping[str, Any]) -> None:
    found["allOf"] = [version2(one) for one in value]


def _choices(found: Schema, value: Any, schema: Mapping[str, Any]) -> None:
    rest = [one for one in value if one.get("type") != "null"]
    if len(rest) < len(value):
        found["x-nullable"] = True
    if len(rest) == 1:
        found.update({**version2(rest[0]), **found})
    elif merged := _merged_enums(rest):
        found.update(merged)
    else:
        _union(found, rest, schema.get("discriminator"))


def _merged_enums(choices: list[Mapping[str, Any]]) -> Schema:
    """Enums of one type are one enum."""
    types = {choice.get("type") for choice in choices}
    values = [choice.get("enum", [choice["const"]] if "const" in choice else None) for choice in choices]
    if len(types) != 1 or None in types or None in values:
        return {}
    return {"type": types.pop(), "enum": [one for several in values for one in several or ()]}


def _union(found: Schema, choices: list[Mapping[str, Any]], discriminator: Any) -> None:
    shared = {choice.get("type", "object" if discriminator else None) for choice in choices}
    if len(shared) == 1 and (only := shared.pop()):
        found["type"] = only
    if discriminator:
        name, by_value = discriminator["propertyName"], discriminator.get("mapping", {})
        found["properties"] = {name: {"type": "string", "enum": list(by_value)} if by_value else {}}
        found["required"] = [name]
        found["x-discriminator"] = discriminator
        _say(found, f"Told apart by '{name}'.")
    found["x-oneOf"] = [version2(choice) for choice in choices]
    _say(found, f"One of: {', '.join(named(choice) for choice in choices)}.")


def _example(found: Schema, value: Any, _: Mapping[str, Any]) -> None:
    if isinstance(value, list) and value:
        found.setdefault("example", value[0])


def _flag(name: str) -> Callable[[Schema, Any, Mapping[str, Any]], None]:
    return lambda found, value, _: found.__setitem__(name, value)


def named(schema: Mapping[str, Any]) -> str:
    """A schema in a word, for people."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(REF)
    if "const" in schema:
        return repr(schema["const"])
    return str(schema.get("format") or schema.get("title") or schema.get("type") or "anything")


def _say(found: Schema, sentence: str) -> None:
    """Tell people what tools cannot be told."""
    before = found.get("description", "")
    found["description"] = f"{before} {sentence}".strip()


_CHANGES: Final[Mapping[str, Callable[[Schema, Any, Mapping[str, Any]], None]]] = {
    "properties": _properties,
    "items": _items,
    "prefixItems": _tuple,
    "additionalProperties": _additional,
    "patternProperties": _patterned,
    "const": _const,
    "exclusiveMinimum": _bound("exclusiveMinimum"),
    "exclusiveMaximum": _bound("exclusiveMaximum"),
    "allOf": _all,
    "anyOf": _choices,
    "oneOf": _choices,
    "examples": _example,
    "writeOnly": _flag("x-writeOnly"),
    "deprecated": _flag("x-deprecated"),
}
