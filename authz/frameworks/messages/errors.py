"""What declaring or filling a message raises; all are children of `Error`.

├── EnumDefinitionError, MessageDefinitionError, DuplicateNumberError   a class that cannot be
├── FieldDefinitionError: InvalidNumberError, InvalidVariantError, InvalidDefaultError
├── DefinitionNotFoundError   a class named by text is nowhere
└── ValidationError, DecodeError   a value that does not fit
"""

from __future__ import annotations

import reprlib


class Error(Exception):
    """The root of what messages raise."""


class EnumDefinitionError(Error):
    """An enum class whose members cannot be."""


class MessageDefinitionError(Error):
    """A message class whose body holds something else than fields, messages and enums."""


class DuplicateNumberError(Error):
    """Two fields of one message have one number."""


class FieldDefinitionError(Error):
    """Arguments of a field that do not go together."""


class InvalidNumberError(FieldDefinitionError):
    """A field's number is out of range, or reserved."""


class InvalidVariantError(FieldDefinitionError):
    """A variant that this type of field does not have."""


class InvalidDefaultError(FieldDefinitionError):
    """A default that the field itself would not take."""


class DefinitionNotFoundError(Error):
    """A field names a class that neither its scopes nor its module know."""


class ValidationError(Error):
    """A value that its field does not take, or a required one that is missing."""


class DecodeError(Error):
    """Text that is no message."""


def shown(value: object) -> str:
    """A value in an error's text, with its type, and never long."""
    return f"{reprlib.repr(value)} ({type(value).__name__})"
