"""x-authz-grpc: what an operation says of the RPC behind it. Whether that RPC exists, the protos know (`claims`)."""

from __future__ import annotations

from dataclasses import dataclass

from authz.model.service import Operation
from authz.sources.node import Node
from authz.sources.syntax.tree import Map

_KEY = "x-authz-grpc"
_RESPONSE = ("response_body", "responseBody")


@dataclass(frozen=True, slots=True)
class Named:
    """The extension: an RPC, and which of its fields are the bodies, as far as it says."""

    rpc: str = ""
    body: str = ""
    response_body: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """An operation that names its RPC, or that may name it by its operationId because its backend takes gRPC calls.

    `path` is as the document has it, without the base path. `parameters` are its own and its path's, references
    followed. `order` sorts the claims of a document as they stand in it.
    """

    operation: Operation
    path: str
    node: Node
    named: Named
    parameters: tuple[Node, ...]
    order: tuple[int, int]

    @property
    def operation_id(self) -> str:
        """The operationId as it is written."""
        written = self.node.value.get("operationId")
        return written.strip() if isinstance(written, str) else ""

    @property
    def called(self) -> str:
        """The path of gRPC calls that the operation describes, if it describes any; no base path is before it."""
        return self.path if self.operation.method == "POST" else ""

    @property
    def key(self) -> str:
        """Where findings about the RPC stand: the field that names it."""
        return _KEY if self.named.rpc else "operationId"


def claim(
    operation: Operation, path: str, node: Node, parameters: tuple[Node, ...], order: tuple[int, int]
) -> Claim | None:
    """What an operation says of its RPC; None if it says nothing."""
    named = _named(node)
    if named is None or not (named.rpc or operation.backend.address.startswith("grpc")):
        return None
    return Claim(operation, path, node, named, parameters, order)


def _named(node: Node) -> Named | None:
    """What x-authz-grpc says; None (and a finding) if it cannot be understood."""
    value = node.value.get(_KEY)
    if value is None or isinstance(value, str):
        written = node.text(_KEY)
        if isinstance(value, str) and not written:
            node.report("field-missing", f"'{_KEY}' is empty", "Write 'package.Service/Method', or remove it.", _KEY)
        return Named(written) if written or _KEY not in node else None
    if not isinstance(value, Map):
        node.wrong(_KEY, "a string or a mapping")
        return None
    mapping = Node(node.document, value, f"'{_KEY}'")
    mapping.known("method", "body", *_RESPONSE)
    named = Named(mapping.text("method"), mapping.text("body"), mapping.text(*_RESPONSE))
    if not named.rpc:
        mapping.report("field-missing", f"'{_KEY}' has no 'method'", "Add 'method: package.Service/Method'.")
        return None
    return named
