"""Messages to JSON: what is set, and nothing else; 64-bit integers as text, as JavaScript needs them.

Most fields are written as they are; only those that need something done are visited (`_Writer`).
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime
from functools import cache
from math import isfinite
from typing import Any, Final, TypeAlias

from authz.frameworks.messages import Field, Message, ValidationError, Variant

_Writer: TypeAlias = Callable[[Any], Any]

_write: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False, sort_keys=True).encode


def encode(message: Message) -> bytes:
    """JSON text: ASCII, compact, sorted by name.

    Raises:
        ValidationError: a required field has no value, or a number is NaN or infinite.
    """
    data = writer(type(message))(message)
    try:
        return _write(data).encode("ascii")
    except ValueError:
        place = next(_not_finite(data, ""), "a number")
        raise ValidationError(f"{type(message).__name__}: {place} is no number that JSON has") from None


def to_json(message: Message) -> dict[str, Any]:
    """The message as the JSON module's types; raises ValidationError for a required field without a value."""
    return writer(type(message))(message)


@cache
def writer(message: type[Message]) -> Callable[[Message], dict[str, Any]]:
    """What writes one message class; compiled once."""
    repeated = [(name, _element_writer(field)) for name, field in message.__fields__.items() if field.repeated]
    single = [
        (name, one)
        for name, field in message.__fields__.items()
        if not field.repeated and (one := _element_writer(field)) is not None
    ]
    required = frozenset(name for name, field in message.__fields__.items() if field.required)

    def write(value: Message) -> dict[str, Any]:
        data = value.__dict__.copy()
        for name, one in single:
            if name in data:
                data[name] = one(data[name])
        for name, one_of in repeated:
            if name in data:
                _write_list(data, name, one_of)
        if required and not required <= data.keys():
            value.check_initialized()
        return data

    return write


def _write_list(data: dict[str, Any], name: str, write: _Writer | None) -> None:
    values = data[name]
    if not values:
        del data[name]
    else:
        data[name] = list(values) if write is None else [write(value) for value in values]


def _base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")


def _name(value: Any) -> str:
    return value._name_  # type: ignore[no-any-return]  # what `name` reads, without asking a descriptor


_WRITERS: Final[dict[Variant, _Writer]] = {
    Variant.INT64: str,
    Variant.UINT64: str,
    Variant.SINT64: str,
    Variant.BYTES: _base64,
    Variant.ENUM: _name,
}


def _element_writer(field: Field) -> _Writer | None:
    """What makes JSON of one value; None if it is JSON already."""
    if field.variant is not Variant.MESSAGE:
        return _WRITERS.get(field.variant)
    return datetime.isoformat if field.type is datetime else _message_writer(field.type)


def _message_writer(message: type[Message]) -> _Writer:
    def write(value: Message) -> dict[str, Any]:
        return writer(message)(value)  # looked up late: a message may hold itself

    return write


def _not_finite(data: Any, place: str) -> Any:
    """Where the numbers are that JSON has not."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _not_finite(value, f"{place}.{name}" if place else name)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _not_finite(value, f"{place}[{index}]")
    elif isinstance(data, float) and not isfinite(data):
        yield place
