"""YAML from libyaml's events: several times faster than PyYAML's constructors, and no tag ever makes an object.

Keys are always strings: the `200:` of `responses` is `"200"`.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.events import AliasEvent, DocumentStartEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

from authz.sources.syntax.tree import MAX_DEPTH, Map, Real, SyntaxFault, too_deep

MAX_ALIASES = 200
MAX_MERGED = 10_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ENDS = frozenset({yaml.MappingEndEvent, yaml.SequenceEndEvent})
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}\Z")
_REAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")

Repeated = list[tuple[str, int]]


def read(text: str) -> tuple[Any, Repeated]:
    """The tree of a YAML text, and the keys that stand twice in a mapping.

    Raises:
        SyntaxFault: it is not YAML, or too deep, or full of aliases.
    """
    builder = _Builder()
    try:
        root = builder.build(_Loader(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"this is not YAML: {error.problem or error.context or 'it cannot be read'}"
        hint = "Indent with blanks, not tabs, and quote texts that hold special characters."
        raise SyntaxFault("file-syntax", mark.line + 1 if mark else 1, message, hint) from None
    except (yaml.YAMLError, ValueError) as error:
        message = f"this is not YAML: {str(error).partition(chr(10))[0]}"
        raise SyntaxFault("file-syntax", 1, message, "Give UTF-8 text without control characters.") from None
    return root, builder.repeated


class _Builder:
    """Turns parser events into a tree, without recursion."""

    def __init__(self) -> None:
        self.anchors: dict[str, Any] = {}
        self.unfinished: set[str] = set()
        self.aliases = 0
        self.merged = 0
        self.documents = 0
        self.repeated: Repeated = []

    def build(self, loader: Any) -> Any:
        # One flat loop: a large document has a hundred thousand events, and a call for each would double the time.
        root: list[Any] = []
        container: Any = root
        key: str | None = None
        stack: list[tuple[Any, str | None]] = []
        for event in iter(loader.get_event, None):
            shape = event.__class__
            if shape is ScalarEvent:
                value = event.value
                if key is None and container.__class__ is Map:
                    key = value
                    if value in container:
                        self.repeated.append((value, event.start_mark.line + 1))
                    else:
                        container.lines.append(event.start_mark.line + 1)
                    continue
                if event.implicit[0]:
                    value = scalar(value)
                if event.anchor:
                    self.anchors[event.anchor] = value
            elif shape in _ENDS:
                self.merged += merge(container)
                if self.merged > MAX_MERGED:
                    raise self.too_many(event.start_mark.line + 1)
                container, anchor = stack.pop()
                self.unfinished.discard(anchor or "")
                continue
            elif shape is MappingStartEvent or shape is SequenceStartEvent or shape is AliasEvent:
                value = self.collection(shape, event, key is None and container.__class__ is Map)
            else:
                self.check_single(shape, event)
                continue
            if key is None:
                container.append(value)
            else:
                container[key] = value
                key = None
            if shape is MappingStartEvent or shape is SequenceStartEvent:
                stack.append((container, event.anchor))
                container = value
                if len(stack) > MAX_DEPTH:
                    raise too_deep(event.start_mark.line + 1)
        return root[0] if root else None

    def collection(self, shape: type, event: Any, is_key: bool) -> Any:
        line = event.start_mark.line + 1
        if is_key:
            raise SyntaxFault("file-syntax", line, "a key must be plain text", "Write 'key: value'; quote braces.")
        if shape is AliasEvent:
            return self.alias(event.anchor, line)
        value: Any = Map.at(line) if shape is MappingStartEvent else []
        if event.anchor:
            self.anchors[event.anchor] = value
            self.unfinished.add(event.anchor)
        return value

    def alias(self, anchor: str, line: int) -> Any:
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise self.too_many(line)
        if anchor not in self.anchors:
            hint = "Put the anchor '&name' before the alias '*name'."
            raise SyntaxFault("file-syntax", line, f"the alias '*{anchor}' has no anchor before it", hint)
        if anchor in self.unfinished:
            raise SyntaxFault("alias-cycle", line, f"the alias '*{anchor}' contains itself", "Break the circle.")
        return self.anchors[anchor]

    @staticmethod
    def too_many(line: int) -> SyntaxFault:
        message = f"the document has more than {MAX_ALIASES} YAML aliases, or merges more than {MAX_MERGED} keys"
        return SyntaxFault("too-many-aliases", line, message, "Use '$ref', or write the parts out.")

    def check_single(self, shape: type, event: Any) -> None:
        if shape is DocumentStartEvent:
            self.documents += 1
            if self.documents > 1:
                line = event.start_mark.line + 1
                hint = "Put each document into a file of its own."
                raise SyntaxFault("several-documents", line, "a second document begins here", hint)


def scalar(text: str) -> Any:
    """A plain YAML scalar by the core schema of YAML 1.2: dates, `yes` and `12:30` stay texts."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        if _INTEGER.match(text):
            return int(text)
        if _REAL.match(text):
            return Real.of(text)
    return text


def merge(container: Any) -> int:
    """Fold YAML's merge key `<<` into a finished mapping, and count the keys; those that are written out win."""
    if container.__class__ is not Map or "<<" not in container:
        return 0
    value = container["<<"]
    bases = value if isinstance(value, list) else [value]
    if not all(isinstance(base, Map) for base in bases):
        return 0
    before = len(container)
    line = container.lines.pop(list(container).index("<<"))
    del container["<<"]
    for base in bases:
        for key in base:
            if key not in container:
                container[key] = base[key]
                container.lines.append(line)
    return len(container) - before + 1
