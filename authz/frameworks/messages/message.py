"""Messages: classes whose bodies are fields, and instances that hold only values which fit."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any, ClassVar, Self

from authz.frameworks.messages import names
from authz.frameworks.messages.enums import Enum
from authz.frameworks.messages.errors import DuplicateNumberError, MessageDefinitionError, ValidationError
from authz.frameworks.messages.fields import Field
from authz.frameworks.messages.lists import FieldList


class MessageMeta(type):
    """Reads a class body once: tables of its fields by name, in the order of their numbers. Frozen afterwards."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any], **arguments: Any) -> MessageMeta:
        """The class of a body; Message itself is the one without bases."""
        if bases and [base.__bases__ for base in bases if isinstance(base, MessageMeta)] != [(object,)] * len(bases):
            raise MessageDefinitionError(f"{name}: a message class is a child of messages.Message, and has no children")
        found: dict[str, Field] = {}
        for attribute, value in body.items() if bases else ():
            _check_attribute(name, attribute, value)
            if isinstance(value, Field):
                found[attribute] = value
        fields = dict(sorted(found.items(), key=lambda item: item[1].number))
        _check_numbers(name, fields)
        made = super().__new__(cls, name, bases, {**body, "__fields__": fields}, **arguments)
        made._claim(body)
        return made

    def _claim(cls, body: dict[str, Any]) -> None:
        for attribute, value in body.items():
            if isinstance(value, Field):
                value.bind(cls, attribute)
            elif isinstance(value, type):
                names.adopt(cls, attribute, value)

    def __setattr__(cls, name: str, value: object) -> None:
        if not _is_dunder(name):
            raise AttributeError(f"{cls.__name__}.{name}: a message class does not change after it was defined")
        super().__setattr__(name, value)

    def __delattr__(cls, name: str) -> None:
        raise AttributeError(f"{cls.__name__}.{name}: a message class does not change after it was defined")


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _check_attribute(owner: str, name: str, value: object) -> None:
    nested = isinstance(value, MessageMeta) or (isinstance(value, type) and issubclass(value, Enum))
    if not (nested or isinstance(value, Field) or _is_dunder(name)):
        raise MessageDefinitionError(
            f"{owner}.{name}: a message class holds fields, messages and enums only, and this is {value!r}"
        )


def _check_numbers(owner: str, fields: dict[str, Field]) -> None:
    names_by_number: dict[int, str] = {}
    for name, field in fields.items():
        other = names_by_number.setdefault(field.number, name)
        if other != name:
            raise DuplicateNumberError(f"{owner}: {other} and {name} have the number {field.number} both")


class Message(metaclass=MessageMeta):
    """The base of message classes: `class Greeting(Message): text = StringField(1)`; `Greeting(text="hi").text`."""

    __fields__: ClassVar[dict[str, Field]]

    def __init__(self, /, **values: Any) -> None:
        fields, kept = self.__fields__, self.__dict__
        for name, value in values.items():
            field = fields.get(name)
            if value is None or field is None:
                setattr(self, name, value)
            else:
                kept[name] = field.validate(value)

    def __setattr__(self, name: str, value: Any) -> None:
        field = _field(self, name)
        if value is not None:
            self.__dict__[name] = field.validate(value)
        elif field.repeated:
            raise ValidationError(f"{field} is repeated; an empty list empties it, not None")
        else:
            self.__dict__.pop(name, None)

    @classmethod
    def all_fields(cls) -> tuple[Field, ...]:
        """Every field, in the order of their numbers."""
        return tuple(cls.__fields__.values())

    @classmethod
    def field_by_name(cls, name: str) -> Field:
        """The field of that name; KeyError if there is none."""
        return cls.__fields__[name]

    @classmethod
    def field_by_number(cls, number: int) -> Field:
        """The field of that number; KeyError if there is none."""
        return {field.number: field for field in cls.__fields__.values()}[number]

    @classmethod
    def definition_name(cls) -> str:
        """The full name: package, enclosing messages, class."""
        return names.definition_name(cls)

    @classmethod
    def definition_package(cls) -> str | None:
        """What the names of the module's definitions begin with."""
        return names.package(cls.__module__)

    @classmethod
    def outer_definition_name(cls) -> str | None:
        """What stands before the class's own name."""
        return names.definition_name(cls).rpartition(".")[0] or None

    def check_initialized(self) -> None:
        """Raises ValidationError if a required field has no value, here or in a message below."""
        missing = next(_missing(self, ""), None)
        if missing is not None:
            raise ValidationError(f"{type(self).__name__} has no value for the required field {missing}")

    def is_initialized(self) -> bool:
        """Every required field has a value, here and in the messages below."""
        return next(_missing(self, ""), None) is None

    def get_assigned_value(self, name: str) -> Any:
        """What was assigned, without the default; None if nothing was."""
        field = _field(self, name)
        return getattr(self, name) if field.repeated else self.__dict__.get(name)

    def reset(self, name: str) -> None:
        """Makes a field unset."""
        _field(self, name)
        self.__dict__.pop(name, None)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self.__dict__ == other.__dict__ or _assigned(self) == _assigned(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __copy__(self) -> Self:
        copied = type(self)()
        copied.__dict__.update({k: copy(v) if isinstance(v, FieldList) else v for k, v in self.__dict__.items()})
        return copied

    def __repr__(self) -> str:
        values = (f"{name}={self.__dict__[name]!r}" for name in self.__fields__ if name in self.__dict__)
        return f"{type(self).__name__}({', '.join(values)})"


def _field(message: Message, name: str) -> Field:
    field = type(message).__fields__.get(name)
    if field is None:
        known = ", ".join(type(message).__fields__) or "none"
        raise AttributeError(f"{type(message).__name__} has no field {name!r}; its fields: {known}")
    return field


def _assigned(message: Message) -> dict[str, Any]:
    """What is set; a repeated field that was only looked at is not."""
    return {name: value for name, value in message.__dict__.items() if not isinstance(value, FieldList) or value}


def _missing(message: Message, place: str) -> Iterator[str]:
    """Where required values are not, dotted."""
    for name, field in type(message).__fields__.items():
        value = message.__dict__.get(name)
        if value is None:
            if field.required:
                yield place + name
        elif isinstance(value, Message):
            yield from _missing(value, f"{place}{name}.")
        elif isinstance(value, FieldList) and issubclass(field.type, Message):
            for index, element in enumerate(value):
                yield from _missing(element, f"{place}{name}[{index}].")
