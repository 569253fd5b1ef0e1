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
from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterLbPolicy,
    OutlierDetection,
    UpstreamConnectionOptions,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    ApiConfigSource,
    ApiConfigSourceApiType,
    ApiVersion,
    BackoffStrategy,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    HealthCheck,
    HealthCheckGrpcHealthCheck,
    Node,
    Pipe,
    RetryPolicy,
    SocketAddress,
    TcpKeepalive,
    TransportSocket,
)
from envoy_data_plane.envoy.config.overload.v3 import OverloadManager, ResourceMonitor
from envoy_data_plane.envoy.extensions.resource_monitors.downstream_connections.v3 import DownstreamConnectionsConfig
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any, Struct
from google.protobuf import json_format

from authz import wire
from authz.errors import UsageError
from authz.settings import Settings
from authz.xds import filters
from authz.xds.clusters import HTTP_OPTIONS, breakers, endpoints, is_ip, protocol_options, tls
from authz.xds.snapshot import Kind, Snapshot

_MOST_CONNECTIONS: Final = 50_000
_MOST_QUESTIONS: Final = 100_000
"""Check and RateLimit calls under way: a breaker that opened here would turn load into refusals."""

_MOST_AGAIN: Final = 1000
"""Questions asked again at once: all that a dying sidecar leaves, but no second load for one that is merely slow."""

_MOST_ON_A_CONNECTION: Final = 100_000

_LONGEST_PIPE: Final = 107
"""`sun_path` of a Unix socket has 108 bytes, the last of them a zero."""

Document = dict[str, typing.Any]


def dynamic(settings: Settings, *, sidecars: Sequence[str], xds: str, admin: str, node_id: str) -> Document:
    """The bootstrap of an Envoy that follows us. Addresses are `HOST:PORT` or `unix:PATH`.

    Check and RateLimit are asked of all `sidecars` in turn.
    """
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
    clusters = [_sidecars(sidecars, settings), _peer(wire.XDS_CLUSTER, [xds], settings)]
    return _bootstrap(clusters, admin, node_id, resources).to_dict()


def static(
    snapshot: Snapshot, settings: Settings, *, sidecars: Sequence[str], admin: str = "127.0.0.1:9901"
) -> Document:
    """A complete configuration for people who run Envoy their own way; only the sidecars must be reachable."""
    document: Document = _bootstrap([_sidecars(sidecars, settings)], admin, "authz", None).to_dict()
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


def _sidecars(where: Sequence[str], settings: Settings) -> Cluster:
    """The sidecars. A question goes to one that lives; which one makes no difference.

    Two watchers, because each is blind to something. Failed connections and timeouts eject a sidecar within a question
    or two, load or no load elsewhere; health checks bring it back within a second of its return, and find one that
    answers, but only to say that it is about to leave.
    """
    cluster = _peer(wire.SIDECAR_CLUSTER, where, settings, most_requests=_MOST_ON_A_CONNECTION)
    # Of two, the one with fewer questions open: one that is slow, or stands still, is asked less at once.
    cluster.lb_policy = ClusterLbPolicy.LEAST_REQUEST
    cluster.health_checks = [_health_check()]
    cluster.outlier_detection = _ejection()
    cluster.common_lb_config = ClusterCommonLbConfig(
        # Where none seems healthy, all are tried: a wrong opinion of their health then costs nothing.
        healthy_panic_threshold=Percent(value=1),
        # By default a second may pass before anybody acts upon the second change of health.
        update_merge_window=dt.timedelta(0),
    )
    return cluster


def _health_check() -> HealthCheck:
    second = dt.timedelta(seconds=1)
    return HealthCheck(
        interval=second,
        no_traffic_interval=second,  # else a minute, in which the first requests would still be refused
        timeout=second,
        unhealthy_threshold=2,
        healthy_threshold=1,
        grpc_health_check=HealthCheckGrpcHealthCheck(),
    )


def _ejection() -> OutlierDetection:
    """Two failed connections or timeouts in a row, or (Envoy's default) five answers that say "I cannot"."""
    return OutlierDetection(
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=2,
        enforcing_consecutive_local_origin_failure=100,
        enforcing_success_rate=0,
        enforcing_local_origin_success_rate=0,
        base_ejection_time=dt.timedelta(seconds=5),
        max_ejection_time=dt.timedelta(seconds=30),
        max_ejection_percent=100,
    )


def _peer(name: str, where: Sequence[str], settings: Settings, *, most_requests: int | None = None) -> Cluster:
    """A cluster of ours, spoken to in gRPC.

    No HTTP/2 pings: gRPC's own servers close a quiet connection that pings more than once in five minutes.
    """
    places = [address(one) for one in where]
    hosts = [place.socket_address.address for place in places if place.socket_address]
    # A name may stand for several behind one address, which get their shares as connections end now and then.
    options = protocol_options(http2=True, pings=False, most_requests=most_requests if hosts else None)
    return Cluster(
        name=name,
        type=ClusterDiscoveryType.STATIC if all(map(is_ip, hosts)) else ClusterDiscoveryType.STRICT_DNS,
        connect_timeout=dt.timedelta(seconds=1),
        load_assignment=endpoints(name, places),
        circuit_breakers=breakers(_MOST_QUESTIONS, most_retries=_MOST_AGAIN),
        typed_extension_protocol_options={HTTP_OPTIONS: options},
        transport_socket=_tls(hosts, settings, mixed=len(hosts) < len(places)) if hosts else None,
        upstream_connection_options=UpstreamConnectionOptions(tcp_keepalive=TcpKeepalive()) if hosts else None,
    )


def _tls(hosts: Sequence[str], settings: Settings, *, mixed: bool) -> TransportSocket | None:
    """Envoy's side of what `authz.tls` says of ours. `mixed`: there are Unix sockets among the addresses."""
    if settings.sidecar_tls_ca:
        if mixed:
            raise UsageError("TLS is for HOST:PORT, and there is a unix:PATH too", "Name sidecars of one kind.")
        names = [settings.sidecar_tls_name] if settings.sidecar_tls_name else hosts
        certificate, key = settings.sidecar_tls_client_cert, settings.sidecar_tls_client_key
        return tls(names, ca=settings.sidecar_tls_ca, certificate=certificate, key=key)
    for name in ("sidecar_tls_cert", "sidecar_tls_client_cert", "sidecar_tls_name"):
        if getattr(settings, name):
            raise UsageError(
                f"{name} is set, and sidecar_tls_ca is not: Envoy would speak to {hosts[0]} without TLS",
                "Set sidecar_tls_ca to the authorities that the sidecar's certificate comes from.",
            )
    return None


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
