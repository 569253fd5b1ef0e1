"""JSON to messages.

null and [] are unset. Members that the message does not have are left out, and never come back. One value for a
repeated field is a list of it; a list for a field that is not repeated is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from operator import length_hint
from typing import Any, TypeVar, cast

from authz.frameworks.exceptions import InvalidValue
from authz.frameworks.messages import Field, FieldList, Message
from authz.frameworks.protojson import scalars
from authz.frameworks.protojson.scalars import Reader, Unfit, unfit

M = TypeVar("M", bound=Message)


def decode(message: type[M], data: object) -> M:
    """The message of parsed JSON.

    Raises:
        InvalidValue: it is no object, or a member does not fit; `location` says which.
    """
    try:
        return cast("M", decoder(message)(data))
    except Unfit as error:
        place = error.place
        raise InvalidValue(f"{place}: {error.reason}" if place else error.reason, place) from None
    except RecursionError:
        raise InvalidValue("The JSON is nested too deeply.") from None


def parse(message: type[M], text: str | bytes) -> M:
    """The message of JSON text; `decode` says what is raised."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"This is no JSON: {error}") from None
    return decode(message, data)


@cache
def decoder(message: type[Message]) -> Callable[[Any], Message]:
    """What reads one message class; compiled once."""
    readers = {name: _field_reader(field) for name, field in message.__fields__.items()}
    required = frozenset(name for name, field in message.__fields__.items() if field.required)
    find, make, fill = readers.get, message.__new__, object.__setattr__

    def read(data: Any) -> Message:
        if type(data) is not dict:
            raise unfit("an object", data)
        values = {}
        for name, value in data.items():
            known = find(name)
            if known is not None and value is not None:
                try:
                    values[name] = known(value)
                except Unfit as error:
                    raise error.within(name) from None
        if required and not required <= values.keys():
            missing = next(name for name in readers if name in required and name not in values)
            raise Unfit("This field is required.").within(missing)
        made = make(message)
        fill(made, "__dict__", values)
        return made

    return read


def _field_reader(field: Field) -> Reader:
    one = _message_reader(field.type) if _is_message(field) else scalars.reader(field)
    return _repeated(field, one) if field.repeated else one


def _is_message(field: Field) -> bool:
    return issubclass(field.type, Message)


def _message_reader(message: type[Message]) -> Reader:
    def read(value: Any) -> Message:
        return decoder(message)(value)  # looked up late: a message may hold itself

    return read


def _repeated(field: Field, read_one: Reader) -> Reader:
    trusted = FieldList.trusted

    def read(value: Any) -> FieldList:
        if type(value) is not list:
            return trusted(field, (read_one(value),))
        elements = iter(value)
        try:
            return trusted(field, map(read_one, elements))
        except Unfit as error:
            raise error.within(len(value) - 1 - length_hint(elements)) from None

    return read
