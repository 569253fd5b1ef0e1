"""Routes of an app, and whether the gateway, which goes by the most specific path, means the same one by each call.

Starlette and FastAPI take the first route that fits. Where a later one fits better and is protected otherwise, a
gateway would check one, and the app would run the other.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from authz.frameworks.adapters.said import Said
from authz.frameworks.declare import paths
from authz.frameworks.exceptions import ApiConfigurationError

DEEP: Final = ".*"
_LITERAL, _ONE, _DEEP = range(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route of an app: as its document names it, and what it says."""

    path: str
    verb: str
    """In small letters."""
    function: Any
    said: Said
    patterns: Mapping[str, str] = field(default_factory=dict)
    """What the variables match, as regular expressions; DEEP ones hold slashes."""

    @property
    def place(self) -> str:
        """How messages name it."""
        if self.function is None:
            return f"{self.verb.upper()} {self.path}"
        return f"{self.function.__module__}.{getattr(self.function, '__qualname__', type(self.function).__name__)}"

    @property
    def name(self) -> str:
        """The function's name."""
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def segments(self) -> list[tuple[int, str]]:
        """Each segment's rank, and its text or pattern."""
        return [self._segment(one) for one in self.path.strip("/").split("/")]

    def _segment(self, text: str) -> tuple[int, str]:
        names = paths.variables(text)
        if not names:
            return _LITERAL, text
        pattern = self.patterns.get(names[0], "[^/]+")
        return (_DEEP if pattern == DEEP else _ONE), pattern


def told_apart(
    routes: Iterable[Route], kept: Mapping[int, Hashable], *, in_order: bool
) -> dict[tuple[str, str], Route]:
    """The routes by path and verb. `kept` is what a gateway keeps for each of them, by the route's number.

    Raises:
        ApiConfigurationError: two routes that a gateway cannot tell apart, or would not as the app does.
    """
    found: dict[tuple[str, str], tuple[int, Route]] = {}
    several = list(enumerate(routes))
    for number, route in several:
        first, other = found.setdefault((paths.shape(route.path), route.verb), (number, route))
        if other is not route and (kept[first] != kept[number] or other.path != route.path):
            message = (
                f"{other.place} and {route.place} are both {route.verb.upper()} {route.path}, to a gateway one path"
            )
            raise ApiConfigurationError(message)
    if in_order:
        _check_order(several, kept)
    return {(route.path, route.verb): route for _, route in found.values()}


def _check_order(several: Sequence[tuple[int, Route]], kept: Mapping[int, Hashable]) -> None:
    by_verb: dict[str, list[tuple[Hashable, Route, list[tuple[int, str]]]]] = {}
    for number, route in several:
        segments = route.segments()
        before = by_verb.setdefault(route.verb, [])
        for one, other, theirs in before:
            if one != kept[number] and _ranks(segments) < _ranks(theirs) and _overlap(theirs, segments):
                raise ApiConfigurationError(
                    f"{other.place} ({other.path}) stands before {route.place} ({route.path}) and takes its calls, "
                    "which a gateway would let in by the rules of the latter: declare that one first"
                )
        before.append((kept[number], route, segments))


def _ranks(segments: Sequence[tuple[int, str]]) -> list[int]:
    return [rank for rank, _ in segments]


def _overlap(one: Sequence[tuple[int, str]], other: Sequence[tuple[int, str]]) -> bool:
    """Whether there is a path that both match."""
    if not one or not other:
        return all(rank == _DEEP for rank, _ in (*one, *other))
    if one[0][0] == _DEEP:
        return any(_overlap(one[1:], other[at:]) for at in range(len(other) + 1))
    if other[0][0] == _DEEP:
        return _overlap(other, one)
    return _alike(one[0], other[0]) and _overlap(one[1:], other[1:])


def _alike(one: tuple[int, str], other: tuple[int, str]) -> bool:
    """Whether two segments may be the same text."""
    if one[0] == other[0]:
        return one[0] == _ONE or one[1] == other[1]
    literal, pattern = (one[1], other[1]) if one[0] == _LITERAL else (other[1], one[1])
    return re.fullmatch(pattern, literal) is not None
