"""Selectors of google.api.Service: which rule of a list holds for a method. The last that matches does.

Selector = Pattern { "," Pattern }
Pattern  = "*" | NAME { "." NAME } [ "." "*" ]
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from operator import itemgetter
from typing import Generic, TypeVar

from authz.sources.extensions import comma_list
from authz.sources.node import Node

T = TypeVar("T")
EVERYTHING = "*"
_PATTERN = re.compile(r"(?:\*|[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*(?:\.\*)?)\Z")


class Rules(Generic[T]):
    """One list of rules, of all YAML files of a service in their order."""

    def __init__(self, entries: Iterable[tuple[Node, T]]) -> None:
        self.last: dict[str, tuple[int, Node, T]] = {}
        self.above: dict[str, tuple[int, Node, T] | None] = {}
        for number, (node, rule) in enumerate(entries):
            for pattern in _patterns(node):
                self.last[pattern] = number, node, rule

    def holds(self, selector: str, *, by_name: bool = False) -> T | None:
        """The rule that holds for a method. `by_name` leaves out rules that speak of everything."""
        found = self._found(selector, by_name=by_name)
        return found[2] if found else None

    def place(self, selector: str) -> Node | None:
        """Where the rule that holds for a method is written."""
        found = self._found(selector)
        return found[1] if found else None

    def _found(self, selector: str, *, by_name: bool = False) -> tuple[int, Node, T] | None:
        if not self.last:
            return None
        every = None if by_name else self.last.get(EVERYTHING)
        found = (self.last.get(selector), self._above(selector.rpartition(".")[0]), every)
        return max(filter(None, found), key=itemgetter(0), default=None)

    def _above(self, service: str) -> tuple[int, Node, T] | None:
        """The rule that holds by a wildcard for all methods of a service; they are many."""
        if service not in self.above:
            found = [self.last.get(pattern) for pattern in _wider(f"{service}.*")]
            self.above[service] = max(filter(None, found), key=itemgetter(0), default=None)
        return self.above[service]

    def report_unmatched(self, selectors: Collection[str], code: str) -> None:
        """Complain of patterns that mean no method."""
        if not self.last:
            return
        known = {pattern for selector in selectors for pattern in _wider(selector)} | {EVERYTHING}
        for pattern, (_, node, _rule) in self.last.items():
            if pattern not in known:
                hint = "Write package.Service.Method, package.Service.*, or *; 'apis' names the services."
                node.report(code, f"the selector '{pattern}' matches no method of the service", hint, "selector")

    def report_overruled(self, selectors: Collection[str], named: Collection[str]) -> None:
        """Warn of patterns that mean methods which OpenAPI operations name, and no others."""
        if not named or not self.last:
            return
        holding = {pattern for selector in selectors if selector not in named for pattern in _wider(selector)}
        overruled = {pattern for selector in named for pattern in _wider(selector)} - holding
        for pattern in overruled & self.last.keys():
            hint = "Remove the rule, or say it at the operations of the OpenAPI document."
            message = (
                f"the rule for '{pattern}' has no effect: OpenAPI operations name its methods, and what they say holds"
            )
            self.last[pattern][1].report("rule-overruled", message, hint, "selector")


def _patterns(node: Node) -> Iterator[str]:
    written = comma_list(node.text("selector"))
    if not written and isinstance(node.value.get("selector", ""), str):
        node.report("selector-invalid", "the rule has no 'selector'", "Name the methods that it is for.", "selector")
    for pattern in written:
        if _PATTERN.match(pattern):
            yield pattern
        else:
            hint = "A '*' stands alone, or at the end behind a dot: package.Service.*"
            node.report("selector-invalid", f"'{pattern}' is not a selector", hint, "selector")


def _wider(selector: str) -> Iterator[str]:
    """A method's selector, and the wildcards that match it apart from `*`."""
    yield selector
    above = selector
    while "." in above:
        above = above.rpartition(".")[0]
        yield f"{above}.*"
