"""One JSON value to one Python value, for each kind of field; also what a parameter's text is, before that.

Readers take a JSON value and return the field's value, or raise Unfit. They are made once for each field, with the
range or the table of names that they need, and look at the exact type of what the JSON parser makes: True is no
integer here, though Python says it is one.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Callable
from datetime import datetime
from math import isfinite
from typing import Any, Final, TypeAlias

from authz.frameworks.messages import Enum, Field, Variant
from authz.frameworks.messages.scalars import RANGES

Reader: TypeAlias = Callable[[Any], Any]

INTEGER: Final = re.compile(r"\s*[+-]?[0-9]{1,40}\s*", re.ASCII)
"""No 64-bit integer has more than 20 digits; the rest is for zeros in front."""
NUMBER: Final = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?\s*", re.ASCII | re.IGNORECASE)
MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})?",
    re.IGNORECASE,
)
NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/]")
URL_SAFE: Final = str.maketrans("-_", "+/")
SHOWN: Final = 60
"""Characters of a wrong value that its error repeats."""
SHOWN_NAMES: Final = 20
"""Members of an enum that an error lists."""


class Unfit(Exception):  # noqa: N818  # raised and caught inside this room; a value is it
    """A value is not what its field takes; `path` grows on the way out of nested ones, innermost first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str | int] = []

    def within(self, step: str | int) -> Unfit:
        """The same, one step further out."""
        self.path.append(step)
        return self

    @property
    def place(self) -> str:
        """The path as people write it: `a.items[2].price`."""
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in reversed(self.path))
        return "".join(steps).removeprefix(".")


def unfit(expected: str, value: object) -> Unfit:
    """The error for a value that is no `expected`."""
    found = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else cut(json.dumps(value))
    return Unfit(f"Expected {expected}, found {found}.")


def cut(text: str) -> str:
    """As much of a wrong value as an error repeats."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def text(value: Any) -> Any:
    """STRING."""
    if type(value) is str:
        return value
    raise unfit("a string", value)


def boolean(value: Any) -> Any:
    """BOOL."""
    if type(value) is bool:
        return value
    raise unfit("true or false", value)


def number(value: Any) -> float:
    """DOUBLE and FLOAT: a finite number, or the text of one."""
    kind = type(value)
    try:
        if kind is float or kind is int or (kind is str and NUMBER.fullmatch(value)):
            read = float(value)
            if isfinite(read):
                return read
    except OverflowError:
        pass
    raise unfit("a number", value)


def integer(low: int, high: int) -> Reader:
    """INT32 and the like: a JSON number without a fraction, or the text of one, within bounds."""
    expected = f"an integer from {low} to {high}"

    def read(value: Any) -> int:
        if type(value) is not int:
            value = _whole(value, expected)
        if low <= value <= high:
            return int(value)
        raise unfit(expected, value)

    return read


def _whole(value: Any, expected: str) -> int:
    if type(value) is str and INTEGER.fullmatch(value):
        return int(value)
    if type(value) is float and value.is_integer():
        return int(value)
    raise unfit(expected, value)


def raw(value: Any) -> bytes:
    """BYTES: base64 of either alphabet; padding and foreign characters do not count."""
    if type(value) is not str:
        raise unfit("base64 text", value)
    digits = NOT_BASE64.sub("", value.translate(URL_SAFE))
    try:
        return b64decode(digits + "=" * (-len(digits) % 4))
    except binascii.Error:
        raise unfit("base64 text", value) from None


def moment(value: Any) -> datetime:
    """A date and a time, with the offset that is written, or naive if none is."""
    if type(value) is str and MOMENT.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper())
        except ValueError:
            pass
    raise unfit("a date and time like 2020-01-02T03:04:05Z", value)


def member(kind: type[Enum]) -> Reader:
    """ENUM: a name, or a number."""
    by_name, by_number = dict(kind.__members__), {one.number: one for one in kind}
    some = list(by_name)[:SHOWN_NAMES]
    expected = f"one of {', '.join(some)}{', …' if len(by_name) > len(some) else ''}"

    def read(value: Any) -> Any:
        found = by_name.get(value) if type(value) is str else by_number.get(value) if type(value) is int else None
        if found is None:
            raise unfit(expected, value)
        return found

    return read


FIXED: Final[dict[Variant, Reader]] = {
    Variant.STRING: text,
    Variant.BOOL: boolean,
    Variant.DOUBLE: number,
    Variant.FLOAT: number,
    Variant.BYTES: raw,
}


def reader(field: Field) -> Reader:
    """What reads one JSON value of a field that is no message."""
    if field.variant in RANGES:
        return integer(*RANGES[field.variant])
    if field.variant is Variant.ENUM:
        return member(field.type)
    return moment if field.type is datetime else FIXED[field.variant]
