"""Routes of an app, and whether the gateway, which goes by the most specific path, means the same one by each call.

Starlette and FastAPI take the first route that fits, and all three look at the kinds of variables (`{id:int}`), which
no gateway knows. Where the one that runs is guarded otherwise than the one that a gateway means, it would be open to
calls that it should not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from authz.frameworks.adapters.said import Said
from authz.frameworks.declare import paths
from authz.frameworks.exceptions import ApiConfigurationError

ANY: Final = "[^/]+"
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
    shown: bool = True
    """Whether the document has it. What it has not, gateways know nothing of, and the app serves it all the same."""

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
        pattern = self.patterns.get(names[0], ANY)
        return (_DEEP if pattern == DEEP else _ONE), pattern


@dataclass(frozen=True, slots=True)
class Kept:
    """What a gateway keeps for a route: all of it, to be compared, and whether that is nothing."""

    all: str
    is_nothing: bool


def told_apart(routes: Iterable[Route], kept: Mapping[int, Kept], *, in_order: bool) -> dict[tuple[str, str], Route]:
    """The routes by path and verb. `kept` has the routes' numbers; `in_order`: the app takes the first that fits.

    Raises:
        ApiConfigurationError: two routes that a gateway cannot tell apart, or would not as the app does.
    """
    found: dict[tuple[str, str], tuple[int, Route]] = {}
    several = list(enumerate(routes))
    for number, route in several:
        if not route.shown:
            continue
        first, other = found.setdefault((paths.shape(route.path), route.verb), (number, route))
        if other is not route and (kept[first] != kept[number] or other.path != route.path):
            one = f"{route.verb.upper()} {route.path}"
            raise ApiConfigurationError(f"{other.place} and {route.place} are both {one}, to a gateway one path")
    for verb in sorted({route.verb for _, route in several}):
        _check(verb, [(number, one, one.segments()) for number, one in several if one.verb == verb], kept, in_order)
    return {(route.path, route.verb): route for _, route in found.values()}


_Numbered = tuple[int, Route, list[tuple[int, str]]]


def _check(verb: str, several: Sequence[_Numbered], kept: Mapping[int, Kept], in_order: bool) -> None:
    """Refuse a route that runs, for some call, while a gateway keeps what is said of a more specific one."""
    for number, runs, theirs in several:
        if kept[number].is_nothing:
            continue
        for at, meant, segments in several:
            if kept[at] == kept[number] or not meant.shown:
                continue
            if (apart := _verb_apart(meant.path)) and _overlap(theirs, [*map(_widest, segments), (_LITERAL, apart)]):
                raise ApiConfigurationError(
                    f"{verb.upper()} {runs.path} ({runs.place}) is not guarded as {meant.path} ({meant.place}) is, "
                    f"which gateways take '/{apart}' at its end for, too: guard both alike, or give one another path"
                )
            if runs.shown and _ranks(meant, segments) >= _ranks(runs, theirs):
                continue
            is_hidden = number < at if in_order else not runs.shown
            if (is_hidden or _is_narrow(segments)) and _overlap(theirs, [_widest(one) for one in segments]):
                why = "stands before it" if is_hidden else "takes what its variables do not match"
                raise ApiConfigurationError(
                    f"{verb.upper()} {runs.path} ({runs.place}) is not guarded as {meant.path} ({meant.place}) is, by "
                    f"whose rules a gateway lets calls in, but {why}: declare {meant.path} first and with plain "
                    "variables, or guard both alike"
                )


def _verb_apart(path: str) -> str:
    """The `:verb` behind a path's last variable; gateways take it with a slash before it, and apps do not."""
    _, brace, verb = path.rpartition("/")[2].rpartition("}")
    return verb if brace else ""


def _ranks(route: Route, segments: Sequence[tuple[int, str]]) -> list[int]:
    """The lower, the more specific to a gateway; a `:verb` is more than none."""
    return [*(rank for rank, _ in segments), not _verb_apart(route.path)]


def _is_narrow(segments: Sequence[tuple[int, str]]) -> bool:
    """Whether the app tries another route where a variable is not of its kind; gateways know no kinds."""
    return any(rank == _ONE and pattern != ANY for rank, pattern in segments)


def _widest(segment: tuple[int, str]) -> tuple[int, str]:
    return (_ONE, ANY) if segment[0] == _ONE else segment


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
