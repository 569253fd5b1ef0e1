"""A mapping of a document, read by type: every getter answers the wanted type or reports where it is not.

Names of extension fields come in two spellings, `path_translation` (OpenAPI 2.0) and `pathTranslation` (3.x); both
are read everywhere, so getters take several names and use the first that is present.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from authz.sources.document import Document
from authz.sources.syntax.tree import Map, Real, kind

_MAX_HOPS = 50
INT64 = 1 << 63


class Node:
    """One mapping of a document; `name` is what messages call it."""

    __slots__ = ("document", "name", "value")

    def __init__(self, document: Document, value: Map, name: str) -> None:
        self.document = document
        self.value = value
        self.name = name

    def __contains__(self, key: str) -> bool:
        return key in self.value

    def __bool__(self) -> bool:
        return True

    def line(self, key: str = "") -> int:
        """The line of a key, or of the mapping itself."""
        return self.document.line_of(self.value, key) if key else self.value.line

    def report(self, code: str, message: str, hint: str = "", key: str = "") -> None:
        """Remember a finding at a key of this mapping."""
        self.document.report(code, self.line(key), message, hint)

    def pick(self, names: tuple[str, ...]) -> str:
        """The first of the names that is a key here with a value, or ''."""
        for name in names:
            if self.value.get(name) is not None:
                return name
        return ""

    def wrong(self, key: str, wanted: str) -> None:
        """Report a value of the wrong type."""
        message = f"'{key}' of {self.name} must be {wanted}, but is {kind(self.value[key])}"
        self.report("wrong-type", message, f"Write {wanted} here.", key)

    def text(self, *names: str) -> str:
        """A string; '' if there is none."""
        key = self.pick(names)
        value = self.value.get(key, "")
        if isinstance(value, str):
            return value.strip()
        self.wrong(key, "a string")
        return ""

    def label(self, *names: str) -> str:
        """A string that people often forget to quote, such as a version: numbers are taken as they are written."""
        key = self.pick(names)
        value = self.value.get(key)
        if isinstance(value, (int, Real)) and not isinstance(value, bool):
            return str(value)
        return self.text(*names)

    def flag(self, *names: str) -> bool | None:
        """A boolean; None if there is none."""
        key = self.pick(names)
        value = self.value.get(key)
        if value is None or isinstance(value, bool):
            return value
        self.wrong(key, "true or false")
        return None

    def number(self, *names: str, suffix: str = "") -> float | None:
        """A finite number, quoted or not; None if there is none. `suffix` is a unit that may follow."""
        key = self.pick(names)
        value = self.value.get(key)
        if value is None:
            return None
        if isinstance(value, str) and suffix:
            value = value.strip().removesuffix(suffix)
        try:
            number = float(value) if not isinstance(value, bool) else math.nan
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
        self.wrong(key, "a number of seconds")
        return None

    def integer(self, *names: str) -> int | None:
        """A 64-bit integer, quoted or not; None if there is none."""
        key = self.pick(names)
        value = self.value.get(key)
        if isinstance(value, str) and value.strip().lstrip("-").isdecimal() and len(value) < 25:
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and -INT64 <= value < INT64):
            return value
        self.wrong(key, "an integer")
        return None

    def child(self, *names: str) -> Node | None:
        """A mapping below a key; None if there is none."""
        key = self.pick(names)
        value = self.value.get(key)
        if value is None:
            return None
        if isinstance(value, Map):
            return Node(self.document, value, f"'{key}'")
        self.wrong(key, "a mapping")
        return None

    def children(self, *names: str) -> Iterator[Node]:
        """The mappings of a list below a key."""
        key = self.pick(names)
        for item in self._list(key):
            if isinstance(item, Map):
                yield Node(self.document, item, f"an entry of '{key}'")
            else:
                message = f"an entry of '{key}' must be a mapping, but is {kind(item)}"
                self.report("wrong-type", message, "Write a mapping here.", key)

    def texts(self, *names: str) -> tuple[str, ...]:
        """The strings of a list below a key."""
        key = self.pick(names)
        items = self._list(key)
        if all(isinstance(item, str) for item in items):
            return tuple(item.strip() for item in items if item.strip())
        self.wrong(key, "a list of strings")
        return ()

    def _list(self, key: str) -> list[Any]:
        value = self.value.get(key)
        if value is None:
            return []
        if isinstance(value, list):
            return value
        self.wrong(key, "a list")
        return []

    def members(self) -> Iterator[tuple[str, Node]]:
        """The keys, whatever they are called, with the mappings that their values must be; empty is a mapping too."""
        for key, value in self.value.items():
            if value is None:
                yield key, Node(self.document, Map.at(self.line(key)), f"'{key}'")
            elif node := self.child(key):
                yield key, node

    def choice(self, values: tuple[str, ...], *names: str) -> str:
        """One of a few strings; '' if there is none."""
        key = self.pick(names)
        text = self.text(*names)
        if not text or text in values:
            return text
        wanted = " or ".join(f"'{value}'" for value in values)
        self.report("bad-value", f"'{key}' of {self.name} is '{text}'", f"Write {wanted}.", key)
        return ""

    def known(self, *names: str) -> None:
        """Warn of keys that mean nothing here."""
        for key in self.value:
            if key not in names:
                hint = f"Known fields: {', '.join(names)}."
                self.report("unknown-field", f"'{key}' means nothing in {self.name}", hint, key)

    def resolved(self) -> Node | None:
        """What `$ref` leads to, or this mapping itself without one; None (and a finding) if it leads nowhere."""
        node, seen = self, set[str]()
        while "$ref" in node.value:
            pointer = node.text("$ref")
            if pointer in seen or len(seen) > _MAX_HOPS:
                node.report("ref-cycle", f"'$ref: {pointer}' leads back to itself", "Point it at a value.", "$ref")
                return None
            seen.add(pointer)
            following = node.follow(pointer)
            if following is None:
                return None
            node = following
        return node

    def follow(self, pointer: str) -> Node | None:
        """The mapping that a reference of this document points at."""
        if not pointer.startswith("#"):
            hint = "Copy the part into this document and refer to it with '#/...'."
            self.report("ref-external", f"'$ref: {pointer}' points outside of the document", hint, "$ref")
            return None
        value: Any = self.document.root
        for part in pointer[1:].split("/")[1:]:
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            value = value.get(name) if isinstance(value, Map) else _item(value, name)
        if isinstance(value, Map):
            return Node(self.document, value, self.name)
        hint = "Define it, or correct the name."
        self.report("ref-dangling", f"'$ref: {pointer}' points at nothing of the right kind", hint, "$ref")
        return None


def _item(value: Any, name: str) -> Any:
    if isinstance(value, list) and name.isdecimal() and len(name) < 10 and int(name) < len(value):
        return value[int(name)]
    return None
