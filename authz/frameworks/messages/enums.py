"""Enums whose members have a name and a number, and look each other up by both."""

from __future__ import annotations

import enum
from typing import Any, Final, Self

from authz.frameworks.messages import names
from authz.frameworks.messages.errors import EnumDefinitionError, shown

MAX_ENUM_VALUE: Final = (1 << 29) - 1


class Enum(enum.Enum):
    """`class Color(Enum): RED = 1`; `Color.RED`, `Color("RED")` and `Color(1)` are one. Ordered by number."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        seen: dict[object, str] = {}
        for name, member in cls.__members__.items():
            _check_number(cls, name, member._value_)
            if member.name != name:
                raise EnumDefinitionError(
                    f"{cls.__name__}.{name}: {member.name} has the number {member._value_} already"
                )
            seen[member._value_] = name

    @classmethod
    def _missing_(cls, value: object) -> Self:
        member = cls.__members__.get(value) if isinstance(value, str) else None
        if member is None:
            raise TypeError(f"{cls.__name__} has no member {shown(value)}; there are {', '.join(cls.__members__)}")
        return member

    @property
    def number(self) -> int:
        """What stands for the member where names are too long."""
        number: int = self._value_
        return number

    @classmethod
    def names(cls) -> list[str]:
        """Every member's name, in the order of the class body."""
        return list(cls.__members__)

    @classmethod
    def numbers(cls) -> list[int]:
        """Every member's number, in the order of the class body."""
        return [member.number for member in cls]

    @classmethod
    def to_dict(cls) -> dict[str, int]:
        """Numbers by name."""
        return {member.name: member.number for member in cls}

    @classmethod
    def lookup_by_name(cls, name: str) -> Self:
        """The member of that name; KeyError if there is none."""
        return cls.__members__[name]

    @classmethod
    def lookup_by_number(cls, number: int) -> Self:
        """The member of that number; KeyError if there is none."""
        return {member.number: member for member in cls}[number]

    @classmethod
    def definition_name(cls) -> str:
        """The full name: package, enclosing messages, class."""
        return names.definition_name(cls)

    def __str__(self) -> str:
        return self.name

    def __int__(self) -> int:
        return self.number

    __index__ = __int__

    def __lt__(self, other: object) -> bool:
        return self.number < other.number if isinstance(other, type(self)) else NotImplemented

    def __le__(self, other: object) -> bool:
        return self.number <= other.number if isinstance(other, type(self)) else NotImplemented

    def __gt__(self, other: object) -> bool:
        return self.number > other.number if isinstance(other, type(self)) else NotImplemented

    def __ge__(self, other: object) -> bool:
        return self.number >= other.number if isinstance(other, type(self)) else NotImplemented


def _check_number(cls: type, name: str, value: object) -> None:
    if type(value) is not int or not 0 <= value <= MAX_ENUM_VALUE:
        raise EnumDefinitionError(
            f"{cls.__name__}.{name} is {shown(value)}; a member is a number, 0 to {MAX_ENUM_VALUE}"
        )


class Variant(Enum):
    """How a field's value is written on the wire; the numbers are those of protocol buffers."""

    DOUBLE = 1
    FLOAT = 2
    INT64 = 3
    UINT64 = 4
    INT32 = 5
    BOOL = 8
    STRING = 9
    MESSAGE = 11
    BYTES = 12
    UINT32 = 13
    ENUM = 14
    SINT32 = 17
    SINT64 = 18
