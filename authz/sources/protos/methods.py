"""What the rules of a service make of its methods: requirement, costs, backend, http rule; in the end, operations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from authz.model.auth import DEFAULT_KEY_PLACES, OPEN, Alternative, Place, Requirement
from authz.model.paths import Template
from authz.model.quota import Cost
from authz.model.service import Backend, Operation, Protocol
from authz.sources.protos.bindings import Rule, bindings
from authz.sources.protos.descriptors import Method
from authz.sources.protos.rules import Rules
from authz.sources.protos.service_yaml import RpcBackend, ServiceYaml, Tokens, Usage

STREAM_TIMEOUT = 300.0  # seconds of silence, as Cloud Endpoints has it
_HEALTH = "grpc.health.v1.Health"
_NO_RULE = Usage(needs_key=True, is_counted=True)
OWN = Backend(protocol=Protocol.HTTP2)
"""Where RPCs are served that nothing gives another place: the gateway's own backend."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Where calls of an RPC go: those of its bindings, and those of gRPC clients. Seconds a stream may be silent."""

    bound: Backend
    own: Backend
    stream_timeout: float


class Rulings:
    """All rules of a service, and what they come to for a method. Without a rule it is served by `backend`."""

    def __init__(self, yamls: Sequence[ServiceYaml], backend: Backend = OWN) -> None:
        self.default = backend
        self.http = Rules(entry for one in yamls for entry in one.http)
        self.usage = Rules(entry for one in yamls for entry in one.usage)
        self.tokens = Rules(entry for one in yamls for entry in one.tokens)
        self.costs = Rules(entry for one in yamls for entry in one.costs)
        self.backends = Rules(entry for one in yamls for entry in one.backends)
        self.key_places = Rules(entry for one in yamls for entry in one.key_places)
        self.requirements: dict[tuple[object, ...], Requirement] = {}

    def report_unmatched(self, selectors: Collection[str]) -> None:
        """Complain of selectors that match nothing. An http rule without a method is a path that is missing."""
        self.http.report_unmatched(selectors, "http-method-undefined")
        for rules in (self.usage, self.tokens, self.costs, self.backends, self.key_places):
            rules.report_unmatched(selectors, "selector-unmatched")

    def report_overruled(
        self, selectors: Collection[str], named: Collection[str], with_backend: Collection[str]
    ) -> None:
        """Warn of rules whose methods are all named by documents, which say it themselves."""
        for rules in (self.http, self.usage, self.tokens, self.costs, self.key_places):
            rules.report_overruled(selectors, named)
        self.backends.report_overruled(selectors, with_backend)

    def rule(self, method: Method) -> Rule | None:
        """The http rule that holds: the YAML's in place of the proto's."""
        return self.http.holds(method.selector) or Rule.of(method)

    def operations(self, method: Method, rule: Rule | None) -> Iterator[Operation]:
        """One operation for each binding, and one for the RPC's own path."""
        usage = self.usage_of(method)
        calls = self.calls(method)
        requirement, costs = self.requirement(method, usage), self.charges(method, usage)
        own = Template.parse(method.rpc.path)
        bound = [(one.method, one.template, one.place) for one in bindings(method, rule)] if rule else []
        # A rule may spell out the path that every RPC has; it is the same operation.
        others = [(*one, calls.bound) for one in bound if one[:2] != ("POST", own)]
        for verb, template, place, backend in (*others, ("POST", own, method.place, calls.own)):
            yield Operation(
                selector=method.selector,
                method=verb,
                template=template,
                requirement=requirement,
                costs=costs,
                backend=backend,
                stream_timeout=calls.stream_timeout,
                summary=method.summary,
                rpc=method.rpc,
                file=place.file,
                line=place.line,
            )

    def usage_of(self, method: Method) -> Usage:
        """The usage rule that holds. Health checks are open unless a rule names them: whoever asks has no key."""
        is_health = method.rpc.service == _HEALTH
        found = self.usage.holds(method.selector, by_name=is_health)
        return found or (Usage(needs_key=False, is_counted=False) if is_health else _NO_RULE)

    def charges(self, method: Method, usage: Usage) -> tuple[Cost, ...]:
        """What a call takes of each metric."""
        return (self.costs.holds(method.selector) or ()) if usage.is_counted else ()

    def requirement(self, method: Method, usage: Usage) -> Requirement:
        """What callers must present: a key unless usage lets them go without, and a token where one is asked for."""
        tokens = self.tokens.holds(method.selector, by_name=method.rpc.service == _HEALTH)
        places = (self.key_places.holds(method.selector) or DEFAULT_KEY_PLACES) if usage.needs_key else ()
        key = (id(tokens), places)
        if key not in self.requirements:
            self.requirements[key] = _requirement(places, tokens)
        return self.requirements[key]

    def calls(self, method: Method) -> Calls:
        """Where calls go, and how long a stream may be silent; 0 for an RPC without streams, which has a deadline."""
        ruled = self.backends.holds(method.selector) or RpcBackend(self.default, None)
        streams = method.rpc.client_streaming or method.rpc.server_streaming
        timeout = (ruled.deadline or STREAM_TIMEOUT) if streams else 0.0
        return Calls(ruled.http or ruled.backend, ruled.grpc or ruled.backend, timeout)


def _requirement(places: tuple[Place, ...], tokens: Tokens | None) -> Requirement:
    key = Alternative(needs_key=True, key_places=places) if places else None
    if tokens is None or not tokens.wanted:
        return Requirement((key,)) if key else OPEN
    both = tuple(Alternative(bool(places), places, jwt) for jwt in tokens.wanted)
    if not tokens.optional:
        return Requirement(both)
    # Where a key is needed all the same, it is enough by itself; a call with neither does not pass.
    return Requirement((*both, key)) if key else Requirement(both, optional=True)


def check_providers(yamls: Iterable[ServiceYaml], declared: Collection[str]) -> None:
    """Complain of requirements that name a provider which no file of the service declares."""
    for yaml in yamls:
        for _, tokens in yaml.tokens:
            for jwt, place in zip(tokens.wanted, tokens.places, strict=True):
                if jwt.provider not in declared:
                    key = place.pick(("provider_id", "providerId"))
                    hint = f"Declare it, or name one of: {', '.join(sorted(declared)) or 'none so far'}."
                    place.report("scheme-undefined", f"the provider '{jwt.provider}' is not declared", hint, key)
