"""Fields: what a message may hold under one name, and how a value is checked when it is assigned.

A field reads as a descriptor without `__set__`: values that are set lie in the message's own dictionary, which Python
looks at first, so only reading an unset field costs a call. Assigning goes through the message, which asks the field.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Self

from authz.frameworks.messages.enums import Variant
from authz.frameworks.messages.errors import (
    FieldDefinitionError,
    InvalidDefaultError,
    InvalidNumberError,
    InvalidVariantError,
    ValidationError,
    shown,
)
from authz.frameworks.messages.lists import FieldList

MAX_FIELD_NUMBER: Final = (1 << 29) - 1
FIRST_RESERVED_FIELD_NUMBER: Final = 19000
LAST_RESERVED_FIELD_NUMBER: Final = 19999


class Field:
    """One field: `StringField(1, required=True)`. Subclasses say which values fit."""

    VARIANTS: ClassVar[tuple[Variant, ...]] = ()
    """The first is the default."""
    takes: ClassVar[str] = "a value"
    """In errors: what fits."""
    type: Any = object
    """The Python type of a value."""

    def __init__(
        self,
        number: int,
        *,
        required: bool = False,
        repeated: bool = False,
        variant: Variant | None = None,
        default: Any = None,
    ) -> None:
        self.number = _checked_number(number)
        self.required = required
        self.repeated = repeated
        self.variant = self._checked_variant(variant)
        self.name: str | None = None
        """Given by the message class that holds the field."""
        self.owner: type | None = None
        if required and repeated:
            raise FieldDefinitionError(f"{self}: a field is required or repeated, not both")
        if repeated and default is not None:
            raise FieldDefinitionError(f"{self}: a repeated field has no default")
        self._default = default if default is None else self._checked_default(default)

    def _checked_variant(self, variant: Variant | None) -> Variant:
        if variant is None:
            return self.VARIANTS[0]
        if variant not in self.VARIANTS:
            allowed = ", ".join(map(str, self.VARIANTS))
            raise InvalidVariantError(
                f"{type(self).__name__}({self.number}): the variant {variant} is none of {allowed}"
            )
        return variant

    def _checked_default(self, default: Any) -> Any:
        try:
            return self._fit(default)
        except ValidationError as error:
            raise InvalidDefaultError(f"{self}: the default does not fit: {error}") from error

    @property
    def default(self) -> Any:
        """What reading gives while nothing is set."""
        return self._default

    def validate_element(self, value: Any) -> Any:
        """One value, as it will be kept.

        Raises:
            ValidationError: it does not fit.
        """
        return self._fit(value)

    def _fit(self, value: Any) -> Any:
        """What `validate_element` does, for each kind of field."""
        raise self.unfit(value)

    def validate(self, value: Any) -> Any:
        """What is assigned, as it will be kept: a list of elements for a repeated field."""
        return FieldList(self, value) if self.repeated else self._fit(value)

    def unfit(self, value: object) -> ValidationError:
        """The error for a value that is not what the field takes."""
        return ValidationError(f"{self} takes {self.takes}, not {shown(value)}")

    def bind(self, owner: type, name: str) -> None:
        """Gives the field to the message class that it was written in."""
        self.owner, self.name = owner, name

    def copied(self, number: int | None = None) -> Self:
        """The same field for another message class, under another number if one is given."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__, name=None, owner=None)
        if number is not None:
            copied.number = _checked_number(number)
        return copied

    def message_definition(self) -> type | None:
        """The message class that holds the field."""
        return self.owner

    def __get__(self, message: object, owner: type | None = None) -> Any:
        if message is None:
            return self
        if self.repeated:
            return message.__dict__.setdefault(str(self.name), FieldList(self, ()))
        return self.default

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...] | str:
        if self.owner is None:
            return super().__reduce__()
        return getattr, (self.owner, self.name)

    def __str__(self) -> str:
        place = f"{self.owner.__name__}.{self.name}" if self.owner else f"{self.number}"
        return f"{type(self).__name__} {place}"


def _checked_number(number: object) -> int:
    if type(number) is not int or not 1 <= number <= MAX_FIELD_NUMBER:
        raise InvalidNumberError(f"a field's number is from 1 to {MAX_FIELD_NUMBER}, not {shown(number)}")
    if FIRST_RESERVED_FIELD_NUMBER <= number <= LAST_RESERVED_FIELD_NUMBER:
        raise InvalidNumberError(
            f"the field number {number} is reserved, as all from {FIRST_RESERVED_FIELD_NUMBER} "
            f"to {LAST_RESERVED_FIELD_NUMBER}"
        )
    return number
