"""Which method a path means: constants before variables, from the left, across all APIs of a server.

It knows paths and verbs, and nothing of what is behind a route. The gateway routes by the same rules: a template with
`:verb` beats the same one without, and no variable holds a slash or is empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from urllib.parse import unquote

from authz.frameworks.exceptions import ApiConfigurationError

T = TypeVar("T")

_VARIABLE: Final = re.compile(r"\{([^{}]+)\}(:[^{}]*)?")
_RESERVED: Final = re.compile(r"[/?#\[\]{}]")
_STRANGE: Final = re.compile(r"[?#\[\]{}+]")
"""What no value holds, and what is a space in one."""
_NOTHING: Final[Mapping[str, str]] = {}


class _Leaf(Generic[T]):
    __slots__ = ("escaped", "target", "template", "variables")

    def __init__(self, target: T, template: str, variables: tuple[tuple[int, str, int], ...], escaped: bool) -> None:
        self.target = target
        self.escaped = escaped
        self.template = template
        self.variables = variables
        """Which segment, its name, and how many characters of `:verb` follow it."""

    def takes(self, parts: list[str], names: list[str]) -> bool:
        """Whether its values may have these characters: as they came where it takes escaped ones, or else decoded."""
        seen = parts if self.escaped else names
        return not any(_RESERVED.search(seen[at]) for at, _, _ in self.variables)


class _Node(Generic[T]):
    __slots__ = ("constants", "leaves", "variable", "verbs")

    def __init__(self) -> None:
        self.constants: dict[str, _Node[T]] = {}
        self.verbs: dict[str, _Node[T]] = {}
        self.variable: _Node[T] | None = None
        self.leaves: dict[str, _Leaf[T]] = {}

    def verb(self, suffix: str) -> _Node[T]:
        """Where a variable with `:verb` leads; the longest suffix is tried first."""
        self.verbs.setdefault(suffix, _Node())
        self.verbs = dict(sorted(self.verbs.items(), key=lambda one: -len(one[0])))
        return self.verbs[suffix]


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What a path and a verb mean, with the values of the path's variables."""

    target: T
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OtherVerbs:
    """The path is known, the verb is not: these are."""

    allowed: tuple[str, ...]


class Router(Generic[T]):
    """Templates, and what they lead to. Compiled as they are added; looked up by any number of threads."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._constant: dict[str, dict[str, Found[T]]] = {}
        self._suffixes: set[str] = set()

    def add(self, verb: str, template: str, target: T, *, escaped: bool = False) -> None:
        """One route. `escaped`: its values may hold slashes and the like, if the caller escapes them.

        Raises:
            ApiConfigurationError: something else is there.
        """
        node, variables = self._root, []
        for index, segment in enumerate(_segments(template)):
            if (match := _VARIABLE.fullmatch(segment)) is None:
                node = node.constants.setdefault(segment, _Node())
                continue
            name, suffix = match[1], match[2] or ""
            variables.append((index, name, len(suffix)))
            if suffix:
                node = node.verb(suffix)
                self._suffixes.add(suffix)
            else:
                node.variable = node.variable or _Node()
                node = node.variable
        if verb in node.leaves:
            raise ApiConfigurationError(f"{verb} {template} and {verb} {node.leaves[verb].template} are one URL")
        node.leaves[verb] = _Leaf(target, template, tuple(variables), escaped)
        if not variables:
            self._constant.setdefault("/" + "/".join(_segments(template)), {})[verb] = Found(target, _NOTHING)

    def find(self, verb: str, path: str, raw: str | None = None) -> Found[T] | OtherVerbs | None:
        """What `verb path` means; None: no template is like the path.

        `path` is decoded; `raw` is as it came, where the server tells, so that `%2F` does not pass for a slash nor
        `%2B` for the space that a `+` is.

        Raises:
            UnicodeDecodeError: the path is not UTF-8.
        """
        # A gateway takes `a/:verb` for `a:verb`, and has let it in by other rules than those of `{a}/{b}`.
        if self._suffixes and unquote((raw or path).rstrip("/").rpartition("/")[2]) in self._suffixes:
            return None
        if raw is None or "%" not in raw:
            if (known := self._constant.get(path)) and (found := known.get(verb)):
                return found
            parts = _segments(path)
            return self._straight(verb, path, parts) or self._search(verb, parts, str, has_verb=path[-1:] != "/")
        return self._search(verb, _segments(raw), _unescaped, has_verb=raw[-1] != "/")

    def _straight(self, verb: str, path: str, parts: list[str]) -> Found[T] | None:
        """The usual way: where only one branch can be the best, and no name needs a second look."""
        node = self._root
        if _STRANGE.search(path):
            return None
        for name in parts:
            below = node.constants.get(name)
            if below is None:
                below = node.variable
                if below is None or not name or node.verbs:
                    return None
            node = below
        leaf = node.leaves.get(verb)
        return Found(leaf.target, {name: parts[at] for at, name, _ in leaf.variables}) if leaf else None

    def _search(
        self, verb: str, parts: list[str], read: Callable[[str], str], *, has_verb: bool
    ) -> Found[T] | OtherVerbs | None:
        """Every way, the best first. `has_verb`: no slash trails, behind which `:verb` is but a part of a value."""
        allowed: set[str] = set()
        names = [read(part) for part in parts]
        for leaves in _leaves(self._root, names, 0, has_verb=has_verb):
            fitting = {name: leaf for name, leaf in leaves.items() if leaf.takes(parts, names)}
            if leaf := fitting.get(verb):
                values = {name: read(parts[at].replace("+", " ")) for at, name, _ in leaf.variables}
                return Found(leaf.target, {name: values[name][: -cut or None] for _, name, cut in leaf.variables})
            allowed.update(fitting)
        return OtherVerbs(tuple(sorted(allowed))) if allowed else None


def _segments(path: str) -> list[str]:
    """Without the slash that leads, and without one that trails."""
    return path.removeprefix("/").removesuffix("/").split("/")


def _unescaped(part: str) -> str:
    return unquote(part, errors="strict")


def _leaves(node: _Node[T], names: list[str], at: int, *, has_verb: bool) -> Iterator[dict[str, _Leaf[T]]]:
    """All that the path matches, the best first. No node is visited twice, however the templates are made."""
    if at == len(names):
        if node.leaves:
            yield node.leaves
        return
    name = names[at]
    if constant := node.constants.get(name):
        yield from _leaves(constant, names, at + 1, has_verb=has_verb)
    if not name:
        return
    if has_verb and at == len(names) - 1:
        for suffix, verb in node.verbs.items():
            if name.endswith(suffix) and len(name) > len(suffix):
                yield from _leaves(verb, names, at + 1, has_verb=has_verb)
    if node.variable:
        yield from _leaves(node.variable, names, at + 1, has_verb=has_verb)
