"""Fields whose type is another definition: enums and messages, given as classes or, where those come later, by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from authz.frameworks.messages.enums import Enum, Variant
from authz.frameworks.messages.errors import (
    DefinitionNotFoundError,
    FieldDefinitionError,
    InvalidDefaultError,
    ValidationError,
    shown,
)
from authz.frameworks.messages.fields import Field
from authz.frameworks.messages.message import Message


class _ReferenceField(Field):
    """A field of another class: the class is looked up when it is first needed, and then kept."""

    base: type

    def __init__(self, referred: type | str, number: int, **arguments: Any) -> None:
        self._referred = referred if isinstance(referred, str) else self._checked_type(referred)
        super().__init__(number, **arguments)

    def _checked_type(self, referred: object) -> type:
        if isinstance(referred, type) and issubclass(referred, self.base) and referred is not self.base:
            return referred
        raise FieldDefinitionError(
            f"{type(self).__name__} takes a child of {self.base.__name__} or its name, not {referred!r}"
        )

    @property
    def type(self) -> Any:
        """The class of the values.

        Raises:
            DefinitionNotFoundError: no class of that name is in the field's scopes.
        """
        if isinstance(self._referred, str):
            self._referred = self._checked_type(find_definition(self._referred, self.owner))
        return self._referred


class EnumField(_ReferenceField):
    """A member of an enum; its name in JSON."""

    VARIANTS = (Variant.ENUM,)
    base = Enum

    @property
    def takes(self) -> str:  # type: ignore[override]  # reading is all that is done with it
        """In errors: what fits."""
        return f"a member of {self.type.__name__}"

    def _fit(self, value: Any) -> Any:
        if isinstance(value, self.type):
            return value
        raise self.unfit(value)

    def _checked_default(self, default: Any) -> Any:
        """Members, names and numbers can be defaults; a class that is not there yet is asked when it is."""
        return default if isinstance(self._referred, str) else self._member(default)

    @property
    def default(self) -> Any:
        """What reading gives while nothing is set."""
        if self._default is not None and not isinstance(self._default, Enum):
            self._default = self._member(self._default)
        return self._default

    def _member(self, default: Any) -> Any:
        try:
            return self.type(default)
        except TypeError as error:
            raise InvalidDefaultError(f"{self}: the default does not fit: {error}") from error


class MessageField(_ReferenceField):
    """Another message; a dictionary of its fields becomes one."""

    VARIANTS = (Variant.MESSAGE,)
    base = Message

    def __init__(
        self,
        message_type: type[Message] | str,
        number: int,
        *,
        required: bool = False,
        repeated: bool = False,
        variant: Variant | None = None,
    ) -> None:
        super().__init__(message_type, number, required=required, repeated=repeated, variant=variant)

    @property
    def message_type(self) -> Any:
        """The class of the message that carries the value."""
        return self.type

    def _fit(self, value: Any) -> Any:
        if isinstance(value, self.type):
            return value
        if isinstance(value, Mapping):
            return self._made(value)
        raise ValidationError(f"{self} takes a {self.type.__name__} or a dictionary, not {shown(value)}")

    def _made(self, value: Mapping[str, Any]) -> Any:
        try:
            return self.type(**value)
        except AttributeError as error:
            raise ValidationError(f"{self}: {error}") from error

    def value_from_message(self, message: Any) -> Any:
        """The field's value, from the message that carries it."""
        return message

    def value_to_message(self, value: Any) -> Any:
        """The message that carries a value."""
        return value


def find_definition(name: str, relative_to: type | None) -> object:
    """The class of a dotted name, as seen from inside `relative_to`: its own scope, those around it, its module.

    Raises:
        DefinitionNotFoundError: nothing of that name is there.
    """
    parts = name.lstrip(".").split(".")
    for scope in _scopes(relative_to):
        inside = parts[1:] if getattr(scope, "__name__", "") == parts[0] else parts  # a local class is in no module
        found = _attribute(scope, parts) or _attribute(scope, inside)
        if found is not None:
            return found
    found = _imported(name.lstrip("."))
    if found is None:
        seen = f", seen from {relative_to.__module__}.{relative_to.__qualname__}" if relative_to else ""
        raise DefinitionNotFoundError(f"there is no definition {name!r}{seen}")
    return found


def _scopes(inner: type | None) -> Iterator[object]:
    module = sys.modules.get(inner.__module__) if inner else None
    while inner is not None:
        yield inner
        inner = inner.__dict__.get("__outer__")
    yield module


def _attribute(scope: object, parts: list[str]) -> object | None:
    for part in parts:
        scope = getattr(scope, part, None)
    return scope


def _imported(name: str) -> object | None:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module), attribute, None) if module else None
    except ImportError:
        return None
