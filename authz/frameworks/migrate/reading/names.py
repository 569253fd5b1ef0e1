"""A checked module, and what its names refer to: `e.method` is `endpoints.method` after `import endpoints as e`.

Old and new imports lead to the same names, so that code which has been changed in part is read right as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

from authz.frameworks.migrate.rules import Found

N = TypeVar("N", bound=ast.AST)

ROOTS: Final = {
    "google.appengine.ext.endpoints": "endpoints",
    "authz.frameworks": "",
    "protorpc": "",
    "endpoints.messages": "messages",
    "endpoints.message_types": "message_types",
    "endpoints.remote": "remote",
    "endpoints.api_config": "endpoints",
    "endpoints.api_exceptions": "endpoints",
    "endpoints.users_id_token": "endpoints",
    "endpoints.types": "endpoints",
    "endpoints.constants": "endpoints",
    "endpoints.apiserving": "endpoints",
}
STAR: Final = ("api", "method", "api_server", "get_current_user", "ResourceContainer", "Issuer", "LimitDefinition")
"""What `from endpoints import *` is taken to bring."""


@dataclass(frozen=True)
class Module:
    """One file: its syntax tree, the lines that only Python 2 understands, and its names."""

    name: str
    tree: ast.Module
    repairs: tuple[Found, ...] = ()
    beside: frozenset[str] = frozenset()

    def all(self, *kinds: type[N]) -> Iterator[N]:
        """Every node of these kinds."""
        for node in self.nodes:
            if isinstance(node, kinds):
                yield node

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node there is."""
        return list(ast.walk(self.tree))

    @cached_property
    def table(self) -> dict[str, str]:
        """What names at the head of an expression refer to."""
        table: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                table.update(_imported(node))
        for assigned in self.all(ast.Assign):
            if isinstance(assigned.value, ast.Call):
                made = _dotted(assigned.value.func, table)
                table.update({t.id: f"{made}()" for t in assigned.targets if isinstance(t, ast.Name) and made})
        return table

    def refers(self, node: ast.AST | None) -> str:
        """The dotted name that an expression refers to; '' if it is no such thing."""
        return _dotted(node, self.table)

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Every call of something that has a name."""
        for node in self.all(ast.Call):
            name = self.refers(node.func)
            if name:
                yield name, node

    @cached_property
    def bound(self) -> set[str]:
        """Names that the module gives a meaning itself, wherever."""
        stored = {node.id for node in self.all(ast.Name) if not isinstance(node.ctx, ast.Load)}
        defined = {getattr(node, "name", "") for node in self.nodes}
        return stored | defined | self.table.keys() | {node.arg for node in self.all(ast.arg)}


def canonical(name: str) -> str:
    """One name for what has been importable from several places."""
    for root in sorted(ROOTS, key=len, reverse=True):
        if name == root or name.startswith(f"{root}."):
            return (ROOTS[root] + name[len(root) :]).lstrip(".")
    return name


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            full = alias.name if alias.asname else alias.name.partition(".")[0]
            yield alias.asname or full, canonical(full) or full
        return
    for alias in node.names:
        if alias.name == "*":
            yield from ((name, f"endpoints.{name}") for name in STAR if canonical(node.module or "") == "endpoints")
        else:
            yield alias.asname or alias.name, canonical(f"{node.module or ''}.{alias.name}")


def _dotted(node: ast.AST | None, table: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return table.get(node.id, "")
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value, table)
        return canonical(f"{owner}.{node.attr}") if owner else ""
    return ""


def constant(node: ast.AST | None) -> object:
    """What a literal is; None for anything else."""
    return node.value if isinstance(node, ast.Constant) else None


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """An argument given by name."""
    return next((one.value for one in call.keywords if one.arg == name), None)
