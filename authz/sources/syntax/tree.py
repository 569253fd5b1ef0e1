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
    Both are made into a dictionary at the first question: most mappings are never asked.
    """

    __slots__ = ("index", "line", "lines", "start")

    line: int
    lines: list[int]
    start: int
    index: dict[str, int]

    @classmethod
    def at(cls, line: int) -> Map:
        """An empty mapping of a YAML text."""
        mapping = cls()
        mapping.line, mapping.lines, mapping.start = line, [], 0
        return mapping

    def line_of(self, key: str, text: str) -> int:
        """The line of a key in the text that the mapping is from; the mapping's own if it has no such key."""
        value = self.get(key)
        if isinstance(value, Map) and not self.lines:
            return value.line
        if not hasattr(self, "index"):
            self.index = dict(zip(self, self.lines, strict=True)) if self.lines else _json_lines(self, text)
        return self.index.get(key, self.line)


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


def _json_lines(mapping: Map, text: str) -> dict[str, int]:
    """The lines of an object's keys, from the JSON text that it is in."""
    lines: dict[str, int] = {}
    depth, string = 0, ""
    line, seen = mapping.line, mapping.start
    for match in _JSON_KEY.finditer(text, mapping.start):
        found = match.group()
        if found[0] == '"':
            string, at = found, match.start()
        elif found != ":":
            depth += 1 if found in "{[" else -1
            if not depth:
                break
        elif depth == 1:
            line += text.count("\n", seen, at)
            seen = at
            lines[json.loads(string)] = line
    return lines
