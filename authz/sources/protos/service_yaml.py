"""google.api.Service as YAML or JSON: who may call the methods of protos, what it costs, and where they are served.

One file is read here as it stands; which of its rules holds for a method is known when all files of a service are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from authz.model.auth import JwtProvider, JwtRequirement, Place, PlaceKind
from authz.model.quota import Cost
from authz.model.service import Api, Backend, PathTranslation, Protocol
from authz.sources.document import Document
from authz.sources.extensions import comma_list, jwt_locations, warn_placeholder
from authz.sources.node import Node
from authz.sources.openapi.backends import (
    check_grpc_backend,
    is_rest,
    read_address,
    read_audience,
    read_deadline,
)
from authz.sources.openapi.identity import service_name
from authz.sources.openapi.quotas import COSTS, charges, declare
from authz.sources.openapi.reading import Reading
from authz.sources.openapi.security import certain, key_set_url
from authz.sources.protos.bindings import Rule
from authz.sources.transcoding import KEY, transcoding

_T = TypeVar("_T")
_FIELDS = (
    "type", "config_version", "configVersion", "name", "id", "title", "producer_project_id", "producerProjectId",
    "apis", "types", "enums", "documentation", "backend", "http", "quota", "authentication", "context", "usage",
    "endpoints", "control", "logs", "metrics", "monitored_resources", "monitoredResources", "billing", "logging",
    "monitoring", "system_parameters", "systemParameters", "source_info", "sourceInfo", "publishing", KEY,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Usage:
    """google.api.UsageRule: whether a call needs an API key, and whether it is counted at all."""

    needs_key: bool
    is_counted: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """google.api.AuthenticationRule: any of these tokens is enough. `places` are where they are asked for."""

    wanted: tuple[JwtRequirement, ...]
    places: tuple[Node, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class RpcBackend:
    """google.api.BackendRule of an RPC. `deadline` is None where the rule gives none.

    `http` and `grpc` are where calls go instead that come as one or the other.
    """

    backend: Backend
    deadline: float | None
    http: Backend | None = None
    grpc: Backend | None = None


@dataclass(slots=True)
class ServiceYaml:
    """One file: its lists of rules in order, and everything else as a reading without operations."""

    root: Node
    reading: Reading
    apis: list[tuple[Node, Api]] = field(default_factory=list)
    has_endpoints: bool = False
    http: list[tuple[Node, Rule]] = field(default_factory=list)
    usage: list[tuple[Node, Usage]] = field(default_factory=list)
    tokens: list[tuple[Node, Tokens]] = field(default_factory=list)
    costs: list[tuple[Node, tuple[Cost, ...]]] = field(default_factory=list)
    backends: list[tuple[Node, RpcBackend]] = field(default_factory=list)
    key_places: list[tuple[Node, tuple[Place, ...]]] = field(default_factory=list)


def read(document: Document) -> ServiceYaml:
    """What one file says."""
    root = Node(document, document.root, "the service")
    root.known(*_FIELDS)
    reading = Reading(document.file, (root, "name"), transcoding=transcoding(root))
    found = ServiceYaml(root, reading)
    if "name" in root:
        reading.host = service_name(root, "name", root.text("name"))
    reading.api = Api("", "", root.label("title"))
    found.apis = [
        (entry, Api(name, entry.label("version"))) for entry in root.children("apis") if (name := _name(entry))
    ]
    _http(root, found)
    found.usage = list(_rules(root, ("usage",), _usage))
    found.backends = list(_rules(root, ("backend",), _backend))
    found.key_places = list(_rules(root, ("system_parameters", "systemParameters"), _key_places))
    _authentication(root, found)
    _quota(root, found)
    _endpoints(root, found)
    return found


def _name(entry: Node) -> str:
    name = entry.text("name")
    if not name:
        entry.report("field-missing", "an API has no 'name'", "Write the full name of a service: package.Service.")
    return name


def _rules(root: Node, section: tuple[str, ...], read_rule: Callable[[Node], _T]) -> Iterator[tuple[Node, _T]]:
    node = root.child(*section)
    for rule in node.children("rules") if node else ():
        yield rule, read_rule(rule)


def _http(root: Node, found: ServiceYaml) -> None:
    found.http = list(_rules(root, ("http",), Rule.read))
    section = root.child("http")
    if section:
        section.known("rules", *_DECODE)
        found.reading.fully_decode_reserved = section.flag(*_DECODE) or False


_DECODE = ("fully_decode_reserved_expansion", "fullyDecodeReservedExpansion")


def _usage(rule: Node) -> Usage:
    keyless, skip = (
        ("allow_unregistered_calls", "allowUnregisteredCalls"),
        ("skip_service_control", "skipServiceControl"),
    )
    rule.known("selector", *keyless, *skip)
    skipped = rule.flag(*skip) or False
    return Usage(needs_key=not (rule.flag(*keyless) or skipped), is_counted=not skipped)


_OVERRIDES = ("overrides_by_request_protocol", "overridesByRequestProtocol")
_BACKEND_FIELDS = (
    "selector", "address", "deadline", "protocol", "path_translation", "pathTranslation", "jwt_audience",
    "jwtAudience", "disable_auth", "disableAuth", "operation_deadline", "operationDeadline", "min_deadline",
    "minDeadline", *_OVERRIDES,
)  # fmt: skip


def _backend(rule: Node) -> RpcBackend:
    backend = _place(rule)
    others: dict[str, Backend] = {}
    overrides = rule.child(*_OVERRIDES)
    for name, entry in overrides.members() if overrides else ():
        if name in {"http", "grpc"}:
            others[name] = _place(entry)
        else:
            hint = "Write 'grpc' for what gRPC clients call, or 'http' for what the http rules bind."
            message = f"'{name}' is no protocol that requests come by"
            overrides.report("bad-value", message, hint, name) if overrides else None
    deadline = backend.deadline if rule.pick(("deadline",)) else None
    return RpcBackend(backend, deadline, others.get("http"), others.get("grpc"))


def _place(rule: Node) -> Backend:
    """Where a rule sends calls: to a backend that takes gRPC, unless its address or protocol says otherwise."""
    rule.known(*_BACKEND_FIELDS)
    address, _ = read_address(rule)
    audience, _ = read_audience(rule)
    protocol = rule.choice(("h2", "grpc", "http/1.1"), "protocol")
    backend = Backend(
        address=address,
        deadline=read_deadline(rule),
        protocol=Protocol.HTTP1 if protocol == "http/1.1" else Protocol.HTTP2 if protocol else None,
        jwt_audience=audience,
        disable_auth=not audience,
    )
    if not is_rest(backend):
        return _for_grpc(rule, backend)
    if protocol == "grpc":
        message = f"'{address}' is the address of a REST backend, but 'protocol' says gRPC"
        rule.report("backend-rpc", message, "Write grpc:// or grpcs:// in the address.", "protocol")
    return replace(backend, path_translation=_translation(rule) if address else PathTranslation.APPEND)


def _translation(rule: Node) -> PathTranslation:
    unsaid = "PATH_TRANSLATION_UNSPECIFIED"
    text = rule.choice((*(one.value for one in PathTranslation), unsaid), *_TRANSLATION)
    return PathTranslation(text) if text and text != unsaid else PathTranslation.APPEND


_TRANSLATION = ("path_translation", "pathTranslation")


def _for_grpc(rule: Node, backend: Backend) -> Backend:
    check_grpc_backend(rule, backend)
    translation = rule.pick(_TRANSLATION)
    if translation and rule.text(translation) != "PATH_TRANSLATION_UNSPECIFIED":
        message = f"'{translation}' means nothing to an RPC: the path of a call is its method's"
        rule.report("backend-rpc", message, "Remove it, or give the address of a REST backend.", translation)
    return replace(backend, protocol=Protocol.HTTP2)


def _key_places(rule: Node) -> tuple[Place, ...]:
    rule.known("selector", "parameters")
    places = []
    for entry in rule.children("parameters"):
        entry.known("name", *_HEADER, *_PARAMETER)
        if entry.text("name") != "api_key":
            continue
        if header := entry.text(*_HEADER):
            places.append(Place(PlaceKind.HEADER, header.lower()))
        if parameter := entry.text(*_PARAMETER):
            places.append(Place(PlaceKind.QUERY, parameter))
    return tuple(dict.fromkeys(places))


_HEADER, _PARAMETER = ("http_header", "httpHeader"), ("url_query_parameter", "urlQueryParameter")


def _authentication(root: Node, found: ServiceYaml) -> None:
    section = root.child("authentication")
    if section is None:
        return
    section.known("providers", "rules")
    declared: set[str] = set()
    for entry in section.children("providers"):
        provider = _provider(entry)
        if provider and provider.id in declared:
            message = f"the provider '{provider.id}' is declared twice"
            entry.report("scheme-invalid", message, "Remove one, or give it another id.", "id")
        elif provider:
            declared.add(provider.id)
            found.reading.providers[provider.id] = provider
    found.tokens = [(rule, _tokens(rule)) for rule in section.children("rules")]


def _provider(entry: Node) -> JwtProvider | None:
    entry.known(
        "id", "issuer", "jwks_uri", "jwksUri", "audiences", "authorization_url", "authorizationUrl", "jwt_locations",
        "jwtLocations",
    )  # fmt: skip
    name, issuer = entry.text("id"), certain(entry, "issuer")
    key_set = key_set_url(entry, "jwks_uri", "jwksUri")
    audiences, places = _audiences(entry), jwt_locations(entry, "jwt_locations", "jwtLocations")
    if not name or not issuer:
        message = f"the provider '{name}' has no 'issuer'" if name else "a provider has no 'id'"
        entry.report("scheme-invalid", message, "A provider has an id, and the issuer of its tokens.")
        return None
    return JwtProvider(
        id=name,
        issuer=issuer,
        jwks_uri=key_set,
        audiences=audiences,
        places=places,
        authorization_url=entry.text("authorization_url", "authorizationUrl"),
        file=entry.document.file,
        line=entry.line(),
    )


def _audiences(entry: Node) -> tuple[str, ...]:
    audiences = comma_list(entry.text("audiences"))
    for audience in audiences:
        warn_placeholder(entry, "audiences", audience)
    return audiences


def _tokens(rule: Node) -> Tokens:
    optional = ("allow_without_credential", "allowWithoutCredential")
    rule.known("selector", "requirements", "oauth", *optional)
    wanted, places = [], []
    for entry in rule.children("requirements"):
        entry.known("provider_id", "providerId", "audiences")
        if name := entry.text("provider_id", "providerId"):
            wanted.append(JwtRequirement(name, _audiences(entry)))
            places.append(entry)
        else:
            entry.report("field-missing", "a requirement has no 'provider_id'", "Name one of the providers.")
    return Tokens(tuple(wanted), tuple(places), rule.flag(*optional) or False)


def _quota(root: Node, found: ServiceYaml) -> None:
    quota = root.child("quota")
    declare(root, quota, found.reading)
    if quota is None:
        return
    rules = ("metric_rules", "metricRules")
    quota.known("limits", *rules)
    for rule in quota.children(*rules):
        rule.known("selector", *COSTS)
        found.costs.append((rule, charges(rule, found.reading)))


def _endpoints(root: Node, found: ServiceYaml) -> None:
    entries = list(root.children("endpoints"))
    host = found.reading.host
    for entry in entries:
        entry.known("name", "aliases", "target", "allow_cors", "allowCors")
        name = entry.text("name")
        if host and name and name != host:
            message = f"the endpoint '{name}' is not the service '{host}'"
            entry.report("endpoints-name", message, f"Write 'name: {host}'.", "name")
    if len(entries) > 1:
        entries[1].report("endpoints-many", "'endpoints' has more than one entry", "Keep the one of the service.")
    if entries:
        found.has_endpoints = True
        found.reading.target = entries[0].text("target")
        found.reading.allow_cors = entries[0].flag("allow_cors", "allowCors") or False
