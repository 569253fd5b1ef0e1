"""Which RPCs of a service are served, and what each comes to: as documents say, or else as rules and annotations do."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from authz.model.service import LOCAL
from authz.sources.claims.judge import Judge
from authz.sources.claims.merge import Merged, merge
from authz.sources.claims.said import Claimed, credentials
from authz.sources.openapi.reading import Reading
from authz.sources.openapi.rpcs import Claim
from authz.sources.protos.descriptors import Method, Place
from authz.sources.protos.methods import Rulings

_MOST = 8  # names in a message


class Served:
    """The RPCs of one service. `listed` are the gRPC services that a YAML's `apis` name."""

    def __init__(self, claimed: Claimed, rulings: Rulings, listed: Collection[str]) -> None:
        self.claimed = claimed
        self.rulings = rulings
        self.listed = listed

    def described(self, methods: Sequence[Method], readings: Sequence[Reading]) -> dict[str, Merged]:
        """What is served, by selector. `readings` are all of the service that were read before."""
        found = {method.selector: one for method in methods if (one := self._ruled(method))}
        self._report_unserved([method for method in methods if not self._is_served(method)])
        ruled = [operation for one in found.values() for operation in one.operations]
        judge, taken = Judge(), credentials(readings, ruled)
        for method in methods:
            if claims := self.claimed.get(method.selector):
                found[method.selector] = merge(method, claims, self.rulings.calls(method), judge, taken)
                self._check_open(method, claims)
        saying = {name for name, claims in self.claimed.items() if claims[0].operation.backend != LOCAL}
        for method in methods:
            if described := found.get(method.selector):
                _check_bound(method, described)
                _check_tokens(method, described)
        self.rulings.report_overruled([method.selector for method in methods], self.claimed.keys(), saying)
        return found

    def _ruled(self, method: Method) -> Merged | None:
        if method.selector in self.claimed or not self._is_served(method):
            return None
        rule = self.rulings.rule(method)
        return Merged(rule.http if rule else None, tuple(self.rulings.operations(method, rule)))

    def _is_served(self, method: Method) -> bool:
        """Beside a document that names RPCs, others are served where something else names them."""
        return (
            not self.claimed
            or method.selector in self.claimed
            or method.rpc.service in self.listed
            or self.rulings.rule(method) is not None
        )

    def _report_unserved(self, methods: Sequence[Method]) -> None:
        by_service: dict[str, list[Method]] = {}
        for method in methods:
            by_service.setdefault(method.rpc.service, []).append(method)
        for service, missing in by_service.items():
            names = ", ".join(method.rpc.method for method in missing[:_MOST])
            more = f" and {len(missing) - _MOST} more" if len(missing) > _MOST else ""
            hint = "Name them with x-authz-grpc, give them http rules, or list the service in 'apis' of a service YAML."
            missing[0].place.report("grpc-unserved", f"no document names {names}{more} of {service}: not served", hint)

    def _check_open(self, method: Method, claims: Sequence[Claim]) -> None:
        """Warn where a document opens what a YAML closes."""
        tokens = self.rulings.tokens.holds(method.selector)
        if tokens and tokens.wanted and claims[0].operation.requirement.is_open:
            asks = tokens.places[0]
            message = (
                f"{method.selector} is open to everyone: this document's 'security' holds, not the token that "
                f"{asks.document.file}:{asks.line()} asks for"
            )
            hint = "Add 'security' here, or write 'security: []' once you have removed the rule there."
            Place(claims[0].operation.file, claims[0].operation.line, method.place.findings).report(
                "rule-overruled", message, hint
            )


def _check_bound(method: Method, described: Merged) -> None:
    """Warn of an RPC whose gRPC callers cannot be brought to its REST backend."""
    own = described.operations[-1]
    if own.speaks_grpc:
        return
    streams = method.rpc.client_streaming or method.rpc.server_streaming
    why = "it streams" if streams else "no http rule says how" if described.rule is None else ""
    if why:
        message = f"gRPC calls of {method.selector} cannot become requests to its REST backend: {why}"
        hint = "Give gRPC callers a backend of their own: 'overrides_by_request_protocol: {grpc: ...}'."
        Place(own.file, own.line, method.place.findings).report("backend-unbound", message, hint)


def _check_tokens(method: Method, described: Merged) -> None:
    """Complain of backends that ask for different tokens: the gateway adds one to all calls of an RPC."""
    own, bound = described.operations[-1], described.operations[0]
    if own.backend.jwt_audience != bound.backend.jwt_audience:
        message = f"the backends of {method.selector} ask for different tokens of the gateway, but an RPC has one"
        hint = "Write the same 'jwt_audience', or 'disable_auth: true', for gRPC clients and for http rules."
        Place(bound.file, bound.line, method.place.findings).report("backend-audience", message, hint)
