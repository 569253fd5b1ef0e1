"""Message classes: fields with numbers and types, checked whenever they are assigned; enums; their errors.

The names and the behaviour are those of protorpc's `messages`, so that old declarations import from here unchanged.
What is different is written where it is: integers keep within their variant's range, and True is no integer.
"""

from __future__ import annotations

from authz.frameworks.messages.enums import MAX_ENUM_VALUE, Enum, Variant
from authz.frameworks.messages.errors import (
    DecodeError,
    DefinitionNotFoundError,
    DuplicateNumberError,
    EnumDefinitionError,
    Error,
    FieldDefinitionError,
    InvalidDefaultError,
    InvalidNumberError,
    InvalidVariantError,
    MessageDefinitionError,
    ValidationError,
)
from authz.frameworks.messages.fields import (
    FIRST_RESERVED_FIELD_NUMBER,
    LAST_RESERVED_FIELD_NUMBER,
    MAX_FIELD_NUMBER,
    Field,
)
from authz.frameworks.messages.lists import FieldList
from authz.frameworks.messages.message import Message
from authz.frameworks.messages.references import EnumField, MessageField, find_definition
from authz.frameworks.messages.scalars import BooleanField, BytesField, FloatField, IntegerField, StringField

__all__ = [
    "FIRST_RESERVED_FIELD_NUMBER",
    "LAST_RESERVED_FIELD_NUMBER",
    "MAX_ENUM_VALUE",
    "MAX_FIELD_NUMBER",
    "BooleanField",
    "BytesField",
    "DecodeError",
    "DefinitionNotFoundError",
    "DuplicateNumberError",
    "Enum",
    "EnumDefinitionError",
    "EnumField",
    "Error",
    "Field",
    "FieldDefinitionError",
    "FieldList",
    "FloatField",
    "IntegerField",
    "InvalidDefaultError",
    "InvalidNumberError",
    "InvalidVariantError",
    "Message",
    "MessageDefinitionError",
    "MessageField",
    "StringField",
    "ValidationError",
    "Variant",
    "find_definition",
]
