"""Path templates: their grammar, the order in which they are tried, and the paths they match.

The grammar is that of google.api.http (`google/api/http.proto`), with OpenAPI's `{name}` as `{name=*}`:

    Template = "/" Segment { "/" Segment } [ ":" LITERAL ]
    Segment  = "*" | "**" | LITERAL | "{" NAME [ "=" Segment { "/" Segment } ] "}"

`*` is one or more characters within a segment; `**` is anything, nothing included, and may be followed by
literals only. One trailing slash of a request path is accepted. Matching is case-sensitive and never decodes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

STAR = "*"
DOUBLE_STAR = "**"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_LITERAL = re.compile(r"[^{}*/:?#\x00-\x20\x7f-\U0010ffff]+\Z")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_PIECE = re.compile(r"%[0-9A-Fa-f]{2}|[A-Za-z0-9._~-]+|.")
_ESCAPED = {ord(special): "\\" + special for special in r"\.+*?()|[]{}^$"}
_USUAL = re.compile(r"(?:/(?:[A-Za-z0-9._~-]+|\{[A-Za-z_][A-Za-z0-9_.-]{,99}\}))+\Z")
"""What most templates are made of: plain literals, and variables of one segment each."""
_LONGEST_PATTERN = 1500  # characters, well within what Envoy lets an RE2 program be
MAX_LENGTH = 2048
MAX_VARIABLES = 60


class PathError(ValueError):
    """A template that is not one; the text says which part and what would be accepted."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A named part of a template: segments `start` up to `stop`, not included."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Template:
    """A parsed path template. `text` is as written; two templates with one `shape` match the same paths."""

    text: str
    segments: tuple[str, ...]
    verb: str = ""
    variables: tuple[Variable, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template.

        Raises:
            PathError: it is not a template; the message quotes the part.
        """
        return _Parser(text).template()

    @property
    def shape(self) -> tuple[tuple[str, ...], str]:
        """What decides which paths match: variable names do not."""
        return self.segments, self.verb

    def wider(self, wild: Collection[int], *, colon_in_wildcards: bool = True) -> Iterator[tuple[tuple[str, ...], str]]:
        """Shapes that match every path of this template: with stars for literals, or `**` for the rest.

        `wild` are the segments where any of the shapes that are looked for has a wildcard. `**` takes a verb for its
        own if it matches colons. Only the last few literals are considered: their stars multiply.
        """
        verbs = {self.verb, ""} if colon_in_wildcards else {self.verb}
        start = max(0, len(self.segments) - 6)
        choices = [
            (segment, STAR) if index in wild and segment not in {STAR, DOUBLE_STAR} else (segment,)
            for index, segment in enumerate(self.segments[start:], start)
        ]
        for tail in product(*choices):
            yield (*self.segments[:start], *tail), self.verb
        for cut in range(len(self.segments)):
            if cut in wild:
                yield from (((*self.segments[:cut], DOUBLE_STAR), verb) for verb in verbs)

    @property
    def is_exact(self) -> bool:
        """Whether the template has no wildcard and so matches one path (and its twin with a slash)."""
        return STAR not in self.segments and DOUBLE_STAR not in self.segments

    @property
    def paths(self) -> tuple[str, ...]:
        """For an exact template: the paths it matches, with and without the trailing slash.

        The root has a twin too: Envoy merges any number of slashes to these two, and servers take both for `/`.
        """
        body = "/" + "/".join(self.segments)
        if self.verb:
            return f"{body}:{self.verb}", f"{body}/:{self.verb}"
        return body, body + "/"

    @cached_property
    def literal_prefix(self) -> str:
        """The longest path prefix that every matching path has.

        It is made of whole literal segments and ends in a slash where a wildcard follows.
        `/v1/shelves/{id}` gives `/v1/shelves/`; an exact template gives its path.
        """
        prefix = "/"
        for index, segment in enumerate(self.segments):
            if segment in {STAR, DOUBLE_STAR}:
                return prefix
            prefix += segment
            if index + 1 < len(self.segments):
                prefix += "/"
        return prefix

    @cached_property
    def sort_key(self) -> tuple[object, ...]:
        """Templates sorted by this are tried in the right order: the first match is the most specific.

        Literals beat `*`, `*` beats `**`, a node comes before its children except below `**`, where longer
        suffixes come first, and a verb beats the same template without one.
        """
        wild = {STAR: (1, ""), DOUBLE_STAR: (2, "")}
        ranks = [wild.get(segment, (0, segment)) for segment in self.segments]
        below_double = DOUBLE_STAR in self.segments
        ranks.append((3, "") if below_double else (-1, ""))
        return (tuple(ranks), 0 if self.verb else 1, self.verb)

    def regex(self, *, colon_in_wildcards: bool = True) -> str:
        """An RE2 (and `re`) pattern that fully matches a request path without its query."""
        return self._pattern(colon_in_wildcards, capture=False)

    def capture_regex(self, *, colon_in_wildcards: bool = True) -> str:
        """As `regex`, with one group per variable, in template order.

        A `**` at the end of a path loses its trailing slashes, in front of a verb it keeps them but one.
        """
        return self._pattern(colon_in_wildcards, capture=True)

    def _pattern(self, colon_in_wildcards: bool, *, capture: bool) -> str:
        star = "[^/]+" if colon_in_wildcards else "[^/:]+"
        double = ".*" if colon_in_wildcards else "[^:]*"
        lazy = capture and not self.verb and self.segments and self.segments[-1] == DOUBLE_STAR
        opens = {v.start for v in self.variables} if capture else set()
        closes = {v.stop - 1 for v in self.variables} if capture else set()
        parts: list[str] = []
        for index, segment in enumerate(self.segments):
            piece = star if segment == STAR else double if segment == DOUBLE_STAR else quote(segment)
            if lazy and index == len(self.segments) - 1:
                piece += "?"
            parts.append("(" * (index in opens) + piece + ")" * (index in closes))
        body = "/" + "/".join(parts)
        slash = "/*" if lazy else "/?"
        return f"{body}{slash}:{quote(self.verb)}" if self.verb else f"{body}{slash}"

    def matches(self, path: str, *, colon_in_wildcards: bool = True) -> bool:
        """Whether a request path (no query) matches. For people's questions only: Envoy matches requests."""
        return re.fullmatch(self.regex(colon_in_wildcards=colon_in_wildcards), path) is not None


def quote(literal: str) -> str:
    """A literal as an RE2 pattern."""
    return literal.translate(_ESCAPED)


def safe_path_regex(*, keep_slashes: bool, is_text: bool = False) -> str:
    """An RE2 (and `re`) pattern of the request targets that a backend cannot read differently from a gateway.

    Escapes are well-formed, of no control character and, unless kept, of no slash; those beyond ASCII make valid
    UTF-8. No segment is a dot segment with parameters (`..;`, `..%3B`), which normalising leaves and some servers
    resolve. `is_text`: the query is a list of parameters whose names have no escapes, and whose values are UTF-8.
    """
    digit, follows = "[0-9A-Fa-f]", "%[89ABab][0-9A-Fa-f]"
    plain = "[2456][0-9A-Fa-f]" if keep_slashes else "2[0-9A-Ea-e]|[46][0-9A-Fa-f]|5[0-9ABD-Fabd-f]"
    beyond = "|".join((
        f"(?:[Cc][2-9A-Fa-f]|[Dd]{digit}){follows}",
        f"[Ee](?:0%[ABab]{digit}|[Dd]%[89]{digit}|[1-9A-CE-Fa-ce-f]{follows}){follows}",
        f"[Ff](?:0%[9ABab]{digit}|4%8{digit}|[1-3]{follows}){follows}{follows}",
    ))  # fmt: skip
    escape = f"%(?:{plain}|3[0-9AC-Fac-f]|7[0-9A-Ea-e]|{beyond})"
    parameter = f"[^%=&]*(?:=(?:[^%&]|%(?:[0-7]{digit}|{beyond}))*)?"
    query = rf"(?:\?{parameter}(?:&{parameter})*)?" if is_text else r"(?:\?.*)?"
    excluded = "/?%" if keep_slashes else r"/?%\\"
    semicolon = "%3[Bb]"
    begun = rf"(?:\.{{0,2}}(?:[^{excluded}.;]|{escape})|\.{{3}}|;|{semicolon})"
    return rf"(?:/(?:{begun}(?:[^{excluded}]|{escape}|{semicolon})*|\.{{0,2}}))+{query}"


def disguise_regexes(templates: Collection[Template]) -> list[str]:
    """RE2 (and `re`) patterns of the request targets that write a template's literal or verb with other escapes.

    `/v1/a%3Arun` is not `/v1/{id}:run` to a gateway, and `/%24meta` is not `/$meta`; but a wildcard matches them, and
    to a backend that decodes first they are. What needs no escape is not looked for: normalising has decoded it.
    """
    found = [
        *_disguises(
            "/", {text for template in templates for text in template.segments if text not in {STAR, DOUBLE_STAR}}
        ),
        *_disguises("", {f":{template.verb}" for template in templates if template.verb}),
    ]
    ways: list[list[str]] = []
    for way in found:
        if not ways or sum(map(len, ways[-1])) + len(way) > _LONGEST_PATTERN:
            ways.append([])
        ways[-1].append(way)
    return [f"[^?]*(?:{'|'.join(some)})(?:(?:[/?:]|%3[Aa]).*)?" for some in ways]


def _disguises(before: str, texts: Iterable[str]) -> Iterator[str]:
    """Patterns of each text with at least one piece spelled otherwise."""
    for text in sorted(texts):
        pieces = [(quote(piece), _other_spelling(piece)) for piece in _PIECE.findall(text)]
        either = [f"(?:{plain}|{other})" if other else plain for plain, other in pieces]
        for index, (_, other) in enumerate(pieces):
            if other:
                yield "".join([before, *(plain for plain, _ in pieces[:index]), other, *either[index + 1 :]])


def _other_spelling(piece: str) -> str:
    """A pattern of the escapes that mean a piece and are not it; empty if there are none, or Envoy undoes them."""
    if len(piece) == 3 and piece.startswith("%"):
        cases = {f"%{''.join(digits)}" for digits in product(*({one.lower(), one.upper()} for one in piece[1:]))}
        return f"(?:{'|'.join(sorted(cases - {piece}))})" if len(cases) > 1 else ""
    return "" if _UNRESERVED.match(piece) else f"(?i:%{ord(piece):02x})"


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text

    def fail(self, why: str) -> PathError:
        return PathError(f"'{self.text}' is not a path template: {why}")

    def template(self) -> Template:
        text = self.text
        if not text.startswith("/"):
            raise self.fail("it must start with a slash")
        if len(text) > MAX_LENGTH:
            raise PathError(f"a path template of {len(text)} characters is too long; {MAX_LENGTH} are allowed")
        segments: list[str] = []
        variables: list[Variable] = []
        if _USUAL.match(text):
            verb = ""
            for index, part in enumerate(text[1:].split("/")):
                if part[0] == "{":
                    variables.append(Variable(part[1:-1], index, index + 1))
                segments.append(STAR if part[0] == "{" else part)
        else:
            rest, verb = self._split_verb(text[1:])
            for part in self._split(rest) if rest or verb else ():
                self._segment(part, segments, variables)
        self._check(segments, variables, verb)
        return Template(text, tuple(segments), verb, tuple(variables))

    def _split_verb(self, rest: str) -> tuple[str, str]:
        tail = rest[max(rest.rfind("/"), rest.rfind("}")) + 1 :]
        if ":" not in tail:
            return rest, ""
        cut = len(rest) - len(tail) + tail.index(":")
        verb = rest[cut + 1 :]
        if not verb or ":" in verb or not _LITERAL.match(verb):
            raise self.fail(f"':{verb}' is no verb; write letters after one colon at the very end")
        if not rest[:cut] or rest[:cut].endswith("/"):
            raise self.fail(f"the verb ':{verb}' has no segment before it")
        return rest[:cut], verb

    def _split(self, rest: str) -> list[str]:
        parts, depth, start = [], 0, 0
        for index, char in enumerate(rest):
            if char == "{":
                depth += 1
            elif char == "}":
                depth -= 1
            elif char == "/" and not depth:
                parts.append(rest[start:index])
                start = index + 1
            if depth not in {0, 1}:
                raise self.fail("its braces are not in balance, or are nested")
        if depth:
            raise self.fail("a '{' is never closed")
        parts.append(rest[start:])
        return parts

    def _segment(self, part: str, segments: list[str], variables: list[Variable]) -> None:
        if part.startswith("{") and part.endswith("}"):
            name, equals, pattern = part[1:-1].partition("=")
            if not _NAME.match(name) or len(name) > 100:
                raise self.fail(
                    f"'{name}' is no variable name; write a letter or '_', then letters, digits, '_', '.', '-'"
                )
            start = len(segments)
            for inner in pattern.split("/") if equals else (STAR,):
                self._plain(inner, segments)
            variables.append(Variable(name, start, len(segments)))
        else:
            self._plain(part, segments)

    def _plain(self, part: str, segments: list[str]) -> None:
        if part in {STAR, DOUBLE_STAR}:
            segments.append(part)
        elif not part:
            raise self.fail("a segment is empty; a template has no '//' and does not end in '/'")
        elif "{" in part or "}" in part:
            raise self.fail(f"'{part}' mixes a literal with a variable; a variable must fill a whole segment")
        elif not _LITERAL.match(part):
            raise self.fail(
                f"'{part}' is no segment; '*', ':', '?', '#', blanks and letters beyond ASCII cannot stand in a literal"
            )
        else:
            segments.append(part)

    def _check(self, segments: list[str], variables: list[Variable], verb: str) -> None:
        if DOUBLE_STAR in segments:
            after = segments[segments.index(DOUBLE_STAR) + 1 :]
            if any(segment in {STAR, DOUBLE_STAR} for segment in after):
                raise self.fail("only literals may follow '**'")
        names = [variable.name for variable in variables]
        if len(names) != len(set(names)):
            raise self.fail("a variable name stands in it twice")
        if len(names) > MAX_VARIABLES:
            raise self.fail(f"it has {len(names)} variables; {MAX_VARIABLES} are allowed")
        if verb and not segments:
            raise self.fail(f"the verb ':{verb}' has no segment before it")
