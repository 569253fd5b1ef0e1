"""The one listener: TLS, the HTTP connection manager, local replies and the access log.

It is made of settings alone. Whatever a deploy changes is delivered beside it (routes, clusters, Check's
configuration), so that a deploy drains no connection.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Final

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLog,
    AccessLogFilter,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiVersion,
    CidrRange,
    ConfigSource,
    DataSource,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    HttpProtocolOptionsHeadersWithUnderscoresAction,
    SocketAddress,
    SubstitutionFormatString,
    TransportSocket,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog
from envoy_data_plane.envoy.extensions.access_loggers.stream.v3 import StdoutAccessLog
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerForwardClientCertDetails,
    HttpConnectionManagerInternalAddressConfig,
    HttpConnectionManagerPathWithEscapedSlashesAction,
    HttpConnectionManagerUpgradeConfig,
    Rds,
)
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    HeaderMutation as EarlyHeaderMutation,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    DownstreamTlsContext,
    TlsCertificate,
    TlsParameters,
    TlsParametersTlsProtocol,
)
from envoy_data_plane.google.protobuf import Any, Struct

from authz import wire
from authz.errors import StateError, UsageError
from authz.settings import Settings
from authz.xds import filters, replies, routes
from authz.xds.rpc import log

HCM: Final = "envoy.filters.network.http_connection_manager"

_TLS_VERSIONS: Final = {
    "": TlsParametersTlsProtocol.TLS_AUTO,
    "TLSv1.2": TlsParametersTlsProtocol.TLSv1_2,
    "TLSv1.3": TlsParametersTlsProtocol.TLSv1_3,
}

# Envoy's advice for an edge: a peer may not make us buffer or compute more than this on its behalf.
_MOST_STREAMS: Final = 100
_STREAM_WINDOW: Final = 64 * 1024
_CONNECTION_WINDOW: Final = 1024 * 1024
_HEADERS_TIMEOUT: Final = dt.timedelta(seconds=10)
_IDLE_CONNECTION: Final = dt.timedelta(hours=1)

_NOBODY: Final = CidrRange(address_prefix="255.255.255.255", prefix_len=32)
"""Internal clients, whom Envoy would believe more. An empty list means private addresses, not nobody (measured)."""


def build(settings: Settings) -> Listener:
    """The listener, with routes and Check's configuration taken from ADS.

    Raises:
        UsageError: settings that contradict each other.
        StateError: a certificate was to be made and cannot be written.
    """
    manager = Filter(name=HCM, typed_config=Any.pack(_connection_manager(settings)))
    return Listener(
        name=wire.LISTENER_NAME,
        address=Address(socket_address=SocketAddress(address=settings.host, port_value=settings.port)),
        per_connection_buffer_limit_bytes=settings.buffer_limit_bytes or None,
        filter_chains=[FilterChain(filters=[manager], transport_socket=_transport_socket(settings))],
    )


def _connection_manager(settings: Settings) -> HttpConnectionManager:
    slashes = HttpConnectionManagerPathWithEscapedSlashesAction
    return HttpConnectionManager(
        stat_prefix="authz",
        rds=_routes(),
        http_filters=filters.build(settings),
        early_header_mutation_extensions=[_early(settings)],
        # The address.
        use_remote_address=settings.use_remote_address,
        xff_num_trusted_hops=settings.trusted_hops,
        internal_address_config=HttpConnectionManagerInternalAddressConfig(cidr_ranges=[_NOBODY]),
        forward_client_cert_details=HttpConnectionManagerForwardClientCertDetails.SANITIZE,
        # The path and the host, before anything is matched. Escaped slashes are refused by the routes, because an
        # API may ask to keep them.
        normalize_path=settings.normalize_path,
        merge_slashes=settings.merge_slashes,
        path_with_escaped_slashes_action=(
            slashes.UNESCAPE_AND_REDIRECT if settings.escaped_slashes == "redirect" else slashes.KEEP_UNCHANGED
        ),
        strip_any_host_port=True,
        strip_trailing_host_dot=True,
        # Bounds.
        max_request_headers_kb=settings.max_header_kib,
        common_http_protocol_options=_protocol(settings),
        http2_protocol_options=Http2ProtocolOptions(
            max_concurrent_streams=_MOST_STREAMS,
            initial_stream_window_size=_STREAM_WINDOW,
            initial_connection_window_size=_CONNECTION_WINDOW,
        ),
        stream_idle_timeout=dt.timedelta(seconds=settings.stream_idle_timeout),
        request_headers_timeout=_HEADERS_TIMEOUT,
        # Whoever upgrades leaves HTTP, and everything that is judged there: routes let it where a document does. Not
        # over HTTP/2 (RFC 8441): Envoy would ask a backend without the key that HTTP/1.1 demands of a handshake.
        upgrade_configs=[HttpConnectionManagerUpgradeConfig(upgrade_type=routes.WEBSOCKET, enabled=False)],
        # What the gateway says itself.
        local_reply_config=replies.config(),
        access_log=_access_log(settings),
    )


def _routes() -> Rds:
    # Waiting for routes has no end: a listener that opened without them would answer 404 to everything.
    source = ConfigSource(
        ads=AggregatedConfigSource(),
        resource_api_version=ApiVersion.V3,
        initial_fetch_timeout=dt.timedelta(0),
    )
    return Rds(config_source=source, route_config_name=wire.ROUTE_CONFIG_NAME)


def _early(settings: Settings) -> TypedExtensionConfig:
    config = EarlyHeaderMutation(mutations=filters.early_mutations(settings))
    return TypedExtensionConfig(name="envoy.http.early_header_mutation.header_mutation", typed_config=Any.pack(config))


def _protocol(settings: Settings) -> HttpProtocolOptions:
    underscores = HttpProtocolOptionsHeadersWithUnderscoresAction
    return HttpProtocolOptions(
        idle_timeout=_IDLE_CONNECTION,
        headers_with_underscores_action=(
            underscores.ALLOW if settings.underscores_in_headers else underscores.REJECT_REQUEST
        ),
    )


# -- the access log -------------------------------------------------------------------------------------------------

LOG_FIELDS: Final = {
    "time": "%START_TIME%",
    "method": "%REQUEST_HEADER(:METHOD)%",
    "host": "%REQUEST_HEADER(:AUTHORITY)%",
    # As the caller wrote it, but without its query: keys and tokens may stand there.
    "path": f"%FILTER_STATE({filters.LOGGED_PATH}:PLAIN)%",
    "status": "%RESPONSE_CODE%",
    "service": f"%METADATA(VIRTUAL_HOST:{wire.ROUTE_METADATA}:{wire.CONTEXT_SERVICE})%",
    "config": f"%METADATA(ROUTE:{wire.ROUTE_METADATA}:{wire.CONTEXT_CONFIG})%",
    "operation": "%ROUTE_NAME%",
    "consumer": f"%DYNAMIC_METADATA({wire.METADATA_NAMESPACE}:{wire.METADATA_CONSUMER})%",
    "decision": f"%DYNAMIC_METADATA({wire.METADATA_NAMESPACE}:{wire.METADATA_DECISION})%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "duration_ms": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "protocol": "%PROTOCOL%",
    "user_agent": "%REQUEST_HEADER(USER-AGENT)%",
    "upstream": "%UPSTREAM_CLUSTER%",
    "request_id": "%REQUEST_HEADER(X-REQUEST-ID)%",
}
"""The fields of a line, which Envoy writes in alphabetic order; calls in gRPC have their status as well."""


def _access_log(settings: Settings) -> list[AccessLog]:
    if not settings.access_log:
        return []
    if settings.access_log_format:
        text = settings.access_log_format.rstrip("\n") + "\n"
        return [_logger(settings, SubstitutionFormatString(text_format_source=DataSource(inline_string=text)))]
    plain, in_grpc = (
        SubstitutionFormatString(json_format=Struct.from_dict(LOG_FIELDS | more)) for more in ({}, log.STATUS)
    )
    return [_logger(settings, plain, log.without_status()), _logger(settings, in_grpc, log.with_status())]


def _logger(settings: Settings, form: SubstitutionFormatString, lines: AccessLogFilter | None = None) -> AccessLog:
    if settings.access_log == "-":
        config = Any.pack(StdoutAccessLog(log_format=form))
        return AccessLog(name="envoy.access_loggers.stdout", filter=lines, typed_config=config)
    config = Any.pack(FileAccessLog(path=settings.access_log, log_format=form))
    return AccessLog(name="envoy.access_loggers.file", filter=lines, typed_config=config)


# -- TLS ------------------------------------------------------------------------------------------------------------


def _transport_socket(settings: Settings) -> TransportSocket | None:
    pair = _certificate(settings)
    if pair is None:
        return None
    certificate, key = (DataSource(filename=str(path)) for path in pair)
    authorities = CertificateValidationContext(trusted_ca=DataSource(filename=settings.tls_client_ca))
    context = DownstreamTlsContext(
        require_client_certificate=bool(settings.tls_client_ca),
        common_tls_context=CommonTlsContext(
            alpn_protocols=["h2", "http/1.1"],
            tls_params=TlsParameters(
                tls_minimum_protocol_version=_TLS_VERSIONS[settings.tls_min_version],
                tls_maximum_protocol_version=_TLS_VERSIONS[settings.tls_max_version],
                cipher_suites=list(settings.tls_ciphers),
            ),
            tls_certificates=[TlsCertificate(certificate_chain=certificate, private_key=key)],
            validation_context=authorities if settings.tls_client_ca else None,
        ),
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=Any.pack(context))


def _certificate(settings: Settings) -> tuple[Path, Path] | None:
    """The files of the server's certificate and key; None without TLS."""
    if settings.tls_cert and settings.tls_self_signed:
        raise UsageError("Both tls_cert and tls_self_signed are set", "Give one of them.")
    if settings.tls_cert:
        return Path(settings.tls_cert), Path(settings.tls_key or settings.tls_cert)
    if settings.tls_self_signed:
        return self_signed(settings.data_dir / "tls")
    if settings.tls_client_ca:
        raise UsageError("tls_client_ca is set without a certificate", "Give tls_cert, or tls_self_signed.")
    return None


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key, made once and kept, so that the listener stays the same.

    Raises:
        StateError: the directory cannot be written.
    """
    certificate, key = directory / "localhost.crt", directory / "localhost.key"
    if not (certificate.is_file() and key.is_file()):
        certificate_pem, key_pem = _make_certificate()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            key.touch(mode=0o600)
            key.write_bytes(key_pem)
            certificate.write_bytes(certificate_pem)
        except OSError as error:
            raise StateError(f"{directory}: {error.strerror}", "Give a data directory that can be written.") from error
    return certificate, key


def _make_certificate() -> tuple[bytes, bytes]:
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key_pem
