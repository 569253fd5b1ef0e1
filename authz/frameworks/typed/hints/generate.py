"""JSON Schemas of compiled hints, as OpenAPI 3.1 takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

REF: Final = "#/$defs/"
_DECIMAL: Final = r"^-?[0-9]+(\.[0-9]+)?$"


class Generator(GenerateJsonSchema):
    """pydantic's own, but for what it says too much or too little of."""

    def __init__(self) -> None:
        super().__init__(by_alias=True, ref_template=f"{REF}{{model}}")

    def field_title_should_be_set(self, schema: Any) -> bool:
        """A field's name is enough of a title."""
        del schema
        return False

    def set_schema(self, schema: core_schema.SetSchema) -> JsonSchemaValue:
        """A set is read from a list with repetitions too."""
        return self._repeated(super().set_schema(schema))

    def frozenset_schema(self, schema: core_schema.FrozenSetSchema) -> JsonSchemaValue:
        """The same."""
        return self._repeated(super().frozenset_schema(schema))

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        """Bounds count bytes, not the characters that they are written in."""
        found = super().bytes_schema(schema)
        return {key: value for key, value in found.items() if key not in {"minLength", "maxLength"}}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A text that is no number is refused."""
        found = super().decimal_schema(schema)
        for choice in found.get("anyOf", [found]):
            if choice.get("type") == "string":
                choice.setdefault("pattern", _DECIMAL)
        return found

    def _repeated(self, schema: JsonSchemaValue) -> JsonSchemaValue:
        if self.mode == "validation":
            schema.pop("uniqueItems", None)
        return schema


def generate(core: CoreSchema, mode: JsonSchemaMode) -> dict[str, Any]:
    """The schema of one hint, with `$defs`."""
    return Generator().generate(core, mode)


def together(
    wanted: Sequence[tuple[CoreSchema, JsonSchemaMode]],
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The schemas of many hints, and their definitions, whose names are told apart."""
    inputs = [(number, mode, core) for number, (core, mode) in enumerate(wanted)]
    found, definitions = Generator().generate_definitions(inputs)
    schemas = [found[number, mode] for number, mode, _ in inputs]
    return schemas, {str(name): schema for name, schema in definitions.items()}


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its references replaced by what they name; a reference to what it is part of stays."""
    definitions = schema.get("$defs", {})
    found: dict[str, Any] = _inline({key: value for key, value in schema.items() if key != "$defs"}, definitions, ())
    return found


def _inline(node: Any, definitions: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_inline(item, definitions, inside) for item in node]
    if not isinstance(node, dict):
        return node
    name = str(node.get("$ref", "")).removeprefix(REF)
    if name in definitions and name not in inside:
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return {**_inline(definitions[name], definitions, (*inside, name)), **beside}
    return {key: _inline(value, definitions, inside) for key, value in node.items()}


def kinds(schema: Mapping[str, Any]) -> frozenset[str]:
    """The JSON types that a schema without references allows; "any" where it does not say."""
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return frozenset().union(*(kinds(choice) for choice in schema[several]))
    if "allOf" in schema:
        return frozenset.intersection(*(kinds(part) for part in schema["allOf"]))
    if "type" in schema:
        found = schema["type"]
        return frozenset([found] if isinstance(found, str) else found)
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return frozenset({"any"}) if values is None else frozenset(_kinds(values))


def _kinds(values: Iterable[object]) -> Iterable[str]:
    for value in values:
        yield _OF[type(value)]


_OF: Final[Mapping[type, str]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    type(None): "null",
    list: "array",
    dict: "object",
}
