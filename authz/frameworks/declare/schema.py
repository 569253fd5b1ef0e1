"""Messages and their fields as schemas."""

from __future__ import annotations

import base64
import inspect
import math
from dataclasses import dataclass
from typing import Any, Final

from authz.frameworks.document.values import dialect
from authz.frameworks.message_types import DateTimeField
from authz.frameworks.messages import EnumField, Field, Message, MessageField, Variant
from authz.frameworks.service import Definitions

_STRINGS: Final = {"type": "string"}
_TYPES: Final[dict[Variant, dict[str, str]]] = {
    Variant.INT32: {"type": "integer", "format": "int32"},
    Variant.SINT32: {"type": "integer", "format": "int32"},
    Variant.UINT32: {"type": "integer", "format": "uint32"},
    Variant.INT64: {"type": "string", "format": "int64"},
    Variant.SINT64: {"type": "string", "format": "int64"},
    Variant.UINT64: {"type": "string", "format": "uint64"},
    Variant.DOUBLE: {"type": "number", "format": "double"},
    Variant.FLOAT: {"type": "number", "format": "float"},
    Variant.BOOL: {"type": "boolean"},
    Variant.STRING: _STRINGS,
    Variant.BYTES: {"type": "string", "format": "byte"},
    Variant.ENUM: _STRINGS,
    Variant.MESSAGE: {"type": "string", "format": "date-time"},
}
_WIDE: Final = frozenset({Variant.INT64, Variant.SINT64, Variant.UINT64})


def is_message(field: Field) -> bool:
    """Whether a field holds another message; a date is a text."""
    return isinstance(field, MessageField) and not isinstance(field, DateTimeField)


def value(field: Field) -> dict[str, Any]:
    """The schema of one value of a field that holds no message."""
    found: dict[str, Any] = dict(_TYPES[field.variant])
    if isinstance(field, EnumField):
        found["enum"] = [member.name for member in sorted(field.type)]
    default = _default(field)
    if default is not None:
        found["default"] = default
    return found


def _default(field: Field) -> Any:
    """The default as JSON has it; a repeated field has none."""
    default = None if field.repeated else field.default
    if default is None or isinstance(field, EnumField):
        return default if default is None else default.name
    if isinstance(default, bytes):
        return base64.b64encode(default).decode()
    if isinstance(default, float) and not math.isfinite(default):
        return None
    return str(default) if field.variant in _WIDE else default


@dataclass(frozen=True, slots=True)
class MessageShape:
    """A body or a result that is a message."""

    message: type[Message]

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """A reference to the message's schema."""
        return reference(self.message, definitions)


def reference(message: type[Message], definitions: Definitions) -> dict[str, Any]:
    """A reference to a message's schema, which is written where it is not yet."""
    return definitions.ref(message.definition_name(), lambda: _written(message, definitions), message)


def doc(thing: Any) -> str:
    """The docstring of a class or a function, without its indents."""
    return inspect.cleandoc(thing.__doc__ or "")


def _written(message: type[Message], definitions: Definitions) -> dict[str, Any]:
    fields = message.all_fields()
    written: dict[str, Any] = {
        "type": "object",
        "properties": {str(field.name): _property(field, definitions) for field in fields},
    }
    required = sorted(str(field.name) for field in fields if field.required)
    if required:
        written["required"] = required
    if definitions.version != "2.0" and doc(message):
        written["description"] = doc(message)
    return written


def _property(field: Field, definitions: Definitions) -> dict[str, Any]:
    one = reference(field.type, definitions) if is_message(field) else dialect(value(field), definitions.version)
    found = {"type": "array", "items": one} if field.repeated else one
    if is_message(field) and definitions.version == "2.0" and doc(field.type):
        found = {**found, "description": doc(field.type)}
    return found
