"""JSON through the standard library's C scanner; the lines come from a second look at the braces."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from authz.sources.syntax.tree import MAX_DEPTH, Map, Real, SyntaxFault, too_deep

_BRACE = re.compile(r'[^{}"]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^{}"]*)*([{}])', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")

Repeated = list[tuple[str, int]]


def read(text: str) -> tuple[Any, Repeated]:
    """The tree of a JSON text, and the keys that stand twice in a mapping.

    Raises:
        SyntaxFault: it is not JSON.
    """
    text = text.rstrip()
    closed: list[Map] = []
    twice: list[tuple[Map, str]] = []

    def close(pairs: list[tuple[str, Any]]) -> Map:
        mapping = Map(pairs)
        if len(mapping) != len(pairs):
            twice.append((mapping, _first_repeated(pairs)))
        closed.append(mapping)
        return mapping

    try:
        root = json.loads(text, object_pairs_hook=close, parse_float=Real.of)
    except json.JSONDecodeError as error:
        raise SyntaxFault("file-syntax", error.lineno, f"this is not JSON: {error.msg}", "Mend it here.") from None
    except RecursionError:
        raise too_deep(1) from None
    except ValueError as error:
        raise SyntaxFault("file-syntax", 1, f"this is not JSON: {error}", "Write smaller numbers.") from None
    _locate(text, closed)
    _check_surrogates(text, root)
    return root, [(key, mapping.line) for mapping, key in twice]


def _check_surrogates(text: str, root: Any) -> None:
    """Half a UTF-16 pair, which JSON can spell, is a character that nothing behind us could write down."""
    match = _SURROGATE.search(text)
    if match is None:
        return
    try:
        json.dumps(root, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        line = text.count("\n", 0, match.start()) + 1
        message = f"'{match.group()}' is half of a character"
        raise SyntaxFault("file-not-text", line, message, "Write the character itself, or both halves.") from None


def _first_repeated(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    return next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]


def _locate(text: str, closed: Iterable[Map]) -> None:
    """Give the objects of a JSON text their lines. They come in the order of their closing braces."""
    mappings = iter(closed)
    still_open: list[tuple[int, int]] = []
    line, seen = 1, 0
    for match in _BRACE.finditer(text):
        at = match.start(1)
        if text[at] == "{":
            line += text.count("\n", seen, at)
            seen = at
            still_open.append((at, line))
            if len(still_open) > MAX_DEPTH:
                raise too_deep(line)
        else:
            mapping = next(mappings)
            mapping.start, mapping.line = still_open.pop()
            mapping.lines = []
