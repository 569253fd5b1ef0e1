"""The value of a repeated field: a list that lets in only what its field takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, Self, SupportsIndex

from authz.frameworks.messages.errors import ValidationError, shown


class Takes(Protocol):
    """A field, as far as its lists know it."""

    def validate_element(self, value: Any) -> Any:
        """One value, as it will be kept.

        Raises:
            ValidationError: it does not fit.
        """


class FieldList(list[Any]):
    """The values of a repeated field; whatever is put in is checked as an assignment would be."""

    __slots__ = ("field",)

    def __init__(self, field: Takes, values: Iterable[Any]) -> None:
        if not isinstance(values, list | tuple):
            raise ValidationError(f"{field} is repeated and takes a list or a tuple, not {shown(values)}")
        self.field = field
        super().__init__(self._checked(values))

    @classmethod
    def trusted(cls, field: Takes, values: Iterable[Any]) -> FieldList:
        """A list of values that have been checked."""
        made = cls.__new__(cls)
        made.field = field
        list.extend(made, values)
        return made

    def _element(self, value: Any) -> Any:
        if value is None:
            raise ValidationError(f"{self.field} is repeated; None cannot be one of its values")
        return self.field.validate_element(value)

    def _checked(self, values: Iterable[Any]) -> list[Any]:
        return [self._element(value) for value in values]

    def append(self, value: Any) -> None:
        """Adds a value at the end."""
        super().append(self._element(value))

    def insert(self, index: SupportsIndex, value: Any) -> None:
        """Puts a value before another."""
        super().insert(index, self._element(value))

    def extend(self, values: Iterable[Any]) -> None:
        """Adds several values."""
        super().extend(self._checked(values))

    def __iadd__(self, values: Iterable[Any]) -> Self:  # type: ignore[misc]  # list's takes the same
        self.extend(values)
        return self

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, self._checked(value) if isinstance(index, slice) else self._element(value))

    def __reduce__(self) -> tuple[Any, ...]:
        return FieldList.trusted, (self.field, list(self))

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return self.__reduce__()

    def __copy__(self) -> FieldList:
        return FieldList.trusted(self.field, self)
