"""Matcher trees: thousands of routes, of which Envoy looks at a handful per request.

A tree has two floors. The first is a prefix map on the path, keyed by what templates begin with. The second, below a
key that still holds many templates, asks yes-or-no questions ("does the third segment begin with `ac`, `ad` or
`b`?") until few are left. It knows templates and serialised routes; what a route does is none of its business.

The one rule that keeps it right: Envoy takes a `RouteList` for final and searches nowhere else when nothing in it
matches. So every list holds each route that could match any path which leads to it. Templates that begin with a
wildcard therefore stand in several lists; how often is bounded, at the price of longer lists.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, takewhile

from envoy.config.route.v3.route_components_pb2 import Route, RouteList, RouteMatch
from envoy.type.matcher.v3.http_inputs_pb2 import HttpRequestHeaderMatchInput
from xds.core.v3.extension_pb2 import TypedExtensionConfig
from xds.type.matcher.v3.matcher_pb2 import Matcher

from authz.model.paths import DOUBLE_STAR, STAR, Template, quote

LIST_SIZE = 12
"""Templates that one list may hold. Of 1,000 operations, the worst costs Envoy as much with 6 and 4 µs more with 24."""
DENIALS = 32
"""Patterns that one route may join: a long alternation costs more to compile than to match."""
MOST_COPIES = 3
"""How many copies of a template's routes the tree may hold besides the first, on average."""
VERB = -1
"""Where a question may be asked besides segments 0, 1, 2...: behind the last colon."""


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """All of one config's routes of one template shape, each already serialised as `RouteList.routes`.

    `routes` come before those of any less specific template, `denial` (the 405) after all routes of the config.
    `layer` counts the live configs of the service.
    """

    template: Template
    routes: bytes
    denial: Denial | None = None
    layer: int = 0


@dataclass(frozen=True, slots=True)
class Denial:
    """What a template's paths get that none of its routes took: one route with all of a list that are equal.

    `refusal` is a serialised `Route` that matches any path; `pattern` matches those of the template.
    """

    pattern: str
    refusal: bytes


def routes(*serialised: bytes) -> bytes:
    """Routes as the wire form of a `RouteList`: lists are joined by joining bytes."""
    return b"".join(_ROUTES_TAG + _varint(len(one)) + one for one in serialised)


def build(branches: Sequence[Branch], tails: Sequence[bytes]) -> Matcher:
    """The tree of one service.

    `branches` are sorted: per layer, the most specific template first. `tails` holds each layer's last routes.
    """
    return _Tree(branches, tails).matcher()


def guard(safe: str, disguises: Sequence[str], refusal: bytes, tree: Matcher) -> Matcher:
    """A tree that only paths matching `safe` reach, and none of `disguises`; others get the routes in `refusal`.

    Disguises are made of escapes, so paths without one are not asked about them.
    """
    guarded = Matcher()
    entry = guarded.matcher_list.matchers.add()
    _ask(entry.predicate.not_matcher.single_predicate, safe)
    _to_list(entry.on_match, refusal)
    if disguises:
        entry = guarded.matcher_list.matchers.add()
        both = entry.predicate.and_matcher.predicate
        _ask(both.add().single_predicate, "[^?%]*%.*")
        either = both.add().or_matcher.predicate
        # Envoy wants two alternatives at least.
        for pattern in (*disguises, disguises[0]):
            _ask(either.add().single_predicate, pattern)
        _to_list(entry.on_match, refusal)
    guarded.on_no_match.matcher.CopyFrom(tree)
    return guarded


class _Tree:
    def __init__(self, branches: Sequence[Branch], tails: Sequence[bytes]) -> None:
        self.branches = branches
        self.tails = tails
        self.room = MOST_COPIES * len(branches) + LIST_SIZE
        self.rank = {branch: index for index, branch in enumerate(branches)}

    def matcher(self) -> Matcher:
        groups = self._groups()
        rest = groups.pop("/")
        root = Matcher()
        for key, group in groups.items():
            if not root.HasField("matcher_tree"):
                _read_path(root.matcher_tree.input)
            self._fill(root.matcher_tree.prefix_match_map.map[key], group)
        self._fill(root.on_no_match, rest)
        return root if groups else root.on_no_match.matcher if root.on_no_match.HasField("matcher") else root

    def _groups(self) -> dict[str, list[Branch]]:
        """What stands below each prefix; fewer and larger groups if wildcards would be copied too often."""
        by_prefix: dict[str, list[Branch]] = {}
        for branch in self.branches:
            by_prefix.setdefault(branch.template.literal_prefix, []).append(branch)
        size = LIST_SIZE
        while True:
            keys = set(_keys(sorted(by_prefix), by_prefix, size)) | {"/"}
            groups = _assign(keys, by_prefix)
            copies = sum(map(len, groups.values())) - len(self.branches)
            if copies <= self.room or len(keys) == 1:
                self.room -= copies
                return {key: self._sorted(group) for key, group in groups.items()}
            size *= 4

    def _sorted(self, group: Iterable[Branch]) -> list[Branch]:
        return sorted(set(group), key=self.rank.__getitem__)

    def _list(self, group: Sequence[Branch]) -> bytes:
        parts: list[bytes] = []
        for layer, tail in enumerate(self.tails):
            mine = [branch for branch in group if branch.layer == layer]
            parts += [branch.routes for branch in mine]
            parts += [_denied(refusal, patterns) for refusal, patterns in _denials(mine)]
            parts.append(tail)
        return b"".join(parts)

    def _fill(self, on_match: Matcher.OnMatch, group: list[Branch]) -> None:
        split = _best_split(group) if len(group) > LIST_SIZE else None
        if split is None or split.copies > self.room:
            _to_list(on_match, self._list(group))
        else:
            self.room -= split.copies
            self._halve(on_match, split, split.texts)

    def _halve(self, on_match: Matcher.OnMatch, split: _Split, texts: Sequence[str]) -> None:
        group = self._sorted([*split.always, *(branch for text in texts for branch in split.by_text[text])])
        if len(texts) == 1 or len(group) - len(split.always) <= split.size:
            self._fill(on_match, group)
            return
        cut, pattern = _question(split.position, texts)
        entry = on_match.matcher.matcher_list.matchers.add()
        _ask(entry.predicate.single_predicate, pattern)
        self._halve(entry.on_match, split, texts[:cut])
        self._halve(on_match.matcher.on_no_match, split, texts[cut:])


def _denials(branches: Sequence[Branch]) -> Iterator[tuple[bytes, Sequence[str]]]:
    """Each refusal of sorted branches with the patterns that get it, so that the most specific template decides.

    Nothing is as specific as a template without wildcards, so those come first, in any order; others may join their
    neighbours only.
    """
    exact: dict[bytes, list[str]] = {}
    others: list[Denial] = []
    for branch in branches:
        if branch.denial is None:
            continue
        if branch.template.is_exact:
            exact.setdefault(branch.denial.refusal, []).append(branch.denial.pattern)
        else:
            others.append(branch.denial)
    runs = groupby(others, key=lambda denial: denial.refusal)
    for refusal, patterns in (*exact.items(), *((key, [one.pattern for one in run]) for key, run in runs)):
        for first in range(0, len(patterns), DENIALS):
            yield refusal, patterns[first : first + DENIALS]


# -- the first floor ------------------------------------------------------------------------------------------


def _keys(prefixes: Sequence[str], by_prefix: dict[str, list[Branch]], size: int) -> Iterator[str]:
    """Prefixes that divide the sorted templates' prefixes into groups of about `size`."""
    common = _common(prefixes[0], prefixes[-1]) if prefixes else "/"
    if len(prefixes) <= 1 or sum(len(by_prefix[prefix]) for prefix in prefixes) <= size:
        yield common
        return
    start = 0
    if prefixes[0] == common:
        yield common
        start = 1
    for first, last in _runs([prefix[len(common)] for prefix in prefixes[start:]]):
        yield from _keys(prefixes[start + first : start + last], by_prefix, size)


def _common(first: str, last: str) -> str:
    """What the first and the last of sorted texts, and so all of them, begin with."""
    equal = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return first[: sum(1 for _ in equal)]


def _runs(values: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where equal neighbours begin and end."""
    first = 0
    for index in range(1, len(values) + 1):
        if index == len(values) or values[index] != values[first]:
            yield first, index
            first = index


def _assign(keys: set[str], by_prefix: dict[str, list[Branch]]) -> dict[str, list[Branch]]:
    """Under each key, its own templates and those of shorter prefixes that could match a path below the key."""
    groups: dict[str, list[Branch]] = {key: [] for key in sorted(keys)}
    for prefix, branches in by_prefix.items():
        groups[_longest(keys, prefix)] += branches
    lengths = sorted(set(map(len, by_prefix)))
    for key, group in groups.items():
        parts = key[1:].split("/")
        for cut in lengths[: bisect_left(lengths, len(key))]:
            group += [branch for branch in by_prefix.get(key[:cut], ()) if _reaches(branch.template, parts)]
    return groups


def _longest(keys: set[str], text: str) -> str:
    return next(text[:cut] for cut in range(len(text), 0, -1) if text[:cut] in keys)


def _reaches(template: Template, parts: Sequence[str]) -> bool:
    """Whether some path of the template begins with these segments, of which the last may be cut short."""
    for index, part in enumerate(parts):
        if DOUBLE_STAR in template.segments[: index + 1]:
            return True
        texts = _texts(template, index)
        if texts is None:
            continue
        last = index == len(parts) - 1
        if not any(text.startswith(part) if last else text == part for text in texts):
            return False
    return True


# -- the second floor -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Split:
    """A place to ask about: the branches by their text there, and those that must stand on every side."""

    position: int
    by_text: dict[str, list[Branch]]
    always: list[Branch]

    @property
    def texts(self) -> list[str]:
        return sorted(self.by_text)

    @property
    def size(self) -> int:
        """As many branches per list as are copied into each, at least, so that copies at most double the tree."""
        return max(LIST_SIZE, len(self.always))

    @property
    def copies(self) -> int:
        return len(self.always) * (sum(map(len, self.by_text.values())) // self.size)

    @property
    def largest(self) -> int:
        return len(self.always) + max(self.size, *map(len, self.by_text.values()))


def _best_split(group: Sequence[Branch]) -> _Split | None:
    """The question whose answer leaves least, or None if none is worth its price."""
    depth = max(len(branch.template.segments) for branch in group)
    splits = [_split(group, position) for position in (*range(depth), VERB)]
    useful = [split for split in splits if len(split.by_text) > 1 and split.largest < len(group)]
    return min(useful, key=lambda split: split.largest, default=None)


def _split(group: Sequence[Branch], position: int) -> _Split:
    by_text: dict[str, list[Branch]] = {}
    always: list[Branch] = []
    for branch in group:
        texts = _fixed(branch.template, position)
        if texts is None:
            always.append(branch)
        else:
            for text in texts:
                by_text.setdefault(text, []).append(branch)
    return _Split(position, by_text, always)


def _fixed(template: Template, position: int) -> tuple[str, ...] | None:
    """What every matching path has one of at a position; None if some path has none of them, or nothing at all."""
    if position == VERB:
        return (template.verb,) if template.verb else None
    if position >= len(template.segments) or DOUBLE_STAR in template.segments[:position]:
        return None
    return _texts(template, position)


def _texts(template: Template, position: int) -> tuple[str, ...] | None:
    """What a matching path's segment may be, given that the path has one there; None for anything.

    Behind the last segment only the trailing slash's empty segment can stand, or a verb after it.
    """
    segments, verb = template.segments, f":{template.verb}" if template.verb else ""
    if position > len(segments):
        return ()
    if position == len(segments):
        return (verb,)
    text = segments[position]
    if text in {STAR, DOUBLE_STAR}:
        return None
    return (text, text + verb) if verb and position == len(segments) - 1 else (text,)


def _question(position: int, texts: Sequence[str]) -> tuple[int, str]:
    """Where to halve sorted texts, and a pattern that the paths of the first half match, of the second do not.

    The texts part at the character after what they have in common; a text that ends there sorts first.
    """
    common = _common(texts[0], texts[-1])
    runs = list(_runs([text[len(common) : len(common) + 1] for text in texts]))
    cut = min((first for first, _ in runs[1:]), key=lambda first: abs(2 * first - len(texts)))
    follow = [texts[first][len(common) : len(common) + 1] for first, _ in runs if first < cut]
    # A verb is what stands behind the last colon, so neither a colon nor a slash may come after it.
    before, rest, end = (
        ("[^?]*:", r"[^/:?]*(?:\?.*)?", r"(?:\?.*)?")
        if position == VERB
        else (f"(?:/[^/?]*){{{position}}}/", ".*", "(?:[/?].*)?")
    )
    ways = "|".join(quote(char) + rest if char else end for char in follow)
    return cut, f"{before}{quote(common)}(?:{ways})"


# -- Envoy's words --------------------------------------------------------------------------------------------


_ROUTES_TAG = bytes([RouteList.DESCRIPTOR.fields_by_name["routes"].number << 3 | 2])


@cache
def _varint(number: int) -> bytes:
    low = bytearray()
    while number > 0x7F:
        low.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*low, number])


def _packed(message: object) -> TypedExtensionConfig:
    config = TypedExtensionConfig(name="path")
    config.typed_config.Pack(message)
    return config


def _denied(refusal: bytes, patterns: Sequence[str]) -> bytes:
    match = RouteMatch()
    match.safe_regex.regex = patterns[0] if len(patterns) == 1 else f"(?:{'|'.join(patterns)})"
    return routes(Route(match=match).SerializeToString(deterministic=True) + refusal)


_PATH = _packed(HttpRequestHeaderMatchInput(header_name=":path"))
_LIST_URL = f"type.googleapis.com/{RouteList.DESCRIPTOR.full_name}"


def _read_path(source: TypedExtensionConfig) -> None:
    source.CopyFrom(_PATH)


def _ask(predicate: Matcher.MatcherList.Predicate.SinglePredicate, pattern: str) -> None:
    """Envoy's `:path` has the query in it; patterns look at no more than they name."""
    _read_path(predicate.input)
    predicate.value_match.safe_regex.google_re2.SetInParent()
    predicate.value_match.safe_regex.regex = pattern


def _to_list(on_match: Matcher.OnMatch, listed: bytes) -> None:
    on_match.action.name = "routes"
    on_match.action.typed_config.type_url = _LIST_URL
    on_match.action.typed_config.value = listed
