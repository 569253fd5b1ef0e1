"""What both parsers build, and what both refuse: `Map`s, lists, strings, numbers, booleans and None."""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 100

_JSON_KEY = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}:]', re.DOTALL)


class SyntaxFault(Exception):  # noqa: N818 - it becomes a finding at once
    """A text is not what it should be: the code of the finding, the line, what is wrong, what to do."""

    def __init__(self, code: str, line: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.line, self.message, self.hint = code, line, message, hint


def too_deep(line: int) -> SyntaxFault:
    """The fault of a text that is nested too deeply."""
    return SyntaxFault("too-deep", line, f"nested more than {MAX_DEPTH} levels deep", "Flatten the document.")


class Map(dict[str, Any]):
    """A mapping that knows where it begins, and the line of each of its keys.

    YAML keeps `lines` parallel to the keys. JSON keeps none and looks into the text behind `start` when asked.
    """

    __slots__ = ("line", "lines", "start")

    line: int
    lines: list[int]
    start: int

    @classmethod
    def at(cls, line: int) -> Map:
        """An empty mapping of a YAML text."""
        mapping = cls()
        mapping.line, mapping.lines, mapping.start = line, [], 0
        return mapping

    def line_of(self, key: str, text: str) -> int:
        """The line of a key in the text that the mapping is from; the mapping's own if it has no such key."""
        if key not in self:
            return self.line
        if self.lines:
            return self.lines[list(self).index(key)]
        value = self[key]
        if isinstance(value, Map):
            return value.line
        return self.line + text.count("\n", self.start, _json_key(text, self.start, key))


class Real(float):
    """A number with a point that remembers its text: the version 1.10 is not the version 1.1."""

    __slots__ = ("text",)

    text: str

    @classmethod
    def of(cls, text: str) -> Real:
        """The number that a text spells."""
        number = cls(text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


def kind(value: object) -> str:
    """What a value of a document is, for messages."""
    if isinstance(value, bool):
        return "a boolean"
    kinds = ((dict, "a mapping"), (list, "a list"), (str, "a string"), (int, "an integer"), (float, "a number"))
    return next((name for type_, name in kinds if isinstance(value, type_)), "empty")


def _json_key(text: str, start: int, key: str) -> int:
    """Where in a JSON text the key of the object that begins at `start` stands."""
    depth, last, string = 0, start, ""
    for match in _JSON_KEY.finditer(text, start):
        found = match.group()
        if found[0] == '"':
            last, string = match.start(), found
        elif found == ":":
            if depth == 1 and json.loads(string) == key:
                return last
        else:
            depth += 1 if found in "{[" else -1
            if not depth:
                break
    return start
