"""The Inventory as Envoy resources: one consistent set, checked before it may be published.

Pure: the same inventory and settings give the same bytes and so the same versions, in every process. Knows the
resources' kinds and what they name of one another; knows nothing of streams (`server`) or of the store.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.type.matcher.v3 import http_inputs_pb2
from envoy_data_plane.envoy.config.core.v3 import TypedExtensionConfig
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import ExtAuthz
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any
from google.protobuf import any_pb2
from xds.type.matcher.v3 import matcher_pb2

from authz import wire
from authz.errors import RejectedError
from authz.garbage import kept
from authz.model.inventory import Inventory
from authz.model.paths import quote
from authz.settings import Settings
from authz.xds import clusters, filters, listeners, routes, translation
from authz.xds.rpc import switches

OperationKey = tuple[str, str, str]
"""(service, config id, selector), as in `rulebook.book`."""


class Kind(enum.Enum):
    """The kinds of resources, by type URL."""

    CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
    EXTENSION = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
    ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


@dataclass(frozen=True, slots=True)
class Resources:
    """All resources of one kind: their names and `google.protobuf.Any` bytes, and a digest of both."""

    items: tuple[tuple[str, bytes], ...]
    version: str

    @classmethod
    def of(cls, items: Iterable[tuple[str, bytes]]) -> Resources:
        """Resources with the version that their content gives them."""
        ordered = tuple(sorted(items))
        return cls(ordered, _digest(part for name, packed in ordered for part in (name.encode(), packed)))

    @property
    def names(self) -> frozenset[str]:
        """Every resource's name."""
        return frozenset(name for name, _ in self.items)


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent set of resources. `operations` are those that Envoy may ask about while it runs this one."""

    version: str
    resources: Mapping[Kind, Resources]
    operations: frozenset[OperationKey]


@kept()
def build(inventory: Inventory, settings: Settings, documents: Mapping[str, str] | None = None) -> Snapshot:
    """The resources of an inventory.

    `documents` maps paths to JSON texts that Envoy answers by itself on every host: the gateway's own key set.

    Raises:
        UsageError: settings or an address that Envoy could not use.
    """
    filters.check_cors(settings)
    table = routes.build(inventory, settings, partial(clusters.cluster_name, settings=settings))
    guard(table, settings)
    _publish(table, documents or {})
    packed_table = any_pb2.Any()
    packed_table.Pack(table, deterministic=True)
    extension = filters.check(filters.check_headers(inventory, settings), settings)
    resources = {
        Kind.CLUSTER: Resources.of((one.name, bytes(Any.pack(one))) for one in clusters.build(inventory, settings)),
        Kind.EXTENSION: Resources.of([(extension.name, bytes(Any.pack(extension)))]),
        Kind.LISTENER: _listener(settings),
        Kind.ROUTES: Resources.of([(table.name, packed_table.SerializeToString())]),
    }
    version = _digest(one.version.encode() for one in resources.values())
    return Snapshot(version, resources, frozenset(_operation_keys(inventory)))


@lru_cache(maxsize=4)
def _listener(settings: Settings) -> Resources:
    """No deploy changes it, and it takes as long as a thousand routes."""
    listener = listeners.build(settings)
    return Resources.of([(listener.name, bytes(Any.pack(listener)))])


def _operation_keys(inventory: Inventory) -> Iterator[OperationKey]:
    for service in inventory.services:
        for live in service.configs:
            for operation in live.config.operations:
                yield service.name, live.config.id, operation.selector


def bridge(held: Mapping[Kind, Resources], new: Snapshot) -> dict[Kind, Resources]:
    """What must be in place while routes change to those of `new`: what it uses, and what is held already.

    Clusters of both, and a Check that reads the headers of both. Where they have a cluster in common, the new one's.
    """
    known = dict(held[Kind.CLUSTER].items) | dict(new.resources[Kind.CLUSTER].items)
    return {
        Kind.CLUSTER: Resources.of(known.items()),
        Kind.EXTENSION: _both_headers(held[Kind.EXTENSION], new.resources[Kind.EXTENSION]),
    }


def _both_headers(old: Resources, new: Resources) -> Resources:
    if old.version == new.version:
        return new
    (_, before), (name, after) = old.items[0], new.items[0]
    extension = _extension(after)
    config = _unpack_check(extension)
    patterns = {one.exact: one for one in (*_patterns(_extension(before)), *_patterns(extension))}
    if config.allowed_headers is not None:
        config.allowed_headers.patterns = [patterns[key] for key in sorted(patterns, key=str)]
    extension.typed_config = Any.pack(config)
    return Resources.of([(name, bytes(Any.pack(extension)))])


def _extension(packed: bytes) -> TypedExtensionConfig:
    return TypedExtensionConfig.parse(Any.parse(packed).value)


def _unpack_check(extension: TypedExtensionConfig) -> ExtAuthz:
    return ExtAuthz.parse(extension.typed_config.value if extension.typed_config else b"")


def _patterns(extension: TypedExtensionConfig) -> list[StringMatcher]:
    allowed = _unpack_check(extension).allowed_headers
    return allowed.patterns if allowed else []


# -- what holds for all routes --------------------------------------------------------------------------------------

_FOR_US: Final = ("x-envoy-external-address", "x-envoy-internal")


def guard(table: route_pb2.RouteConfiguration, settings: Settings) -> None:
    """Put in front of every host's routes what is not an operation's business.

    Two hosts in one request: Envoy joins the lines to `a,b`. No named virtual host matches that, but one for every
    host does. Preflights: the CORS filter answers those that it is asked about by a route to a backend, and by no
    route that answers itself; so they get one, which leads nowhere should the filter ever let one through.
    """
    if not settings.envoy_headers:
        table.request_headers_to_remove.extend(_FOR_US)
    for host in table.virtual_hosts:
        if not host.HasField("matcher"):
            continue
        if "*" in host.domains:
            refusal = route_components_pb2.Route()
            refusal.direct_response.status = 404  # the listener's mapper makes it the same 400 as for any other host
            _first(host, {":authority": ".*,.*"}, refusal)
        if settings.cors_preset:
            preflight = route_components_pb2.Route()
            preflight.route.cluster_header = "x-envoy-nowhere"  # removed from every request
            origin = filters.cors_origin(settings)
            method = translation.method_header(settings)
            _first(host, {method: "OPTIONS", "access-control-request-method": ".+", "origin": origin}, preflight)


def _publish(table: route_pb2.RouteConfiguration, documents: Mapping[str, str]) -> None:
    """Answer some paths by ourselves. A document of that path in an API is out of reach then."""
    for path, text in documents.items():
        table.max_direct_response_body_size_bytes.value = max(4096, *(len(one.encode()) for one in documents.values()))
        for host in table.virtual_hosts:
            if host.HasField("matcher"):
                document = route_components_pb2.Route()
                document.direct_response.status = 200
                document.direct_response.body.inline_string = text
                _first(host, {":path": quote(path) + r"(\?.*)?", ":method": "GET|HEAD"}, document)


def _first(
    host: route_components_pb2.VirtualHost, headers: Mapping[str, str], route: route_components_pb2.Route
) -> None:
    """Let requests with all these headers (name to regular expression) take a route before any other."""
    route.match.prefix = "/"
    if switches.TRANSCODER in host.typed_per_filter_config:
        route.MergeFromString(switches.off(switches.TRANSCODER))
    wrapped = matcher_pb2.Matcher()
    rule = wrapped.matcher_list.matchers.add()
    asked = [_asks(name, pattern) for name, pattern in headers.items()]
    if len(asked) == 1:
        rule.predicate.CopyFrom(asked[0])
    else:
        rule.predicate.and_matcher.predicate.extend(asked)
    rule.on_match.action.name = "first"
    rule.on_match.action.typed_config.Pack(route)
    wrapped.on_no_match.matcher.CopyFrom(host.matcher)
    host.matcher.CopyFrom(wrapped)


def _asks(name: str, pattern: str) -> matcher_pb2.Matcher.MatcherList.Predicate:
    predicate = matcher_pb2.Matcher.MatcherList.Predicate()
    single = predicate.single_predicate
    single.input.name = name
    single.input.typed_config.Pack(http_inputs_pb2.HttpRequestHeaderMatchInput(header_name=name))
    single.value_match.safe_regex.google_re2.SetInParent()
    single.value_match.safe_regex.regex = pattern
    return predicate


# -- consistency ----------------------------------------------------------------------------------------------------

MAX_COMPLAINTS: Final = 5


def check(snapshot: Snapshot) -> None:
    """Refuse a snapshot whose resources name what is not among them.

    Raises:
        RejectedError: a route to a cluster that does not exist, or an operation that no rulebook could know.
    """
    complaints = list(_complaints(snapshot))
    if complaints:
        more = f" … and {len(complaints) - MAX_COMPLAINTS} more" if len(complaints) > MAX_COMPLAINTS else ""
        raise RejectedError(
            "The configuration contradicts itself: " + "; ".join(complaints[:MAX_COMPLAINTS]) + more,
            "This is a fault of the gateway, not of the document; the previous configuration stays live.",
        )


def _complaints(snapshot: Snapshot) -> Iterator[str]:
    known = snapshot.resources[Kind.CLUSTER].names | {wire.SIDECAR_CLUSTER}
    for kind, name in ((Kind.ROUTES, wire.ROUTE_CONFIG_NAME), (Kind.EXTENSION, filters.CHECK)):
        if snapshot.resources[kind].names != {name}:
            yield f"the listener waits for '{name}', there is {sorted(snapshot.resources[kind].names)}"
    for route in routes_of(snapshot):
        for cluster in _clusters(route):
            if cluster not in known:
                yield f"route '{route.name}' leads to cluster '{cluster}', which does not exist"
        key = operation_of(route)
        if key is not None and key not in snapshot.operations:
            yield f"route '{route.name}' asks about operation {key}, which no live config has"


def routes_of(snapshot: Snapshot) -> Iterator[route_components_pb2.Route]:
    """Every route of a snapshot, those inside matcher trees too."""
    for _, packed in snapshot.resources[Kind.ROUTES].items:
        table = route_pb2.RouteConfiguration.FromString(any_pb2.Any.FromString(packed).value)
        for host in table.virtual_hosts:
            yield from host.routes
            if host.HasField("matcher"):
                yield from _in_matcher(host.matcher)


def _in_matcher(matcher: matcher_pb2.Matcher) -> Iterator[route_components_pb2.Route]:
    for one in matcher.matcher_list.matchers:
        yield from _on_match(one.on_match)
    tree = matcher.matcher_tree
    for branch in (tree.exact_match_map.map, tree.prefix_match_map.map):
        for one in branch.values():
            yield from _on_match(one)
    if matcher.HasField("on_no_match"):
        yield from _on_match(matcher.on_no_match)


def _on_match(on_match: matcher_pb2.Matcher.OnMatch) -> Iterator[route_components_pb2.Route]:
    if on_match.HasField("matcher"):
        yield from _in_matcher(on_match.matcher)
    elif on_match.HasField("action"):
        packed = on_match.action.typed_config
        if packed.Is(route_components_pb2.RouteList.DESCRIPTOR):
            yield from route_components_pb2.RouteList.FromString(packed.value).routes
        else:
            yield route_components_pb2.Route.FromString(packed.value)


def _clusters(route: route_components_pb2.Route) -> Iterator[str]:
    if route.route.cluster:
        yield route.route.cluster
    for share in route.route.weighted_clusters.clusters:
        yield share.name


def operation_of(route: route_components_pb2.Route) -> OperationKey | None:
    """The operation that a route's Check is told; None where Check is not asked."""
    if filters.CHECK not in route.typed_per_filter_config:
        return None
    packed = route.typed_per_filter_config[filters.CHECK]
    if not packed.Is(ext_authz_pb2.ExtAuthzPerRoute.DESCRIPTOR):
        return None
    told = ext_authz_pb2.ExtAuthzPerRoute.FromString(packed.value).check_settings.context_extensions
    if not told:
        return None
    return told[wire.CONTEXT_SERVICE], told[wire.CONTEXT_CONFIG], told[wire.CONTEXT_OPERATION]
