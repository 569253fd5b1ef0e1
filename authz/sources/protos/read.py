"""Descriptor sets and google.api.Service YAML put together: which services there are, and what each consists of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from authz.model.service import Api, SourceText
from authz.sources.claims.merge import root_backend
from authz.sources.claims.said import Said, take
from authz.sources.claims.served import Served
from authz.sources.document import Document
from authz.sources.lint import Findings
from authz.sources.openapi.identity import host_fault
from authz.sources.openapi.reading import Reading
from authz.sources.protos import service_yaml
from authz.sources.protos.descriptors import Schema, Service, all_services, services
from authz.sources.protos.methods import OWN, Rulings, check_providers
from authz.sources.protos.packed import Packed, unpack
from authz.sources.protos.service_yaml import ServiceYaml

_VERSION = re.compile(r"v\d+[a-z0-9]*\Z")


def read(
    texts: Iterable[SourceText],
    yaml_documents: Iterable[Document],
    documents: Sequence[Reading],
    service: str,
    findings: Findings,
) -> list[Reading]:
    """What descriptor sets and service YAMLs say. `service` names what names itself neither way.

    Operations of the OpenAPI `documents` that are RPCs are taken from them: they become the RPCs'.
    """
    sets = [packed for text in texts if (packed := unpack(text, findings))]
    yamls = [service_yaml.read(document) for document in yaml_documents]
    if not sets:
        for yaml in yamls:
            message = "a google.api.Service YAML says nothing by itself: there are no protos beside it"
            hint = "Name the .proto files or the descriptor set of its APIs in the same command."
            yaml.root.report("descriptors-missing", message, hint, "apis")
        return []
    said = Said(documents, _by_name(found for packed in sets for found in all_services(packed)).values())
    # What they are to be is unknown: they stand in nobody's way.
    take(said.wrong, documents)
    groups = list(_groups(sets, yamls, said, service, findings))
    readings = [reading for group in groups for reading in group.readings()]
    if len(groups) > 1 and said.owners:
        readings += _shared(groups, [*documents, *readings])
    return readings


def _shared(groups: Sequence[_Group], readings: Sequence[Reading]) -> Iterator[Reading]:
    """Where documents divide gRPC services among hosts, what a host consists of is in all of them together."""
    for reading in readings:
        if reading.claims and not reading.is_named and reading.host_at:
            message = "Service name must be provided: the documents divide the services of the protos among several"
            node, key = reading.host_at
            node.report("host-missing", message, f"Write '{key}' with the host that the document is of.", key)
    files = dict.fromkeys(reading.file for reading in readings)
    return (Reading(file, host=group.host) for group in groups for file in files)


def _groups(
    sets: Sequence[Packed], yamls: Sequence[ServiceYaml], said: Said, service: str, findings: Findings
) -> Iterable[_Group]:
    """One group for each service: for each name that a YAML gives, or else for each host that its gRPC services have.

    A gRPC service that documents of a host name is that host's.
    """
    mains = _by_name(found for packed in sets for found in services(packed))
    by_host = said.hosts
    named = list(dict.fromkeys(yaml.reading.host for yaml in yamls if yaml.reading.host))
    nameless = [yaml for yaml in yamls if not yaml.reading.host]
    if len(named) > 1:
        _refuse_nameless(nameless)
    if named:
        for host in named:
            its = [yaml for yaml in yamls if yaml.reading.host == host or (yaml in nameless and len(named) == 1)]
            yield _Group(host, sets, its, _chosen(sets, its, mains, by_host.pop(host, {})), said, findings)
        for host, others in by_host.items():
            yield _Group(host, sets, [], others, said, findings)
        return
    hosts = {host: dict(named_services) for host, named_services in by_host.items()}
    beside: dict[str, set[str]] = {}
    for found in mains.values():
        beside.setdefault(found.packed.source, set()).add(found.default_host)
    for found in mains.values():
        if found.name not in said.owners:
            own = _host(found, beside[found.packed.source] - {""}, said, service, findings)
            if own is not None:
                hosts.setdefault(own, {})[found.name] = found
    if len(hosts) > 1:
        _refuse_nameless(nameless)
    for host, own_services in (hosts or {service: {}}).items():
        if host or all(reading.host for reading in said.documents):
            # Otherwise a document lacks a host, and has been told so.
            _check_host(host, sets, yamls, own_services, findings)
        chosen = _chosen(sets, yamls, own_services, by_host.get(host, {}))
        yield _Group(host, sets, yamls, chosen, said, findings)


def _host(found: Service, beside: set[str], said: Said, service: str, findings: Findings) -> str | None:
    """The host of a gRPC service that no document names; None (and a finding) if nothing says it for sure.

    `beside` are the hosts that the services of its file, or its set, have.
    Nothing of that may depend on `service` where it might be another one for another host: each keeps what it is made
    of, and is made of it again for its own name.
    """
    if found.default_host:
        return found.default_host
    shown = found.packed.shown(found.file.name)
    if said.owners:
        host = said.host(service)
        if host is None:
            message = f"documents of several hosts name RPCs, but none of {found.name}: not served"
            hint = "Name its RPCs with x-authz-grpc, or list it in 'apis' of a service YAML with the name of its host."
            findings.add("grpc-unserved", shown, 0, message, hint)
        return host
    if len(beside) > 1:
        message = f"Service name must be provided: {found.name} names none, and those beside it name several"
        findings.add("host-missing", shown, 0, message, "Add the option (google.api.default_host) to it, too.")
        return None
    return next(iter(beside), None) or said.host(service)


def _by_name(found: Iterable[Service]) -> dict[str, Service]:
    """Services by name. The first stands for all: whether they are the same, the schema says."""
    by_name: dict[str, Service] = {}
    for service in found:
        by_name.setdefault(service.name, service)
    return by_name


def _refuse_nameless(yamls: Iterable[ServiceYaml]) -> None:
    for yaml in yamls:
        message = "Service name must be provided: the other documents are of several services"
        yaml.root.report("host-missing", message, "Add 'name' with the name of the service that it belongs to.", "type")


def _check_host(
    host: str, sets: Sequence[Packed], yamls: Sequence[ServiceYaml], own: dict[str, Service], findings: Findings
) -> None:
    first = next(iter(own.values()), None)
    file = first.packed.shown(first.file.name) if first else sets[0].source
    if not host and not any("name" in yaml.root for yaml in yamls):
        message = "Service name must be provided: neither protos nor a YAML name the service"
        hint = (
            "Pass --service NAME, add a google.api.Service YAML with 'name', or the option (google.api.default_host)."
        )
        findings.add("host-missing", file, 0, message, hint)
    elif host and first and host == first.default_host and (why := host_fault(host)):
        message = f"'{host}' is not a service name: {why}"
        findings.add("host-invalid", file, 0, message, "Write, for example, api.example.com as the default_host.")


def _chosen(
    sets: Sequence[Packed], yamls: Sequence[ServiceYaml], mains: dict[str, Service], said: dict[str, Service]
) -> dict[str, Service]:
    """The services that the YAMLs list as APIs, and those that documents name; all asked for if no YAML lists any."""
    listed = [entry for yaml in yamls for entry in yaml.apis]
    if not listed:
        return mains | said
    known = mains | {}
    for packed in sets:
        for service in all_services(packed):
            known.setdefault(service.name, service)
    chosen: dict[str, Service] = {}
    for node, api in listed:
        if api.name in known:
            chosen[api.name] = known[api.name]
        else:
            hint = f"Name a service of the descriptors: {', '.join(sorted(mains)[:12]) or 'there are none'}."
            node.report("api-undefined", f"the API '{api.name}' is no service of the descriptors", hint, "name")
    for name in mains.keys() - chosen.keys() - said.keys() if chosen else ():
        if mains[name].packed.mains:
            hint = f"Add '- name: {name}' to serve it."
            yamls[0].root.report("api-unlisted", f"the service {name} is not among 'apis' and not served", hint, "apis")
    return chosen | said


class _Group:
    """One service: its sets, its YAMLs, and the gRPC services that it serves."""

    def __init__(
        self,
        host: str,
        sets: Sequence[Packed],
        yamls: Sequence[ServiceYaml],
        served: dict[str, Service],
        said: Said,
        findings: Findings,
    ) -> None:
        self.host = host
        self.yamls = yamls
        self.served = served
        self.documents = list(said.of(host))
        self.claimed = said.claimed(host, served.values())
        self.findings = findings
        users = {service.packed.source for service in served.values()}
        names = {packed.source: {service.name for service in services(packed)} for packed in sets}
        # A set that has a service of another one, too, must say the same of it.
        self.sets = [
            one for one in sets if one.source in users or not names[one.source] or names[one.source] & {*served}
        ]
        self.schema = Schema(self.sets, findings)

    def readings(self) -> list[Reading]:
        """A reading for each API, and one for each document that has none."""
        versions = {api.name: api.version for yaml in self.yamls for _, api in yaml.apis}
        by_service = {
            name: Reading(service.packed.source, host=self.host, api=Api(name, versions.get(name) or _version(name)))
            for name, service in self.served.items()
        }
        with_api = {reading.file for reading in by_service.values()}
        others = [Reading(packed.source, host=self.host) for packed in self.sets if packed.source not in with_api]
        self.merge()
        if self.schema.is_sound:
            self.fill(by_service)
        return [*by_service.values(), *others, *(yaml.reading for yaml in self.yamls)]

    def fill(self, by_service: dict[str, Reading]) -> None:
        """Make operations of all methods."""
        rulings = Rulings(self.yamls, root_backend(self.documents) if self.claimed else OWN)
        methods = [method for service in self.served.values() for method in self.schema.methods(service)]
        listed = {api.name for yaml in self.yamls for _, api in yaml.apis}
        beside = [*self.documents, *(yaml.reading for yaml in self.yamls)]
        found = Served(self.claimed, rulings, listed).described(methods, beside)
        for method in methods:
            if described := found.get(method.selector):
                by_service[method.rpc.service].operations += described.operations
        for reading in by_service.values() if self.claimed else ():
            reading.api = reading.api if reading.operations else Api("", "")
        take((claim for claims in self.claimed.values() for claim in claims), self.documents)
        rulings.report_unmatched([method.selector for method in methods])
        check_providers(self.yamls, {name for yaml in self.yamls for name in yaml.reading.providers})
        if methods:
            rules = {
                method.selector: found[method.selector].rule if method.selector in found else None for method in methods
            }
            next(iter(by_service.values())).descriptors = self.schema.serialized(rules)
        elif not self.findings.has_errors:
            message, hint = "there is no RPC in it: every request gets 404", "Name .proto files that have a service."
            self.findings.add("no-operations", self.sets[0].source, 0, message, hint)

    def merge(self) -> None:
        """What a later YAML says again, an earlier one has not said."""
        for number, yaml in enumerate(self.yamls):
            yaml.reading.host = self.host
            for later in (one.reading for one in self.yamls[number + 1 :]):
                _overrule(yaml.reading, later)
            if any(later.has_endpoints for later in self.yamls[number + 1 :]):
                yaml.reading.target, yaml.reading.allow_cors = "", False


def _overrule(earlier: Reading, later: Reading) -> None:
    metrics, limits = {metric.name for metric, _ in later.metrics}, {limit.name for limit, _ in later.limits}
    earlier.metrics = [found for found in earlier.metrics if found[0].name not in metrics]
    earlier.limits = [found for found in earlier.limits if found[0].name not in limits]
    earlier.providers = {name: one for name, one in earlier.providers.items() if name not in later.providers}
    if later.api.title:
        earlier.api = Api("", "")


def _version(name: str) -> str:
    """The version in a package's name: `v1` of `a.v1.Service`."""
    return next((part for part in reversed(name.split(".")[:-1]) if _VERSION.match(part)), "")
