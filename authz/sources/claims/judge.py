"""Schemas of a document held against the messages that their values become. Each pair is looked at once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from authz.sources.claims.fields import Fields, is_map, is_plain, is_text, listed, shown, types
from authz.sources.claims.schemas import Shape, followed, shape
from authz.sources.node import Node
from authz.sources.syntax.tree import Map


class Way(Enum):
    """Which way a value travels: the codes of a name and of a type that do not fit, and what is left out."""

    ASK = "grpc-body", "grpc-type", "readOnly"
    ANSWER = "grpc-response", "grpc-response", "writeOnly"

    def __init__(self, name_code: str, type_code: str, left_out: str) -> None:
        self.name_code, self.type_code, self.left_out = name_code, type_code, left_out


@dataclass(frozen=True, slots=True)
class _Pair:
    """A schema, and the message or the field whose values it describes. A field is one value where `one` says so."""

    schema: Node
    message: Descriptor | None = None
    field: FieldDescriptor | None = None
    one: bool = False


class Judge:
    """All schemas of a service against its messages."""

    def __init__(self) -> None:
        self.fields = Fields()
        self.seen: dict[tuple[int, str, Way], Map] = {}

    def message(self, schema: Node, message: Descriptor, way: Way) -> None:
        """Judge a schema whose values become a message."""
        self._run(_Pair(schema, message), way)

    def field(self, schema: Node, field: FieldDescriptor, way: Way) -> None:
        """Judge a schema whose values become a field."""
        self._run(_Pair(schema, field=field), way)

    def _run(self, first: _Pair, way: Way) -> None:
        waiting = [first]
        while waiting:
            pair = waiting.pop()
            if (schema := self._new(pair, way)) and (found := shape(schema)):
                if pair.field is not None:
                    waiting += self._field(found, pair.field, way, one=pair.one)
                elif pair.message is not None:
                    waiting += self._message(found, pair.message, way)

    def _new(self, pair: _Pair, way: Way) -> Node | None:
        """The schema behind a pair's reference; None if the pair was judged before or cannot be."""
        schema = followed(pair.schema)
        if schema is None:
            return None
        subject = pair.message.full_name if pair.message else f"{pair.field.full_name} {pair.one}" if pair.field else ""
        key = (id(schema.value), subject, way)
        if key in self.seen:
            return None
        self.seen[key] = schema.value
        return schema

    def _message(self, found: Shape, message: Descriptor, way: Way) -> list[_Pair]:
        if is_plain(message):
            return []
        if found.types and "object" not in found.types:
            said = f"the schema is {_article(found)}, but {message.full_name} is an object in JSON"
            found.node.report(way.type_code, said, "Write 'type: object', or name another RPC.")
            return []
        known = self.fields.of(message)
        pairs = []
        for name, schema in found.properties.items():
            if name in known:
                pairs.append(_Pair(schema, field=known[name]))
            elif schema.value.get(way.left_out) is not True:
                said = f"the property '{name}' is no field of {message.full_name}"
                found.places[name].report(way.name_code, said, f"{listed(message)}.", name)
        return pairs

    def _field(self, found: Shape, field: FieldDescriptor, way: Way, *, one: bool) -> list[_Pair]:
        if why := misfit(found, field, one=one):
            key = "type" if "type" in found.node else ""
            found.node.report(way.type_code, why[0], why[1], key)
            return []
        message = field.message_type
        if message is not None and is_map(field):
            return [_Pair(found.values, field=message.fields_by_name["value"])] if found.values else []
        if field.is_repeated and not one:
            return [_Pair(found.items, field=field, one=True)] if found.items else []
        return [_Pair(found.node, message)] if message is not None and not is_plain(message) else []


def misfit(
    found: Shape, field: FieldDescriptor, *, one: bool = False, is_text_of_url: bool = False
) -> tuple[str, str] | None:
    """What is wrong with values of a schema in a field, and what to write; None if nothing is.

    `one`: a single value of a repeated field. `is_text_of_url`: it stands in a path or a query, where all is text.
    """
    wanted = _wanted(found, field, one=one)
    if is_text_of_url and is_text(field) and "array" not in wanted:
        wanted |= {"integer", "number", "boolean"}
    if found.types and not found.types & wanted:
        said = f"{found.node.name} is {_article(found)}, which the field '{shown(field)}' does not take"
        return said, f"It takes {_choices(wanted)}."
    enum = field.enum_type
    if enum is not None and (one or not field.is_repeated) and found.enum and "string" in found.types:
        names = {name.upper() for name in enum.values_by_name}
        unknown = [name for name in found.enum if name.upper() not in names]
        if unknown:
            hint = f"{enum.full_name} has {', '.join(list(enum.values_by_name)[:12])}."
            return f"'{unknown[0]}' is no value of {enum.full_name}", hint
    return None


def _wanted(found: Shape, field: FieldDescriptor, *, one: bool) -> set[str]:
    if is_map(field):
        return {"object"}
    return {"array"} if field.is_repeated and not one else set(types(field, found.format))


def _article(found: Shape) -> str:
    names = {"array": "a list", "object": "an object", "integer": "an integer", "file": "a file"}
    return " or ".join(names.get(one, f"a {one}") for one in sorted(found.types))


def _choices(wanted: set[str]) -> str:
    order = ("string", "integer", "number", "boolean", "array", "object")
    return " or ".join(f"'type: {one}'" for one in order if one in wanted)
