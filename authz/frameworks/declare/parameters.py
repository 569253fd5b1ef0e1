"""The fields of a message as parameters of path and query; those of nested messages have dotted names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from authz.frameworks.declare import schema
from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.message_types import DateTimeField
from authz.frameworks.messages import Field, Message
from authz.frameworks.service import Parameter


@dataclass(frozen=True, slots=True)
class Leaf:
    """One field that a parameter can fill: `name` is dotted, `required` holds for all on the way."""

    name: str
    field: Field
    required: bool
    numbers: tuple[int, ...] = ()
    """Of the fields on the way to one in a path."""

    def parameter(self, in_path: Iterable[str]) -> Parameter:
        """The field as a parameter; one in the path is always required."""
        where = "path" if self.name in in_path else "query"
        return Parameter(
            name=self.name,
            where=where,  # type: ignore[arg-type]  # mypy widens the condition
            schema=schema.value(self.field),
            required=self.required or where == "path",
            repeated=self.field.repeated,
        )


def leaves(
    fields: Iterable[tuple[str, Field]], prefix: str = "", required: bool = True, above: tuple[type[Message], ...] = ()
) -> Iterator[Leaf]:
    """Every field that is no message, in the order of numbers, messages followed until they come round again.

    A list of messages is no parameter: nothing in a query says where one ends.
    """
    for name, field in fields:
        needed = required and field.required
        if not schema.is_message(field):
            yield Leaf(prefix + name, field, needed)
        elif not field.repeated and field.type not in above:
            yield from leaves(named(field.type), f"{prefix}{name}.", needed, (*above, field.type))


def named(message: type[Message]) -> list[tuple[str, Field]]:
    """The fields of a message with their names."""
    return [(str(field.name), field) for field in message.all_fields()]


def in_path(names: Sequence[str], fields: Sequence[tuple[str, Field]], place: str) -> dict[str, Leaf]:
    """The fields that the variables of a path fill, in the order of numbers.

    Raises:
        ApiConfigurationError: nothing has the name, or it is a list.
        TypeError: a field on the way is no message, or the last one is.
    """
    found = [_filled(name, dict(fields), place) for name in names]
    return {leaf.name: leaf for leaf in sorted(found, key=attrgetter("numbers"))}


def _filled(name: str, fields: dict[str, Field], place: str) -> Leaf:
    first, *rest = name.split(".")
    field = fields.get(first)
    if field is None:
        known = ", ".join(fields) or "none"
        message = f"{place}: the path variable '{name}' is no field of what the method takes; its fields: {known}"
        raise ApiConfigurationError(message)
    if field.repeated and not rest:
        message = f"{place}: the path variable '{name}' is a repeated field; one segment holds one value"
        raise ApiConfigurationError(message)
    numbers = [field.number]
    for part in rest:
        inner = dict(named(field.type)) if schema.is_message(field) and not field.repeated else {}
        if part not in inner:
            message = f"{place}: the path variable '{name}' leads nowhere: '{part}' is no field of {_type(field)}"
            raise TypeError(message)
        field = inner[part]
        numbers.append(field.number)
    if schema.is_message(field) or isinstance(field, DateTimeField):
        message = f"{place}: the path variable '{name}' is {_type(field)}; a path holds single plain values"
        raise TypeError(message)
    return Leaf(name, field, required=True, numbers=tuple(numbers))


def _type(field: Field) -> str:
    return f"a list of {field.type.__name__}" if field.repeated else str(field.type.__name__)
