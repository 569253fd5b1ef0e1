"""One setting: its type and its range, how it is spelled, and how a value of it is read from text."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from authz.errors import UsageError

YEAR_SECONDS = 31_536_000
"""The longest time that a setting can be: more is a mistake, and at some point more than Envoy can count."""

MAX_PORT = 65535
MAX_INTEGER = 2**31 - 1
MOST = {"s": YEAR_SECONDS, "KiB": 8192}
"""The largest number of a unit; 8192 KiB of headers is what Envoy allows."""


def setting(
    default: Any,
    group: str,
    sentence: str,
    *,
    espv2: str = "",
    unit: str = "",
    above_zero: bool = False,
    limit: int = MAX_INTEGER,
) -> Any:
    """A field of the table: what it is by default, where it belongs, and what it is for."""
    row = {"group": group, "sentence": sentence, "espv2": espv2, "unit": unit, "above_zero": above_zero, "limit": limit}
    return field(default=default, metadata=row)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `kind` is a type, or `tuple[T, ...]`'s T with `many`; `choices` of a Literal."""

    name: str
    kind: type
    default: Any
    group: str
    sentence: str
    espv2: str
    unit: str
    above_zero: bool = False
    limit: int = MAX_INTEGER
    many: bool = False
    choices: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """The command line's spelling."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "AUTHZ_" + self.name.upper()

    @property
    def most(self) -> int:
        """The largest number that it can be."""
        return MAX_PORT if self.name.endswith("port") else MOST.get(self.unit, self.limit)

    def checked(self, value: Any, where: str) -> Any:
        """The value, if it is in range.

        Raises:
            UsageError: a number is too small or too large.
        """
        if self.kind in {int, float}:
            for number in value if self.many else (value,):
                # The other way round, "not a number" would pass.
                if not (0 <= number <= self.most and (number or not self.above_zero)):
                    lower = "more than 0" if self.above_zero else "0 or more"
                    raise UsageError(f"{where} is {number}", f"Write a number: {lower}, and at most {self.most}.")
        return value

    def parse(self, text: str, where: str) -> Any:
        """A value from text.

        Raises:
            UsageError: the text is not of the setting's type.
        """
        if self.many:
            return tuple(self._one(part.strip(), where) for part in text.split(";") if part.strip())
        return self._one(text, where)

    def _one(self, text: str, where: str) -> Any:
        if self.kind is bool:
            if text.lower() in {"1", "true", "yes", "on"}:
                return True
            if text.lower() in {"0", "false", "no", "off", ""}:
                return False
            raise UsageError(f"{where} is '{text}'", "Write true or false.")
        if self.choices and text not in self.choices:
            raise UsageError(
                f"{where} is '{text}'", f"Write one of: {', '.join(c or '(empty)' for c in self.choices)}."
            )
        try:
            return self.kind(text)
        except ValueError:
            wanted = "whole number" if self.kind is int else "number"
            raise UsageError(f"{where} is '{text}'", f"Write a {wanted}.") from None


def rows(table: type) -> tuple[Setting, ...]:
    """The fields of a table as settings."""
    hints = typing.get_type_hints(table)
    found = []
    for item in dataclasses.fields(table):
        hint, many, choices = hints[item.name], False, ()
        if typing.get_origin(hint) is tuple:
            hint, many = typing.get_args(hint)[0], True
        if typing.get_origin(hint) is Literal:
            choices, hint = typing.get_args(hint), str
        found.append(Setting(item.name, hint, item.default, **item.metadata, many=many, choices=choices))
    return tuple(found)
