"""Backends as Envoy clusters: one for each distinct scheme, host, port and protocol.

Knows addresses, TLS and HTTP versions; knows nothing of paths: those are the routes' business.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    UpstreamConnectionOptions,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    DataSource,
    HealthCheck,
    HealthCheckGrpcHealthCheck,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    KeepaliveSettings,
    SocketAddress,
    TcpKeepalive,
    TransportSocket,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.core.v3 import (
    HttpProtocolOptions as HttpCommonOptions,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.network.dns_resolver.cares.v3 import CaresDnsResolverConfig
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    TlsCertificate,
    TlsParameters,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any

from authz.errors import UsageError
from authz.model.inventory import Inventory
from authz.model.service import Backend, Operation, Protocol
from authz.settings import Settings

_SCHEMES: Final = {
    "http": (False, Protocol.HTTP1, 80),
    "https": (True, Protocol.HTTP1, 443),
    "grpc": (False, Protocol.HTTP2, 80),
    "grpcs": (True, Protocol.HTTP2, 443),
}
"""Scheme to TLS, the protocol it implies, and the port."""

_DNS_FAMILIES: Final = {
    "auto": ClusterDnsLookupFamily.AUTO,
    "v4only": ClusterDnsLookupFamily.V4_ONLY,
    "v6only": ClusterDnsLookupFamily.V6_ONLY,
    "v4preferred": ClusterDnsLookupFamily.V4_PREFERRED,
    "all": ClusterDnsLookupFamily.ALL,
}

_HEALTH_TIMEOUT: Final = dt.timedelta(seconds=1)

_HEED_HEALTH: Final = ClusterCommonLbConfig(
    # Envoy would rather call the sick than nobody: here, nobody is called, and callers learn it at once.
    healthy_panic_threshold=Percent(value=0),
    # By default a second may pass before it acts upon the second change of health.
    update_merge_window=dt.timedelta(0),
)

HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What makes two backends share a cluster, and so connections."""

    host: str
    port: int
    tls: bool
    http2: bool

    @property
    def name(self) -> str:
        """The cluster's name, the same in every process: `https:api.example.com:443:h2`."""
        return f"{'https' if self.tls else 'http'}:{self.host}:{self.port}:{'h2' if self.http2 else 'http1'}"


def target(backend: Backend, settings: Settings) -> Target:
    """Where a backend's requests go.

    Raises:
        UsageError: the address is not `scheme://host[:port]`.
    """
    local = settings.backend_override or not backend.address
    address = settings.backend if local else backend.address
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        tls, implied, port = _SCHEMES[parts.scheme]
        port = parts.port or port
    except (KeyError, ValueError):
        raise _bad(address) from None
    if not parts.hostname:
        raise _bad(address)
    if _is_grpc(backend):
        protocol = Protocol.HTTP2
    else:
        protocol = implied if settings.backend_override else backend.protocol or implied
    return Target(parts.hostname, port, tls, protocol is Protocol.HTTP2)


def _is_grpc(backend: Backend) -> bool:
    """Whether HTTP/2 is what the calls are, rather than how one backend of several happens to speak."""
    return is_grpc_address(backend.address) or (not backend.address and backend.protocol is Protocol.HTTP2)


def is_grpc_address(address: str) -> bool:
    """Whether an address says that its backend takes gRPC calls."""
    return urlsplit(address).scheme in {"grpc", "grpcs"}


def _bad(address: str) -> UsageError:
    return UsageError(
        f"'{address}' is not a backend address",
        f"Write scheme://host[:port] with a scheme of {', '.join(_SCHEMES)}.",
    )


def cluster_name(backend: Backend, settings: Settings) -> str:
    """The name of the cluster that a backend's requests go to."""
    return target(backend, settings).name


def operations(inventory: Inventory) -> Iterator[Operation]:
    """Every operation of every live config."""
    for service in inventory.services:
        for live in service.configs:
            yield from live.config.operations


def build(inventory: Inventory, settings: Settings) -> tuple[Cluster, ...]:
    """One cluster for each distinct target, in a fixed order.

    The `backend` setting has its cluster even when no operation uses it: an edit that begins to must not wait.
    """
    backends = {Backend(), *(operation.backend for operation in operations(inventory))}
    targets = {target(backend, settings) for backend in backends}
    asked = _asked_for_health(inventory, settings) if settings.health_check_grpc_backend else frozenset()
    return tuple(_cluster(one, settings, asked=one in asked) for one in sorted(targets))


def _cluster(one: Target, settings: Settings, *, asked: bool) -> Cluster:
    return Cluster(
        name=one.name,
        type=ClusterDiscoveryType.STATIC if is_ip(one.host) else ClusterDiscoveryType.LOGICAL_DNS,
        connect_timeout=dt.timedelta(seconds=settings.connect_timeout),
        per_connection_buffer_limit_bytes=settings.buffer_limit_bytes or None,
        dns_lookup_family=_DNS_FAMILIES[settings.backend_dns],
        typed_dns_resolver_config=_resolvers(settings.dns_resolvers),
        load_assignment=endpoints(
            one.name, [Address(socket_address=SocketAddress(address=one.host, port_value=one.port))]
        ),
        circuit_breakers=breakers(settings.backend_max_requests),
        typed_extension_protocol_options={HTTP_OPTIONS: protocol_options(http2=one.http2)},
        transport_socket=_tls(one, settings) if one.tls else None,
        upstream_connection_options=UpstreamConnectionOptions(tcp_keepalive=TcpKeepalive()),
        health_checks=[_health_check(one, settings)] if asked else [],
        common_lb_config=_HEED_HEALTH if asked else None,
    )


# -- health ---------------------------------------------------------------------------------------------------------


def _asked_for_health(inventory: Inventory, settings: Settings) -> frozenset[Target]:
    """Whoever takes gRPC calls, and the `backend` setting, if it says so."""
    own = watched(settings)
    called = {target(one.backend, settings) for one in operations(inventory) if one.speaks_grpc}
    return frozenset(called | {own} if own else called)


def watched(settings: Settings) -> Target | None:
    """Whose health the gateway's health path tells: that of the `backend` setting, if it takes gRPC calls.

    Backends that documents name are not watched: one of them that is ill is no reason to take a gateway away from the
    others.

    Raises:
        UsageError: nobody can say what the `backend` setting is.
    """
    if not settings.health_check_grpc_backend:
        return None
    if "://" not in settings.backend:
        raise UsageError(
            f"health_check_grpc_backend is on, and backend '{settings.backend}' does not say whether it takes gRPC",
            f"Write grpc://{settings.backend} if it does, and http://{settings.backend} if it does not.",
        )
    return target(Backend(), settings) if is_grpc_address(settings.backend) else None


def _health_check(one: Target, settings: Settings) -> HealthCheck:
    """One lost answer is no illness; the first good one ends it.

    Envoy's own interval without traffic holds for the sick, too, and whoever is sick has no traffic: a backend that
    starts a second later than its gateway would be called a minute later.
    """
    interval = dt.timedelta(seconds=settings.health_check_grpc_backend_interval)
    return HealthCheck(
        interval=interval,
        no_traffic_interval=interval,
        no_traffic_healthy_interval=dt.timedelta(seconds=settings.health_check_grpc_backend_no_traffic_interval),
        timeout=_HEALTH_TIMEOUT,
        unhealthy_threshold=2,
        healthy_threshold=1,
        grpc_health_check=HealthCheckGrpcHealthCheck(
            service_name=settings.health_check_grpc_backend_service, authority=one.host
        ),
    )


def is_ip(host: str) -> bool:
    """Whether a host needs no look-up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def endpoints(name: str, addresses: Iterable[Address]) -> ClusterLoadAssignment:
    """A load assignment of equal endpoints."""
    return ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            LocalityLbEndpoints(lb_endpoints=[LbEndpoint(endpoint=Endpoint(address=one)) for one in addresses]),
        ],
    )


def breakers(most_requests: int, *, most_retries: int | None = None) -> CircuitBreakers:
    """Bounds on what one cluster may have under way.

    Envoy's bound of 1024 connections and pending requests would otherwise undercut a larger `max_requests`.
    """
    return CircuitBreakers(
        thresholds=[
            CircuitBreakersThresholds(
                max_requests=most_requests,
                max_connections=max(most_requests, 1024),
                max_pending_requests=max(most_requests, 1024),
                max_retries=most_retries,
            ),
        ],
    )


def protocol_options(*, http2: bool, pings: bool = True, most_requests: int | None = None) -> Any:
    """HTTP/1.1 or HTTP/2, said outright: what a document declares is not left to negotiation.

    HTTP/2 pings find a dead peer; ESPv2 used the same 30 and 10 seconds. `most_requests`: on one connection.
    """
    if not http2:
        explicit = HttpProtocolOptionsExplicitHttpConfig(http_protocol_options=Http1ProtocolOptions())
    else:
        keepalive = KeepaliveSettings(interval=dt.timedelta(seconds=30), timeout=dt.timedelta(seconds=10))
        options = Http2ProtocolOptions(connection_keepalive=keepalive if pings else None)
        explicit = HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=options)
    common = HttpCommonOptions(max_requests_per_connection=most_requests) if most_requests else None
    return Any.pack(HttpProtocolOptions(explicit_http_config=explicit, common_http_protocol_options=common))


def _tls(one: Target, settings: Settings) -> TransportSocket:
    """TLS that checks the certificate's chain and its name. ESPv2 checked the chain only: any name passed."""
    return tls(
        [one.host],
        ca=settings.backend_tls_ca,
        certificate=settings.backend_tls_cert,
        key=settings.backend_tls_key,
        ciphers=settings.backend_tls_ciphers,
        alpn="h2" if one.http2 else "http/1.1",
    )


def tls(
    names: Sequence[str],
    *,
    ca: str,
    certificate: str = "",
    key: str = "",
    ciphers: Iterable[str] = (),
    alpn: str = "h2",
) -> TransportSocket:
    """TLS towards peers whose certificates are for one of `names`; the first of them is asked for, if it is no number.

    `certificate` and `key`, which may be one file, are shown to peers that ask.
    """
    own = TlsCertificate(
        certificate_chain=DataSource(filename=certificate), private_key=DataSource(filename=key or certificate)
    )
    context = UpstreamTlsContext(
        sni="" if is_ip(names[0]) else names[0],
        common_tls_context=CommonTlsContext(
            alpn_protocols=[alpn],
            tls_params=TlsParameters(cipher_suites=list(ciphers)),
            tls_certificates=[own] if certificate else [],
            validation_context=CertificateValidationContext(
                trusted_ca=DataSource(filename=ca), match_typed_subject_alt_names=[_san(name) for name in names]
            ),
        ),
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=Any.pack(context))


def _san(name: str) -> SubjectAltNameMatcher:
    kind = SubjectAltNameMatcherSanType.IP_ADDRESS if is_ip(name) else SubjectAltNameMatcherSanType.DNS
    return SubjectAltNameMatcher(san_type=kind, matcher=StringMatcher(exact=name))


def _resolvers(addresses: tuple[str, ...]) -> TypedExtensionConfig | None:
    if not addresses:
        return None
    config = CaresDnsResolverConfig(resolvers=[_resolver(address) for address in addresses])
    return TypedExtensionConfig(name="envoy.network.dns_resolver.cares", typed_config=Any.pack(config))


def _resolver(text: str) -> Address:
    parts = urlsplit(f"//{text}")
    try:
        host, port = parts.hostname or "", parts.port or 53
        ipaddress.ip_address(host)
    except ValueError:
        raise UsageError(f"'{text}' is not a DNS server's address", "Write ADDRESS or ADDRESS:PORT.") from None
    return Address(socket_address=SocketAddress(address=host, port_value=port))
