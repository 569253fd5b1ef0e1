"""JSON Schemas of compiled hints, as OpenAPI 3.1 takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

REF: Final = "#/$defs/"
_INPUT: Final = "-Input"
_OUTPUT: Final = "-Output"
_CHOICES: Final = frozenset({"anyOf", "oneOf", "allOf"})
_SINGLE: Final = frozenset({"string", "integer", "number", "boolean"})
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
    return _merged(schemas, {str(name): schema for name, schema in definitions.items()})


def _merged(
    schemas: list[dict[str, Any]], definitions: dict[str, dict[str, Any]]
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """One definition for what is read and written alike. Shapes that contain themselves have two from pydantic."""
    stems = {name.removesuffix(_INPUT) for name in definitions if name.endswith(_INPUT)}
    stems = {one for one in stems if f"{one}{_OUTPUT}" in definitions and one not in definitions}
    while True:
        names = {f"{REF}{stem}{side}": f"{REF}{stem}" for stem in stems for side in (_INPUT, _OUTPUT)}
        differing = {
            stem
            for stem in stems
            if _renamed(definitions[f"{stem}{_INPUT}"], names) != _renamed(definitions[f"{stem}{_OUTPUT}"], names)
        }
        if not differing:
            break
        stems -= differing
    kept = {names.get(f"{REF}{name}", f"{REF}{name}").removeprefix(REF): one for name, one in definitions.items()}
    return [_renamed(one, names) for one in schemas], {name: _renamed(one, names) for name, one in kept.items()}


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    """A schema whose references have other names."""
    if isinstance(node, list):
        return [_renamed(item, names) for item in node]
    if isinstance(node, dict):
        return {key: _renamed(value, names) for key, value in node.items()}
    return names.get(node, node) if isinstance(node, str) else node


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its references replaced by what they name, but for objects below the uppermost one.

    That is all that parameters are made of; objects in objects would grow without bounds.
    """
    definitions = schema.get("$defs", {})
    plain = {key: value for key, value in schema.items() if key != "$defs"}
    found: dict[str, Any] = _inline(plain, definitions, is_top=True)
    return found


def _inline(node: Any, definitions: Mapping[str, Any], *, is_top: bool) -> Any:
    if isinstance(node, list):
        return [_inline(item, definitions, is_top=is_top) for item in node]
    if not isinstance(node, dict):
        return node
    name = str(node.get("$ref", "")).removeprefix(REF)
    target = definitions.get(name)
    if target is not None and (is_top or target.get("type") in _SINGLE):
        beside = {key: value for key, value in node.items() if key != "$ref"}
        others = {key: value for key, value in definitions.items() if key != name}  # what is itself stays a reference
        return {**_inline(target, others, is_top=is_top), **beside}
    return {key: _inline(value, definitions, is_top=is_top and key in _CHOICES) for key, value in node.items()}


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
