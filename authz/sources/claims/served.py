"""Which RPCs of a service are served, and what each comes to: as documents say, or else as rules and annotations do."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from authz.model.auth import Requirement
from authz.model.service import LOCAL
from authz.sources.claims.judge import Judge
from authz.sources.claims.merge import Merged, merge
from authz.sources.claims.said import Claimed, taken
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
        unserved = [method for method in methods if not self._is_served(method)]
        self._report_unserved(unserved, is_all_allowed=any(one.allow_all for one in readings))
        ruled = [operation for one in found.values() for operation in one.operations]
        judge, no_fields = Judge(), taken(readings, ruled)
        for method in methods:
            if claims := self.claimed.get(method.selector):
                found[method.selector] = merge(method, claims, self.rulings.calls(method), judge, no_fields)
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

    def _report_unserved(self, methods: Sequence[Method], *, is_all_allowed: bool) -> None:
        by_service: dict[str, list[Method]] = {}
        for method in methods:
            by_service.setdefault(method.rpc.service, []).append(method)
        for service, missing in by_service.items():
            names = ", ".join(method.rpc.method for method in missing[:_MOST])
            more = f" and {len(missing) - _MOST} more" if len(missing) > _MOST else ""
            hint = "Name them with x-authz-grpc, give them http rules, or list the service in 'apis' of a service YAML."
            so = "only 'x-google-allow: all' lets calls of them through" if is_all_allowed else "not served"
            missing[0].place.report("grpc-unserved", f"no document names {names}{more} of {service}: {so}", hint)

    def _check_open(self, method: Method, claims: Sequence[Claim]) -> None:
        """Warn where a document asks callers for less than a YAML does."""
        operation = claims[0].operation
        requirement, selector = operation.requirement, method.selector
        tokens, usage = self.rulings.tokens.holds(selector), self.rulings.usage.holds(selector)
        place, asked = None, ""
        if tokens and tokens.wanted and (requirement.is_open or not (tokens.optional or _wants_token(requirement))):
            place, asked = tokens.places[0], "token"
        elif usage and usage.needs_key and requirement.is_open:
            place, asked = self.rulings.usage.place(selector), "API key"
        if place is None:
            return
        opened = "is open to everyone" if requirement.is_open else f"can be called without a {asked}"
        message = (
            f"{selector} {opened}: this document's 'security' holds, not the {asked} that "
            f"{place.document.file}:{place.line()} asks for"
        )
        here = "write 'security: []'" if requirement.is_open else "leave it so"
        hint = f"Add it to 'security' here, or {here} once you have removed the rule there."
        Place(operation.file, operation.line, method.place.findings).report("rule-overruled", message, hint)


def _wants_token(requirement: Requirement) -> bool:
    """Whether nobody passes without a token."""
    return not requirement.optional and all(way.jwt for way in requirement.alternatives)


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
