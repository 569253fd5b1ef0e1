"""Paths and methods: every operation of a document, in the order of Google's compiler."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

from authz.model.paths import PathError, Template
from authz.model.service import Backend, Operation
from authz.sources.extensions import (
    OPERATION,
    PARAMETER,
    PATH_ITEM,
    check_names,
    refuse_placeholder,
    stream_timeout,
)
from authz.sources.node import Node
from authz.sources.openapi.quotas import costs
from authz.sources.openapi.reading import Reading
from authz.sources.openapi.rpcs import claim
from authz.sources.openapi.security import Guard

METHODS = ("get", "delete", "patch", "post", "put", "options", "head")
UNLISTED_METHODS = ("Get", "Delete", "Patch", "Post", "Put")
_ITEM_FIELDS = frozenset({"parameters", "servers", "summary", "description", "$ref"})
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")
_WORD = re.compile(r"[A-Za-z0-9_]+")


class Backends(Protocol):
    """How a family of OpenAPI says where an operation goes."""

    def operation(self, node: Node, inherited: Backend) -> Backend:
        """The backend of one operation."""


WebSockets = Callable[[Node], bool | None]
"""How a family of OpenAPI says that a node's operations are open to WebSocket; None where the node does not say."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of one operation: names in path and query, the body's name, and path parameters that match any depth."""

    names: tuple[str, ...] = ()
    body: str = ""
    deep: frozenset[str] = frozenset()
    nodes: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Above:
    """What stands above an operation: its line, its place in the document, its path's parameters, and WebSocket."""

    line: int
    order: tuple[int, int]
    shared: list[Node]
    websocket: bool


class Walk:
    """One walk over the paths of a document."""

    def __init__(self, root: Node, reading: Reading, guard: Guard, backends: Backends, websockets: WebSockets) -> None:
        self.root = root
        self.reading = reading
        self.guard = guard
        self.backends = backends
        self.websockets = websockets
        self.websocket = websockets(root) or False
        self.timeout = stream_timeout(root, 0.0)
        self.ids: dict[str, tuple[str, int]] = {}
        self.templates: dict[tuple[str, frozenset[str]], Template | None] = {}

    def run(self) -> None:
        """Read all operations into the reading, and those that x-google-allow adds."""
        paths = self.root.child("paths")
        for number, path in sorted(enumerate(paths.value), key=itemgetter(1)) if paths else ():
            if paths is not None and not path.startswith("x-"):
                self.path(paths, path, number)
        if self.reading.allow_all:
            self.reading.operations += self.unlisted()
        if not self.reading.operations and not self.root.document.findings.has_errors:
            message, hint = (
                "the document has no operations: every request gets 404",
                "Add paths, or x-google-allow: all.",
            )
            self.root.report("no-operations", message, hint, "paths")

    def path(self, paths: Node, path: str, number: int) -> None:
        """Read the methods of one path."""
        written = paths.child(path)
        item = written.resolved() if written else None
        if item is None or refuse_placeholder(paths, path, path):
            return
        check_names(item, PATH_ITEM)
        shared = parameters(item)
        own = self.websockets(item)
        websocket = self.websocket if own is None else own
        places = {key: place for place, key in enumerate(item.value)}
        for key in item.value:
            if key not in METHODS and key not in _ITEM_FIELDS and key[:2] != "x-":
                hint = f"Methods are {', '.join(METHODS)}, in lower case."
                item.report("method-ignored", f"'{key}' of {path} is not served", hint, key)
        for method in METHODS:
            if method not in item:
                continue
            node = item.child(method)
            if node is not None:
                above = Above(item.line(method), (number, places[method]), shared, websocket)
                self.operation(paths, path, method, node, above)
            elif item.value[method] is None:
                item.wrong(method, "a mapping")

    def operation(self, paths: Node, path: str, method: str, node: Node, above: Above) -> None:
        """Read one operation."""
        check_names(node, OPERATION)
        name = self.name(node, path, method, above.line)
        declared = collect([*above.shared, *parameters(node)], has_body="requestBody" in node)
        template = self.template(paths, path, declared.deep)
        # Everything is read even where nothing can come of it, so that one run shows all mistakes.
        requirement = self.guard.requirement(node)
        charged = costs(node, self.reading)
        backend = self.backends.operation(node, self.reading.backend)
        timeout = stream_timeout(node, self.timeout)
        websocket = self.upgrades(node, method, above)
        if template is None or not name:
            return
        operation = Operation(
            selector=f"{self.reading.api.name}.{name}",
            method=method.upper(),
            template=template,
            requirement=requirement,
            costs=charged,
            backend=backend,
            body_name=declared.body,
            stream_timeout=timeout,
            summary=_summary(node),
            parameters=declared.names,
            websocket=websocket,
            file=self.reading.file,
            line=above.line,
        )
        self.reading.operations.append(operation)
        if claimed := claim(operation, path, node, declared.nodes, above.order):
            self.reading.claims.append(claimed)

    def upgrades(self, node: Node, method: str, above: Above) -> bool:
        """Whether an operation is open to WebSocket, which begins with a GET request."""
        own = self.websockets(node)
        if own and method != "get":
            hint = "Declare it at a GET operation: RFC 6455 upgrades no other request."
            message = f"a {method.upper()} request is never upgraded to WebSocket"
            node.document.report("websocket-method", above.line, message, hint)
        return method == "get" and (above.websocket if own is None else own)

    def template(self, paths: Node, path: str, deep: frozenset[str]) -> Template | None:
        """The template of a path; its methods share it."""
        key = (path, deep)
        if key not in self.templates:
            self.templates[key] = self.parse(paths, path, deep)
        return self.templates[key]

    def parse(self, paths: Node, path: str, deep: frozenset[str]) -> Template | None:
        """Base path and path as one template."""
        text = path
        for name in deep:
            text = text.replace(f"{{{name}}}", f"{{{name}=**}}")
        base = self.reading.api.base_path
        try:
            if not path.startswith("/"):
                Template.parse(path)
            return Template.parse(base if base and text == "/" else base + text)
        except PathError as error:
            hint = "A path is '/' and whole segments: literals, '{name}', '*', '**', and ':verb' at the end."
            paths.report("path-invalid", str(error), hint, path)
            return None

    def name(self, node: Node, path: str, method: str, line: int) -> str:
        """The method name of an operation; '' (and a finding) if another one has it."""
        written = node.text("operationId")
        name = method_name(written) or self.derived(path, method, line)
        before = self.ids.setdefault(name, (written, line))
        if before == (written, line) or not name:
            return name
        message = f"operationId '{written}' is a duplicate entry: line {before[1]} has it too"
        if before[0] != written:
            message = (
                f"operationId '{written}' and '{before[0]}' (line {before[1]}) have the same underlying method name"
            )
        node.report("operation-id-duplicate", message, "Give every operation an id of its own.", "operationId")
        return ""

    def derived(self, path: str, method: str, line: int) -> str:
        """A name for an operation without an id; OpenAPI 2.0 insists on one, as Cloud Endpoints did."""
        stem = name = method_name("".join(word[0].upper() + word[1:] for word in _WORD.findall(f"{method} {path}")))
        number = 1
        while name in self.ids:
            number += 1
            name = f"{stem}{number}"
        version3 = self.reading.is_version3
        code = "operation-id-derived" if version3 else "operation-id-missing"
        message = f"{method} {path} has no operationId" + (f"; it is named '{name}'" if version3 else "")
        self.root.document.report(code, line, message, f"Write, for example, 'operationId: {name}'.")
        return name

    def unlisted(self) -> Iterator[Operation]:
        """The operations of x-google-allow: all. Nobody is asked for anything there."""
        template = Template.parse(f"{self.reading.api.base_path}/**")
        for method in UNLISTED_METHODS:
            yield Operation(
                selector=f"{self.reading.api.name}.Google_Autogenerated_Unrecognized_{method}_Method_Call",
                method=method.upper(),
                template=template,
                backend=self.reading.backend,
                stream_timeout=self.timeout,
                websocket=self.websocket and method == "Get",
                generated=True,
                file=self.reading.file,
                line=self.root.line("x-google-allow"),
            )


def method_name(operation_id: str) -> str:
    """The method name of google.api.Service: letters, digits and '_' only, the first letter in upper case."""
    name = _NOT_IN_NAMES.sub("", operation_id)
    return name[:1].upper() + name[1:]


def parameters(node: Node) -> list[Node]:
    """The parameters of an operation or a path, references followed."""
    if "parameters" not in node:
        return []
    return [found for entry in node.children("parameters") if (found := entry.resolved())]


def collect(declared: list[Node], has_body: bool) -> Parameters:
    """What the parameters mean; a later one replaces an earlier one of the same name and place."""
    merged: dict[tuple[str, str], Node] = {(node.text("in"), node.text("name")): node for node in declared}
    body = next((name for place, name in merged if place == "body"), "body" if has_body else "")
    names = tuple(name for place, name in merged if name and place in {"path", "query"})
    deep = frozenset(name for (place, name), node in merged.items() if place == "path" and _is_deep(node))
    return Parameters(names, body, deep, tuple(merged.values()))


def _summary(node: Node) -> str:
    summary = node.value.get("summary") or node.value.get("description")
    return summary.strip().split("\n", 1)[0] if isinstance(summary, str) else ""


def _is_deep(node: Node) -> bool:
    """x-google-parameter: whether a path parameter matches any number of segments."""
    if "x-google-parameter" not in node:
        return False
    check_names(node, PARAMETER)
    extension = node.child("x-google-parameter")
    if extension is None:
        return False
    extension.known("pattern")
    return extension.choice(("*", "**"), "pattern") == "**"
