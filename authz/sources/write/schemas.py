"""Messages as schemas, after the JSON mapping of protobuf: what Envoy's transcoder reads and prints.

Of that mapping's liberties the canonical form is described: fields by their JSON names, enums by theirs, 64-bit
integers as strings; unless the service says that it prints other names, or numbers for enums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from authz.model.transcoding import UNSAID, TranscodingOptions
from authz.sources.write.dialect import Dialect, Json
from authz.sources.write.lexicon import Lexicon

BODY = "google.api.HttpBody"
STATUS = "google.rpc.Status"
_NULL = "google.protobuf.NullValue"
_F = FieldDescriptor
_INT32: Json = {"type": "integer", "format": "int32"}
_UINT32: Json = {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**32 - 1}
_INT64: Json = {"type": "string", "format": "int64"}
_UINT64: Json = {"type": "string", "format": "uint64"}
_STRING: Json = {"type": "string"}
_BYTES: Json = {"type": "string", "format": "byte"}
_BOOL: Json = {"type": "boolean"}
_FLOAT: Json = {"type": "number", "format": "float"}
_DOUBLE: Json = {"type": "number", "format": "double"}
BINARY: Json = {"type": "string", "format": "binary"}

_SCALARS: dict[int, Json] = {
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), _INT32),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), _UINT32),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), _INT64),
    **dict.fromkeys((_F.TYPE_UINT64, _F.TYPE_FIXED64), _UINT64),
    _F.TYPE_STRING: _STRING,
    _F.TYPE_BYTES: _BYTES,
    _F.TYPE_BOOL: _BOOL,
    _F.TYPE_FLOAT: _FLOAT,
    _F.TYPE_DOUBLE: _DOUBLE,
}
_WRAPPERS: dict[str, Json] = {
    f"google.protobuf.{name}Value": schema
    for name, schema in {
        "Bool": _BOOL, "Bytes": _BYTES, "Double": _DOUBLE, "Float": _FLOAT, "Int32": _INT32, "Int64": _INT64,
        "String": _STRING, "UInt32": _UINT32, "UInt64": _UINT64,
    }.items()
}  # fmt: skip
_TEXTS: dict[str, Json] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string", "format": "field-mask"},
}
_SPECIAL: dict[str, Json] = {
    **_TEXTS,
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
    "google.protobuf.Empty": {"type": "object"},
}
"""Messages whose JSON is not an object of their fields."""
_NO_TEXTS = _SPECIAL.keys() - _TEXTS.keys()
_MOST_ENTERED = 1000


class Schemas:
    """Schemas in one dialect. `components` has those that something refers to."""

    def __init__(self, lexicon: Lexicon, dialect: Dialect, printed: TranscodingOptions = UNSAID) -> None:
        self.lexicon = lexicon
        self.dialect = dialect
        self.printed = printed
        self.named: dict[str, Callable[[], Json]] = {}

    def message(self, message: Descriptor) -> Json:
        """A message as a value."""
        special = _SPECIAL.get(message.full_name)
        if special is not None:
            return special
        if message.full_name in _WRAPPERS:
            return self.dialect.nullable(_WRAPPERS[message.full_name])
        self.named.setdefault(message.full_name, lambda: self.object(message))
        return self.dialect.ref(message.full_name)

    def object(self, message: Descriptor, without: frozenset[str] = frozenset()) -> Json:
        """A message spelled out, without some of its fields."""
        fields = [one for one in message.fields if one.name not in without]
        required = [self.name(one) for one in fields if _is_needed(one)]
        schema: Json = {"type": "object"}
        if about := self._about(message):
            schema["description"] = about
        if required:
            schema["required"] = required
        if fields:
            schema["properties"] = {self.name(one): self.property(one) for one in fields}
        return schema

    def name(self, one: FieldDescriptor) -> str:
        """A field's name, as it is printed."""
        return one.name if self.printed.preserve_proto_field_names else one.json_name

    def property(self, one: FieldDescriptor) -> Json:
        """A field with what is said of it."""
        behaviors = _behaviors(one)
        return self.dialect.annotated(
            self.field(one),
            description=self.lexicon.comment(one.full_name),
            readOnly=field_behavior_pb2.OUTPUT_ONLY in behaviors,
            writeOnly=field_behavior_pb2.INPUT_ONLY in behaviors and not self.dialect.is_version2,
            deprecated=one.GetOptions().deprecated and not self.dialect.is_version2,
        )

    def field(self, one: FieldDescriptor) -> Json:
        """A field's value: one, many, or a map."""
        if not one.is_repeated:
            return self.single(one)
        if one.message_type is not None and one.message_type.GetOptions().map_entry:
            return {"type": "object", "additionalProperties": self.single(one.message_type.fields_by_name["value"])}
        return {"type": "array", "items": self.single(one)}

    def single(self, one: FieldDescriptor) -> Json:
        """One value of a field."""
        if one.message_type is not None:
            return self.message(one.message_type)
        if one.enum_type is None:
            return _SCALARS[one.type]
        enum = one.enum_type
        if enum.full_name == _NULL:
            return {}
        self.named.setdefault(enum.full_name, lambda: self.enum(enum))
        return self.dialect.ref(enum.full_name)

    def text(self, one: FieldDescriptor) -> Json | None:
        """One value of a field as a parameter has it, spelled out; None if it cannot be one."""
        if one.enum_type is not None:
            return {"type": "string", "enum": [value.name for value in one.enum_type.values]}
        if one.message_type is None:
            return _SCALARS[one.type]
        return _WRAPPERS.get(one.message_type.full_name) or _TEXTS.get(one.message_type.full_name)

    def enum(self, enum: EnumDescriptor) -> Json:
        """An enum by the names of its values, or by their numbers where these are printed."""
        numbered, name = self.printed.always_print_enums_as_ints, enum.full_name
        told = []
        for value in enum.values:
            words = " ".join(self.lexicon.comment(f"{name}.{value.name}").split())
            if words or numbered:
                shown = (str(value.number) if numbered else "", value.name, words)
                told.append(f"- {': '.join(filter(None, shown))}")
        about = "\n\n".join(filter(None, (self.lexicon.comment(name), "\n".join(told))))
        return {
            "type": "integer" if numbered else "string",
            **({"description": about} if about else {}),
            # A number may have several names.
            "enum": list(dict.fromkeys(value.number if numbered else value.name for value in enum.values)),
        }

    def status(self) -> Json:
        """What errors are: google.rpc.Status, by reference."""
        return self.message(self.lexicon.pool.FindMessageTypeByName(STATUS))

    def components(self) -> Json:
        """Every schema that was referred to, and those that these refer to, by name."""
        made: dict[str, Json] = {}
        while missing := [name for name in self.named if name not in made]:
            for name in missing:
                made[name] = self.named[name]()
        return dict(sorted(made.items()))

    def _about(self, message: Descriptor) -> str:
        oneofs = [list(oneof.fields) for oneof in message.oneofs]
        rules = [
            f"At most one of {', '.join(self.name(one) for one in fields)}." for fields in oneofs if len(fields) > 1
        ]
        return "\n\n".join(filter(None, (self.lexicon.comment(message.full_name), "\n".join(rules))))


def leaves(message: Descriptor, deepest: int) -> Iterator[tuple[FieldDescriptor, ...]]:
    """Every way down to a field that is no message, or a single one whose JSON is a text; through no message twice.

    Messages of nothing but messages have more ways than anybody has time for: at some number of them it ends.
    """
    entries = iter(range(_MOST_ENTERED))

    def down(within: Descriptor, above: tuple[FieldDescriptor, ...]) -> Iterator[tuple[FieldDescriptor, ...]]:
        for one in within.fields:
            way = (*above, one)
            inner = one.message_type
            if inner is None:
                yield way
            elif one.is_repeated or inner.full_name in _NO_TEXTS:
                continue
            elif inner.full_name in _WRAPPERS or inner.full_name in _TEXTS:
                yield way
            elif len(way) < deepest:
                entered = {message.full_name, *(part.message_type.full_name for part in above if part.message_type)}
                if inner.full_name not in entered and next(entries, None) is not None:
                    yield from down(inner, way)

    return down(message, ())


def _behaviors(one: FieldDescriptor) -> tuple[int, ...]:
    options = one.GetOptions()
    return tuple(options.Extensions[field_behavior_pb2.field_behavior]) if one.has_options else ()


def _is_needed(one: FieldDescriptor) -> bool:
    return one.is_required or field_behavior_pb2.REQUIRED in _behaviors(one)
