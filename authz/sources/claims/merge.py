"""The operations of one RPC put together: its http rule, where its calls go, and whether they agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from google.api import http_pb2

from authz.model.paths import Template
from authz.model.service import LOCAL, Backend, Operation, PathTranslation, Protocol
from authz.sources.claims.judge import Judge
from authz.sources.claims.mapping import Mapping
from authz.sources.claims.said import Taken
from authz.sources.node import Node
from authz.sources.openapi.backends import check_grpc_backend, is_rest
from authz.sources.openapi.reading import Reading
from authz.sources.openapi.rpcs import Claim
from authz.sources.protos.bindings import Rule, bindings
from authz.sources.protos.descriptors import Method, Place
from authz.sources.protos.methods import OWN, STREAM_TIMEOUT, Calls
from authz.sources.syntax.tree import Map

_ONE = "Write the same into each: whichever way an RPC is called, it is one operation."
_BACKEND = "x-google-backend"


@dataclass(frozen=True, slots=True)
class Merged:
    """An RPC as documents describe it."""

    rule: http_pb2.HttpRule | None
    operations: tuple[Operation, ...]


def merge(method: Method, claims: Sequence[Claim], calls: Calls, judge: Judge, taken: Taken) -> Merged:
    """What the operations that name an RPC come to. `calls` is what holds where they name no backend."""
    mapped = [Mapping(claim, method, judge, taken) for claim in claims]
    rules = [(one, http) for one in mapped if (http := one.rule()) is not None]
    _check_agreement(mapped)
    rule = _rule(rules)
    own = next((one for one in mapped if one.is_own_path), None)
    first = next((one.claim for one in mapped if one is not own), claims[0])
    made = _Made(method, first, _calls(method, first, own, calls))
    return Merged(rule.http if rule else None, tuple(made.operations(rules, rule, own)))


def _calls(method: Method, first: Claim, own: Mapping | None, calls: Calls) -> Calls:
    """Where calls go: where the operations say, or else where `calls` do. The own path may say it for itself."""
    if first.operation.backend != LOCAL:
        backend = _backend(first)
        calls = Calls(backend, backend, _timeout(first, method))
    if own and own.claim.operation.backend != LOCAL:
        calls = replace(calls, own=_backend(own.claim))
    return replace(calls, stream_timeout=first.operation.stream_timeout or calls.stream_timeout)


def _rule(rules: Sequence[tuple[Mapping, http_pb2.HttpRule]]) -> Rule | None:
    """The first as the primary binding, the others as additional ones."""
    if not rules:
        return None
    (_, http), *more = rules
    whole = http_pb2.HttpRule()
    whole.CopyFrom(http)
    whole.additional_bindings.extend(other for _, other in more)
    places = [_place(one.claim) for one, _ in rules]
    return Rule(whole, places[0], tuple(places[1:]))


@dataclass(frozen=True, slots=True)
class _Made:
    """What the operations of an RPC have in common."""

    method: Method
    first: Claim
    calls: Calls

    def operations(
        self, rules: Sequence[tuple[Mapping, http_pb2.HttpRule]], rule: Rule | None, own: Mapping | None
    ) -> Iterator[Operation]:
        """One operation for each binding, and one for the RPC's own path."""
        if rule is not None:
            claims = {id(place): one.claim for place, (one, _) in zip((rule.place, *rule.more), rules, strict=True)}
            for binding in bindings(self.method, rule):
                yield self.operation(claims[id(binding.place)].operation, binding.template, self.calls.bound)
        described = own.claim if own else self.first
        yield replace(
            self.operation(described.operation, Template.parse(self.method.rpc.path), self.calls.own),
            method="POST",
            websocket=False,
        )

    def operation(self, written: Operation, template: Template, backend: Backend) -> Operation:
        """An operation as it was written, as one of the RPC's."""
        made = replace(
            written,
            selector=self.method.selector,
            template=template,
            requirement=self.first.operation.requirement,
            costs=self.first.operation.costs,
            backend=backend,
            body_name="",
            parameters=(),
            stream_timeout=self.calls.stream_timeout,
            summary=written.summary or self.method.summary,
            rpc=self.method.rpc,
        )
        return replace(made, websocket=False) if made.speaks_grpc else made


def _backend(claim: Claim) -> Backend:
    """The backend of an operation as an RPC's."""
    return _of_rpc(claim.operation.backend)


def _of_rpc(backend: Backend) -> Backend:
    """A backend that takes gRPC calls has no paths to translate."""
    if is_rest(backend):
        return backend
    return replace(backend, path_translation=PathTranslation.APPEND, protocol=Protocol.HTTP2)


def root_backend(documents: Sequence[Reading]) -> Backend:
    """The gRPC backend of documents that have one at their root: where RPCs go that they leave to annotations."""
    found = {one.backend for one in documents if one.backend.address.startswith("grpc")}
    return _of_rpc(found.pop()) if len(found) == 1 else OWN


def _timeout(claim: Claim, method: Method) -> float:
    """How long a stream may be silent; 0 for an RPC without streams, which has a deadline."""
    streams = method.rpc.client_streaming or method.rpc.server_streaming
    backend = claim.operation.backend
    given = backend.deadline if backend.deadline != LOCAL.deadline else STREAM_TIMEOUT
    return given if streams else 0.0


def _check_agreement(mapped: Sequence[Mapping]) -> None:
    """Complain of operations of one RPC that differ in what is one for all. Its own path may have its own backend."""
    first = mapped[0]
    bound = next((one for one in mapped if not one.is_own_path), first)
    for other in mapped[1:]:
        one, two = first.claim.operation, other.claim.operation
        _differ(first, other, "security", one.requirement != two.requirement)
        _differ(first, other, "x-google-quota", one.costs != two.costs)
        _differ(first, other, "x-authz-stream-timeout", one.stream_timeout != two.stream_timeout)
        if not other.is_own_path:
            _differ(bound, other, _BACKEND, bound.claim.operation.backend != two.backend)
    for each in mapped:
        _check_backend(each.claim)


def _differ(first: Mapping, other: Mapping, key: str, differs: bool) -> None:
    if differs:
        one = first.claim.operation
        message = (
            f"'{key}' of {first.method.selector} is not the same here as at {one.method} {one.template.text} "
            f"({one.file}:{one.line})"
        )
        other.claim.node.report("grpc-disagree", message, _ONE, key)


def _check_backend(claim: Claim) -> None:
    """Complain of a gRPC backend that asks for what no RPC has."""
    if not is_rest(claim.operation.backend):
        check_grpc_backend(_declared(claim.node), claim.operation.backend)


def _declared(node: Node) -> Node:
    """Where the backend of an operation is declared: there, at the root, or among the root's backends."""
    root = Node(node.document, node.document.root, "the document")
    holder = node if _BACKEND in node else root
    value = holder.value.get(_BACKEND)
    if isinstance(value, str):
        above: object = root.value.get("x-google-api-management")
        for key in ("backends", value):
            above = above.get(key) if isinstance(above, Map) else None
        value = above
    return Node(node.document, value, f"'{_BACKEND}'") if isinstance(value, Map) else holder


def _place(claim: Claim) -> Place:
    """Where an operation names its RPC."""
    return Place(claim.operation.file, claim.node.line(claim.key), claim.node.document.findings)
