"""Envoy's bootstrap: what it must know before it knows anything else.

`dynamic` is for an Envoy that takes the rest over ADS, `static` is the whole configuration in one document.
"""

from __future__ import annotations

import datetime as dt
import typing
from collections.abc import Sequence
from typing import Final

from envoy_data_plane.envoy.config.bootstrap.v3 import (
    Admin,
    Bootstrap,
    BootstrapDynamicResources,
    BootstrapStaticResources,
    LayeredRuntime,
    RuntimeLayer,
)
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType, UpstreamConnectionOptions
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    ApiConfigSource,
    ApiConfigSourceApiType,
    ApiVersion,
    BackoffStrategy,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    Node,
    Pipe,
    RetryPolicy,
    SocketAddress,
    TcpKeepalive,
)
from envoy_data_plane.envoy.config.overload.v3 import OverloadManager, ResourceMonitor
from envoy_data_plane.envoy.extensions.resource_monitors.downstream_connections.v3 import DownstreamConnectionsConfig
from envoy_data_plane.google.protobuf import Any, Struct
from google.protobuf import json_format

from authz import wire
from authz.errors import UsageError
from authz.settings import Settings
from authz.xds import filters
from authz.xds.clusters import HTTP_OPTIONS, breakers, endpoints, is_ip, protocol_options
from authz.xds.snapshot import Kind, Snapshot

_MOST_CONNECTIONS: Final = 50_000
_MOST_QUESTIONS: Final = 100_000
"""Check and RateLimit calls under way: a breaker that opened here would turn load into refusals."""

_LONGEST_PIPE: Final = 107
"""`sun_path` of a Unix socket has 108 bytes, the last of them a zero."""

Document = dict[str, typing.Any]


def dynamic(settings: Settings, *, sidecars: Sequence[str], xds: str, admin: str, node_id: str) -> Document:
    """The bootstrap of an Envoy that follows us. Addresses are `HOST:PORT` or `unix:PATH`.

    Check and RateLimit are asked of all `sidecars` in turn.
    """
    del settings  # whatever depends on them comes over ADS
    # Envoy waits up to half a minute before it calls again; a control plane that restarts is back in a second.
    again = RetryPolicy(
        retry_back_off=BackoffStrategy(base_interval=dt.timedelta(seconds=0.1), max_interval=dt.timedelta(seconds=2))
    )
    service = GrpcService(envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=wire.XDS_CLUSTER, retry_policy=again))
    ads = ApiConfigSource(
        api_type=ApiConfigSourceApiType.GRPC,
        transport_api_version=ApiVersion.V3,
        grpc_services=[service],
        set_node_on_first_message_only=True,
    )
    resources = BootstrapDynamicResources(ads_config=ads, cds_config=filters.ADS, lds_config=filters.ADS)
    clusters = [_peer(wire.SIDECAR_CLUSTER, sidecars), _peer(wire.XDS_CLUSTER, [xds])]
    return _bootstrap(clusters, admin, node_id, resources).to_dict()


def static(
    snapshot: Snapshot, settings: Settings, *, sidecars: Sequence[str], admin: str = "127.0.0.1:9901"
) -> Document:
    """A complete configuration for people who run Envoy their own way; only the sidecars must be reachable."""
    del settings  # the snapshot has them all
    document: Document = _bootstrap([_peer(wire.SIDECAR_CLUSTER, sidecars)], admin, "authz", None).to_dict()
    resources = document["staticResources"]
    resources["clusters"] += [_without_type(one) for one in _messages(snapshot, Kind.CLUSTER)]
    resources["listeners"] = [_inline(one, snapshot) for one in _messages(snapshot, Kind.LISTENER)]
    return document


def _bootstrap(
    clusters: list[Cluster], admin: str, node_id: str, dynamic_resources: BootstrapDynamicResources | None
) -> Bootstrap:
    return Bootstrap(
        node=Node(id=node_id, cluster="authz"),
        admin=Admin(address=address(admin), ignore_global_conn_limit=True),
        static_resources=BootstrapStaticResources(clusters=clusters),
        dynamic_resources=dynamic_resources,
        layered_runtime=LayeredRuntime(layers=[_runtime()]),
        overload_manager=OverloadManager(resource_monitors=[_connections()]),
    )


def _runtime() -> RuntimeLayer:
    """Envoy refuses a regular expression of a program size over 100, which a template of six segments exceeds."""
    values = {"re2.max_program_size.error_level": 10_000, "re2.max_program_size.warn_level": 10_000}
    return RuntimeLayer(name="authz", static_layer=Struct.from_dict(values))


def _connections() -> ResourceMonitor:
    config = DownstreamConnectionsConfig(max_active_downstream_connections=_MOST_CONNECTIONS)
    return ResourceMonitor(
        name="envoy.resource_monitors.global_downstream_max_connections", typed_config=Any.pack(config)
    )


def _peer(name: str, where: Sequence[str]) -> Cluster:
    """A cluster of ours, spoken to in gRPC.

    No HTTP/2 pings: gRPC's own servers close a quiet connection that pings more than once in five minutes.
    """
    places = [address(one) for one in where]
    sockets = [place.socket_address for place in places if place.socket_address]
    named = any(not is_ip(one.address) for one in sockets)
    return Cluster(
        name=name,
        type=ClusterDiscoveryType.STRICT_DNS if named else ClusterDiscoveryType.STATIC,
        connect_timeout=dt.timedelta(seconds=1),
        load_assignment=endpoints(name, places),
        circuit_breakers=breakers(_MOST_QUESTIONS),
        typed_extension_protocol_options={HTTP_OPTIONS: protocol_options(http2=True, pings=False)},
        upstream_connection_options=UpstreamConnectionOptions(tcp_keepalive=TcpKeepalive()) if sockets else None,
    )


def address(text: str) -> Address:
    """`HOST:PORT`, `[V6]:PORT` or `unix:PATH`.

    Raises:
        UsageError: it is none of them, or the path is longer than a Unix socket's may be.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if len(path.encode()) > _LONGEST_PIPE:
            raise UsageError(f"The socket path '{path}' is too long", f"Use at most {_LONGEST_PIPE} bytes.")
        return Address(pipe=Pipe(path=path))
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        raise UsageError(f"'{text}' is not an address", "Write HOST:PORT or unix:PATH.")
    return Address(socket_address=SocketAddress(address=host.strip("[]"), port_value=int(port)))


# -- a snapshot as one document -------------------------------------------------------------------------------------


def _messages(snapshot: Snapshot, kind: Kind) -> list[Document]:
    """Resources as JSON objects. betterproto's `Any` reads what it wrote; routes were written by protobuf."""
    return [Any.parse(packed).to_dict() for _, packed in snapshot.resources[kind].items]


def _inline(listener: Document, snapshot: Snapshot) -> Document:
    """The listener with routes and Check's configuration in it instead of a pointer to ADS."""
    manager = listener["filterChains"][0]["filters"][0]["typedConfig"]
    del manager["rds"]
    manager["routeConfig"] = _routes(snapshot)
    for one in manager["httpFilters"]:
        if one.pop("configDiscovery", None):
            extension = next(c for c in _messages(snapshot, Kind.EXTENSION) if c["name"] == one["name"])
            one["typedConfig"] = extension["typedConfig"]
    return _without_type(listener)


def _routes(snapshot: Snapshot) -> Document:
    ((_, packed),) = snapshot.resources[Kind.ROUTES].items
    from google.protobuf import any_pb2

    document: Document = json_format.MessageToDict(any_pb2.Any.FromString(packed))
    return _without_type(document)


def _without_type(message: Document) -> Document:
    return {key: value for key, value in message.items() if key != "@type"}
