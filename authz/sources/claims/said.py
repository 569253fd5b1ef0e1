"""Claims by host and RPC: which gRPC services documents of a host name, and which operations are which RPCs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from authz.model.auth import DEFAULT_KEY_PLACES, PlaceKind
from authz.model.service import Operation
from authz.sources.claims.names import Names
from authz.sources.openapi.reading import Reading
from authz.sources.openapi.rpcs import Claim
from authz.sources.protos.descriptors import Service

Claimed = dict[str, list[Claim]]
"""Claims by the selectors of their RPCs, in the order of documents."""


class Said:
    """What documents say outright, with x-authz-grpc."""

    def __init__(self, documents: Sequence[Reading], services: Iterable[Service]) -> None:
        self.documents = documents
        self.services = {service.name: service for service in services}
        names = Names(self.services.values() if any(reading.claims for reading in documents) else ())
        self.wrong: list[Claim] = []
        self.owners: dict[str, dict[str, None]] = {}
        self.selectors: dict[int, str] = {}
        for reading in documents:
            for claim in reading.claims:
                selector = names.said(claim) if claim.named.rpc else ""
                if selector:
                    self.selectors[id(claim)] = selector
                    self.owners.setdefault(names.owners[selector], {})[reading.host] = None
                elif claim.named.rpc:
                    self.wrong.append(claim)

    @property
    def hosts(self) -> dict[str, dict[str, Service]]:
        """The services that documents of each host name, in the order of the protos."""
        found: dict[str, dict[str, Service]] = {}
        for name, service in self.services.items():
            for host in self.owners.get(name, ()):
                found.setdefault(host, {})[name] = service
        return found

    def host(self, service: str) -> str | None:
        """The host of gRPC services that nothing gives one: that of the documents, if they are of one; else `service`.

        Where documents of several hosts name RPCs there is none: `service` would mean another host to each of them.
        """
        naming = {reading.host for reading in self.documents if any(claim.named.rpc for claim in reading.claims)}
        hosts = naming or {reading.host for reading in self.documents if reading.host}
        if len(hosts) == 1:
            return hosts.pop()
        return None if naming else service

    def claimed(self, host: str, served: Iterable[Service]) -> Claimed:
        """All claims of a host. An operationId can mean the methods of the host's own services only."""
        readings = [reading for reading in self.of(host) if reading.claims]
        names = Names(served if readings else ())
        found: Claimed = {}
        for reading in readings:
            for claim in sorted(reading.claims, key=lambda one: one.order):
                selector = self.selectors.get(id(claim), "") if claim.named.rpc else names.meant(claim)
                if selector:
                    found.setdefault(selector, []).append(claim)
        return found

    def of(self, host: str) -> Iterator[Reading]:
        """The documents of a host."""
        return (reading for reading in self.documents if reading.host == host)


def take(claims: Iterable[Claim], documents: Iterable[Reading]) -> None:
    """Leave to the documents the operations that are no RPCs."""
    taken = {id(claim.operation) for claim in claims}
    for reading in documents:
        reading.operations = [one for one in reading.operations if id(one) not in taken]


class Taken(NamedTuple):
    """Query parameters that are nobody's fields: `credentials` are the gateway's, and `ignored` are left out by Envoy.

    `is_all_ignored`: so are all others that are no fields.
    """

    credentials: frozenset[str]
    ignored: frozenset[str]
    is_all_ignored: bool


def taken(readings: Sequence[Reading], operations: Iterable[Operation]) -> Taken:
    """What fields of a service's RPCs do not get. `operations` are beside the readings'."""
    options = [one.transcoding.options for one in readings if one.transcoding]
    ignored = frozenset(name for one in options for name in one.ignore_query_parameters or ())
    is_all = any(one.ignore_unknown_query_parameters for one in options)
    return Taken(_credentials(readings, operations), ignored, is_all)


def _credentials(readings: Iterable[Reading], operations: Iterable[Operation]) -> frozenset[str]:
    """The query parameters that callers prove themselves with."""
    providers = [provider.places for one in readings for provider in one.providers.values()]
    written = [one for reading in readings for one in reading.operations]
    written += [claim.operation for reading in readings for claim in reading.claims]
    requirements = {id(one.requirement): one.requirement for one in (*written, *operations)}
    keys = [
        one.key_places or DEFAULT_KEY_PLACES
        for requirement in requirements.values()
        for one in requirement.alternatives
        if one.needs_key
    ]
    return frozenset(place.name for places in (*providers, *keys) for place in places if place.kind is PlaceKind.QUERY)
