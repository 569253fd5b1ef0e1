"""Which operations a document has: one for each binding that OpenAPI can say, and own paths where nothing is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from google.api import http_pb2

from authz.model.service import DEFAULT_DEADLINE, Operation, Rpc, ServiceConfig
from authz.sources.openapi.operations import METHODS
from authz.sources.protos.methods import STREAM_TIMEOUT
from authz.sources.write.lexicon import Lexicon, pattern
from authz.sources.write.order import ordered

_GOOGLES = "google."


@dataclass(frozen=True, slots=True)
class Planned:
    """One operation of the document. `rule` is None where gRPC clients call: the RPC's own path.

    `is_apart`: it is the own path of an RPC whose other operations have another backend. `timeout` is how long a
    stream may be silent, 0 where that need not be said.
    """

    operation: Operation
    rpc: Rpc
    rule: http_pb2.HttpRule | None
    tag: str
    timeout: float
    is_apart: bool = False
    name: str = ""

    @property
    def path(self) -> str:
        """The document's key for it."""
        return self.operation.template.text

    @property
    def method(self) -> str:
        """The key below the path."""
        return self.operation.method.lower()


class Plan:
    """The operations of a document in their order, the tags of its services, and what it cannot say."""

    def __init__(self, config: ServiceConfig, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.remarks: list[str] = []
        methods = self._methods(config)
        self.tags = _tags([operations[0].rpc.service for operations in methods.values() if operations[0].rpc])
        self.taken: set[str] = set()
        chains = [list(self._method(operations)) for operations in methods.values()]
        self.operations = self._ordered(chains)
        self._remark_on_others(config)

    def _methods(self, config: ServiceConfig) -> dict[str, list[Operation]]:
        """The operations of each RPC, in the order of the protos: what names them may have another."""
        methods: dict[str, list[Operation]] = {}
        for operation in config.operations:
            if operation.rpc:
                methods.setdefault(operation.selector, []).append(operation)
        return {selector: methods[selector] for selector in sorted(methods, key=self.lexicon.place)}

    def _method(self, operations: Sequence[Operation]) -> Iterator[Planned]:
        rules = {pattern(rule): rule for rule in self.lexicon.bindings(operations[0].selector)}
        bound = [one for one in operations if not one.is_rpc_path and self._is_sayable(one)]
        # The own path comes by itself with the bindings; it is written where it is all there is, or goes elsewhere.
        own = [one for one in operations if one.is_rpc_path and (not bound or one.backend != bound[0].backend)]
        first = (*bound, *own)[0]
        self._remark_on_own_path(first, rules)
        for operation in (*bound, *own):
            if operation.rpc:
                rule = rules.get((operation.method, operation.template.text)) if operation in bound else None
                timeout = 0.0 if first.stream_timeout == _usual_timeout(first) else first.stream_timeout
                is_apart = operation.is_rpc_path and bool(bound)
                yield Planned(operation, operation.rpc, rule, self.tags[operation.rpc.service], timeout, is_apart)

    def _is_sayable(self, operation: Operation) -> bool:
        if operation.method.lower() in METHODS:
            return True
        what = "any method" if operation.method == "*" else f"the method {operation.method}"
        self.remarks.append(
            f"{operation.selector} is bound to {what} of {operation.template.text}, which OpenAPI has no word for: "
            "this binding is left out"
        )
        return False

    def _remark_on_own_path(self, first: Operation, rules: Mapping[tuple[str, str], http_pb2.HttpRule]) -> None:
        """An RPC's own path takes its whole request, whatever a rule says of it, and is nobody's first binding."""
        rule = rules.get(("POST", first.rpc.path)) if first.rpc else None
        if rule is not None and (rule.body != "*" or not first.speaks_grpc):
            self.remarks.append(
                f"the http rule of {first.selector} for its own path has no effect beside the document: what is sent "
                "there is the whole request"
            )

    def _name(self, rpc: Rpc) -> str:
        """An operationId: tag and method, and a number if there are several."""
        stem = name = f"{self.tags[rpc.service].replace('.', '_')}_{rpc.method}"
        number = 1
        # Readers tell ids apart by their letters and digits, and take the first letter for a capital.
        while (key := name[:1].upper() + name[1:]) in self.taken:
            number += 1
            name = f"{stem}{number}"
        self.taken.add(key)
        return name

    def _ordered(self, chains: Sequence[Sequence[Planned]]) -> list[Planned]:
        by_slot = {(one.path, one.method): one for chain in chains for one in chain}
        slots, broken = ordered([(one.path, one.method) for one in chain] for chain in chains)
        for number in broken:
            first = chains[number][0]
            self.remarks.append(
                f"{first.operation.method} {first.path} is no longer the first binding of {first.operation.selector}: "
                "another RPC has the same paths the other way round"
            )
        return [replace(by_slot[slot], name=self._name(by_slot[slot].rpc)) for slot in slots]

    def _remark_on_others(self, config: ServiceConfig) -> None:
        rest = [one for one in config.operations if not one.rpc and not one.generated]
        for file in dict.fromkeys(one.file for one in rest):
            count = sum(one.file == file for one in rest)
            self.remarks.append(f"{count} operations of {file} are no RPCs and not written: deploy {file} as well")
        served = {one.operation.rpc.service for one in self.operations if one.operation.rpc}
        for name in dict.fromkeys(selector.rpartition(".")[0] for selector in self.lexicon.rules):
            if name not in served and not name.startswith(_GOOGLES):
                self.remarks.append(
                    f"{name} is not served now, but has http annotations: beside the document its methods would be, "
                    "with an API key"
                )


def _usual_timeout(operation: Operation) -> float:
    """How long the streams of an operation may be silent where nothing is said of it."""
    rpc, deadline = operation.rpc, operation.backend.deadline
    if rpc is None or not (rpc.client_streaming or rpc.server_streaming):
        return 0.0
    return deadline if deadline != DEFAULT_DEADLINE else STREAM_TIMEOUT


def _tags(services: Sequence[str]) -> dict[str, str]:
    """What services are called: by their last name, or the whole one where two have the same last name."""
    names = dict.fromkeys(services)
    short = [name.rpartition(".")[2] for name in names]
    return {name: last if short.count(last) == 1 else name for name, last in zip(names, short, strict=True)}
