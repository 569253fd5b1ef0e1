"""The text of parameters: what it is as JSON, and what is said of text that is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from authz.frameworks.exceptions import InvalidValue
from authz.frameworks.messages import Field, Variant
from authz.frameworks.messages.scalars import RANGES
from authz.frameworks.protojson import scalars

Converter: TypeAlias = Callable[[str, str], object]
"""(text, location) -> a JSON value."""

SHORT_INTEGERS: Final = (Variant.INT32, Variant.UINT32, Variant.SINT32)
TRUTHS: Final = {"1": True, "true": True, "0": False, "false": False}


def converter(field: Field) -> Converter:
    """For a parameter of this field. Strings, 64-bit integers, bytes and dates are JSON as they are written."""
    if field.variant in SHORT_INTEGERS:
        return _integer(*RANGES[field.variant])
    if field.variant is Variant.ENUM:
        return _member(list(field.type.__members__))
    return _OTHERS.get(field.variant, _as_it_is)


def invalid(kind: str, text: str, location: str, remedy: str = "") -> InvalidValue:
    """The error for a parameter; a long text is cut."""
    return InvalidValue(f"Invalid {kind} value: '{scalars.cut(text)}'.{remedy}", location, where="parameter")


def _integer(low: int, high: int) -> Converter:
    def convert(text: str, location: str) -> int:
        if not scalars.INTEGER.fullmatch(text):
            raise invalid("integer", text, location)
        value = int(text)
        if not low <= value <= high:
            raise invalid("integer", text, location, f" Allowed values: {low} to {high}")
        return value

    return convert


def _number(kind: str) -> Converter:
    def convert(text: str, location: str) -> float:
        try:
            return scalars.number(text)
        except scalars.Unfit:
            raise invalid(kind, text, location) from None

    return convert


def _boolean(text: str, location: str) -> bool:
    value = TRUTHS.get(text.lower())
    if value is None:
        raise invalid("boolean", text, location)
    return value


def _member(names: list[str]) -> Converter:
    allowed = frozenset(names)

    def convert(text: str, location: str) -> str:
        if text not in allowed:
            raise invalid("string", text, location, f" Allowed values: {names}")
        return text

    return convert


def _as_it_is(text: str, _location: str) -> str:
    return text


_OTHERS: Final[dict[Variant, Converter]] = {
    Variant.BOOL: _boolean,
    Variant.FLOAT: _number("float"),
    Variant.DOUBLE: _number("double"),
}
