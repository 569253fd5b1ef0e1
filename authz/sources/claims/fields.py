"""Fields of messages by the names that JSON has for them, and which JSON types they take (proto3's JSON mapping)."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor

ANYTHING = frozenset({"string", "integer", "number", "boolean", "array", "object", "file"})
_STRING, _OBJECT = frozenset({"string"}), frozenset({"object"})
_FLAG, _REAL = frozenset({"boolean"}), frozenset({"number", "integer"})
# A number may be whole; 64 bits are written as a string, since JavaScript has no such numbers.
_INT32, _INT64 = _REAL, frozenset({"integer", "number", "string"})
_NUMBER_FORMATS = frozenset({"int32", "int64", "uint32", "uint64", "float", "double", "decimal"})

_SCALARS = {
    FieldDescriptor.TYPE_DOUBLE: _REAL,
    FieldDescriptor.TYPE_FLOAT: _REAL,
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_SINT32: _INT32,
    FieldDescriptor.TYPE_UINT32: _INT32,
    FieldDescriptor.TYPE_FIXED32: _INT32,
    FieldDescriptor.TYPE_SFIXED32: _INT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_SINT64: _INT64,
    FieldDescriptor.TYPE_UINT64: _INT64,
    FieldDescriptor.TYPE_FIXED64: _INT64,
    FieldDescriptor.TYPE_SFIXED64: _INT64,
    FieldDescriptor.TYPE_BOOL: _FLAG,
    FieldDescriptor.TYPE_STRING: _STRING,
    FieldDescriptor.TYPE_BYTES: _STRING,
    FieldDescriptor.TYPE_ENUM: frozenset({"string", "integer"}),
    FieldDescriptor.TYPE_MESSAGE: _OBJECT,
    FieldDescriptor.TYPE_GROUP: _OBJECT,
}
_PREFIX = "google.protobuf."
_VALUE = f"{_PREFIX}Value"
_RAW = "google.api.HttpBody"
_WRAPPERS = {
    "DoubleValue": _REAL, "FloatValue": _REAL, "Int32Value": _INT32, "UInt32Value": _INT32, "Int64Value": _INT64,
    "UInt64Value": _INT64, "BoolValue": _FLAG, "StringValue": _STRING, "BytesValue": _STRING, "Timestamp": _STRING,
    "Duration": _STRING, "FieldMask": _STRING,
}  # fmt: skip
_MESSAGES = {
    **{_PREFIX + name: types for name, types in _WRAPPERS.items()},
    f"{_PREFIX}Struct": _OBJECT,
    f"{_PREFIX}Any": _OBJECT,
    f"{_PREFIX}ListValue": frozenset({"array"}),
    _VALUE: ANYTHING,
    _RAW: ANYTHING,
}
_TEXTS = (f"{_PREFIX}StringValue",)
_NULL = f"{_PREFIX}NullValue"


class Fields:
    """The fields of messages, by the names that protos and JSON have for them."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, FieldDescriptor]] = {}

    def of(self, message: Descriptor) -> dict[str, FieldDescriptor]:
        """The fields of a message: by name, and by JSON name where no other field is called so."""
        known = self._known.get(message.full_name)
        if known is None:
            by_json = {field.json_name: field for field in message.fields}
            self._known[message.full_name] = known = {**by_json, **message.fields_by_name}
        return known

    def named(self, message: Descriptor, name: str) -> FieldDescriptor | None:
        """The field of a name; of none where there is no name, though that of `_` in JSON is empty."""
        return self.of(message).get(name) if name else None

    def path(self, message: Descriptor, dotted: str) -> list[FieldDescriptor] | str:
        """The fields that a dotted path goes through, or why it leads nowhere."""
        found: list[FieldDescriptor] = []
        for name in dotted.split("."):
            if found:
                above = found[-1]
                if above.message_type is None or above.is_repeated or _is_closed(above.message_type):
                    return f"'{above.name}' is not a single message with fields"
                message = above.message_type
            field = self.of(message).get(name)
            if field is None:
                return f"{message.full_name} has no field '{name}'"
            found.append(field)
        return found

    def above(self, message: Descriptor, dotted: str) -> Descriptor:
        """The last message that a dotted path reaches."""
        for name in dotted.split(".")[:-1]:
            field = self.of(message).get(name)
            if field is None or field.message_type is None:
                break
            message = field.message_type
        return message


def is_plain(message: Descriptor) -> bool:
    """Whether a message is no object of its fields in JSON."""
    return message.full_name in _MESSAGES


def _is_closed(message: Descriptor) -> bool:
    """Whether no path of names leads into a message. Into one that takes bodies of any kind it does: Envoy fills it."""
    return is_plain(message) and message.full_name != _RAW


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def is_value(field: FieldDescriptor) -> bool:
    """Whether a field takes any JSON: of a query, text."""
    return field.message_type is not None and field.message_type.full_name == _VALUE


def is_text(field: FieldDescriptor) -> bool:
    """Whether any text of a path or a query is a value of the field."""
    return field.type == FieldDescriptor.TYPE_STRING or (
        field.message_type is not None and field.message_type.full_name in _TEXTS
    )


def types(field: FieldDescriptor, formatted: str = "") -> frozenset[str]:
    """The JSON types of one value of a field. A string with a number's format is a number in quotes."""
    if field.message_type is not None:
        return _MESSAGES.get(field.message_type.full_name, _OBJECT)
    if field.enum_type is not None and field.enum_type.full_name == _NULL:
        return ANYTHING
    found = _SCALARS[field.type]
    return found | _STRING if formatted in _NUMBER_FORMATS and "number" in found else found


def shown(field: FieldDescriptor) -> str:
    """What kind of field it is: `repeated string tags`."""
    if is_map(field):
        return f"map {field.name}"
    kind = field.message_type or field.enum_type
    name = kind.full_name if kind is not None else _NAMES[field.type]
    return f"{'repeated ' if field.is_repeated else ''}{name} {field.name}"


_NAMES = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}


def listed(message: Descriptor) -> str:
    """The names of a message's fields, for a hint."""
    names = [field.json_name for field in message.fields]
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"{message.full_name} has {', '.join(names[:12])}{more}" if names else f"{message.full_name} has no fields"
