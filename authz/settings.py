"""Every setting in one table: name, type, default, sentence, and the ESPv2 flag it replaces.

The command line's options, the environment variables (`AUTHZ_` and the name in capitals) and the README's table
come from here. Precedence: option, environment variable, default. `app` reads them once and passes values on.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from authz.setting import Setting, rows
from authz.setting import setting as _setting

# A table reads better with a row a line than with an argument a line.
# fmt: off


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings' values. Lists are written as several options, or in one variable separated by `;`."""

    # -- where things are -------------------------------------------------------------------------------------
    data_dir: Path = _setting(
        Path(".authz"), "process", "Directory of the database and of the gateway's own signing key.",
    )
    backend: str = _setting(
        "http://127.0.0.1:8082", "process",
        "Where operations without an address of their own are sent: scheme://host:port.", espv2="--backend",
    )
    backend_override: bool = _setting(
        False, "process", "Send every operation to `backend`, whatever address its document names; deadlines stay.",
        espv2="--enable_backend_address_override",
    )
    default_service: str = _setting(
        "", "process",
        "The service that answers for hosts no service claims; empty: the only service when there is just "
        "one, else none.",
    )
    sidecar_address: str = _setting(
        "", "process",
        "Where Check and RateLimit are served: HOST:PORT or unix:PATH; empty: a Unix socket of its own. Whoever "
        "reaches a HOST:PORT without `sidecar_tls_client_ca` can ask.", espv2="--ads_named_pipe",
    )
    xds_address: str = _setting(
        "", "process",
        "Where Envoy's configuration (ADS) is served: HOST:PORT or unix:PATH; empty: a Unix socket. The same holds.",
    )
    transport: Literal["grpcio", "nghttp2"] = _setting(
        "nghttp2", "process",
        "The gRPC server that carries Check and RateLimit; nghttp2 is the fast one, and grpcio where it has no wheel.",
    )
    workers: int = _setting(
        1, "process",
        "Processes that answer Check and RateLimit, each at an address of its own: the ports after that of "
        "`sidecar_address`, or its path with .1, .2. Envoy asks all of them in turn.", above_zero=True, limit=64,
    )
    envoy_path: str = _setting("", "process", "The Envoy binary; empty: the installed wheel's, then PATH.")
    envoy_concurrency: int = _setting(0, "process", "Envoy's worker threads; 0: one per core.")
    envoy_admin_port: int = _setting(
        0, "process", "Port of Envoy's admin interface on loopback; 0: a private Unix socket.", espv2="--status_port",
    )
    envoy_log_level: Literal["trace", "debug", "info", "warning", "error", "critical", "off"] = _setting(
        "warning", "process", "Envoy's own log level.", espv2="--enable_debug",
    )
    envoy_extra_config: str = _setting(
        "", "process", "A YAML file that Envoy merges into its bootstrap.", espv2="--envoy_extra_config_yaml",
    )
    drain_seconds: float = _setting(5.0, "process", "How long running requests may take to end at a stop.", unit="s")
    poll_seconds: float = _setting(
        0.25, "process", "How often the store is asked for a new revision.", espv2="check_rollout_interval", unit="s",
        above_zero=True,
    )
    metrics_port: int = _setting(
        0, "process", "Port of a Prometheus endpoint on loopback, for all workers; 0: none (extra `prometheus`).",
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "warning", "process", "The sidecar's own log level.", espv2="--enable_debug")

    # -- the listener -----------------------------------------------------------------------------------------
    host: str = _setting("127.0.0.1", "listener", "Address that the gateway listens on.")
    port: int = _setting(8080, "listener", "Port that the gateway listens on; 0: a free one.", espv2="--listener_port")
    tls_cert: str = _setting(
        "", "listener", "PEM file of the server's certificate chain; turns TLS on.", espv2="--ssl_server_cert_path")
    tls_key: str = _setting(
        "", "listener", "PEM file of the certificate's private key.", espv2="--ssl_server_cert_path")
    tls_self_signed: bool = _setting(
        False, "listener", "Make a certificate for localhost at start and serve TLS with it.",
        espv2="--generate_self_signed_cert")
    tls_client_ca: str = _setting(
        "", "listener", "PEM file of authorities; clients must present a certificate of theirs.",
        espv2="--ssl_server_root_cert_path")
    tls_min_version: Literal["", "TLSv1.2", "TLSv1.3"] = _setting(
        "TLSv1.2", "listener", "Lowest TLS version.", espv2="--ssl_minimum_protocol")
    tls_max_version: Literal["", "TLSv1.2", "TLSv1.3"] = _setting(
        "", "listener", "Highest TLS version; empty: Envoy's.", espv2="--ssl_maximum_protocol")
    tls_ciphers: tuple[str, ...] = _setting(
        (), "listener", "Cipher suites of the listener; none: Envoy's.", espv2="--ssl_server_cipher_suites")
    strict_transport_security: bool = _setting(
        False, "listener", "Add Strict-Transport-Security to answers of operations.",
        espv2="--enable_strict_transport_security")
    health_path: str = _setting(
        "", "listener", "A path that Envoy itself answers with 200; empty: none.", espv2="--healthz")
    compression: bool = _setting(
        False, "listener", "Compress answers with gzip or brotli.", espv2="--enable_response_compression")
    buffer_limit_bytes: int = _setting(
        0, "listener", "Buffer limit of connections and clusters; 0: Envoy's 1 MiB.",
        espv2="--envoy_connection_buffer_limit_bytes")
    max_header_kib: int = _setting(60, "listener", "Largest request header list.", unit="KiB", above_zero=True)

    # -- requests ---------------------------------------------------------------------------------------------
    normalize_path: bool = _setting(
        True, "requests", "Resolve dot segments and unreserved percent escapes before matching.",
        espv2="--disable_normalize_path")
    merge_slashes: bool = _setting(
        True, "requests", "Merge adjacent slashes before matching.", espv2="--disable_merge_slashes_in_path")
    escaped_slashes: Literal["reject", "keep", "redirect"] = _setting(
        "reject", "requests",
        "What happens to a path with %2F or %5C: 400, forward as it is, or unescape and redirect.",
        espv2="--disallow_escaped_slashes_in_path")
    colon_in_wildcards: bool = _setting(
        True, "requests", "Whether a wildcard of a path template matches a colon.",
        espv2="--disallow_colon_in_wildcard_path_segment")
    underscores_in_headers: bool = _setting(
        False, "requests", "Accept header names with an underscore instead of answering 400.",
        espv2="--underscores_in_headers")
    method_override: bool = _setting(
        False, "requests", "Let X-HTTP-Method-Override replace the method before matching; else the header is removed.")
    use_remote_address: bool = _setting(
        True, "requests", "Take the client's address from the connection (with `trusted_hops`), not from what it says.",
        espv2="--envoy_use_remote_address")
    trusted_hops: int = _setting(
        0, "requests", "Proxies in front whose X-Forwarded-For entries are believed.",
        espv2="--envoy_xff_num_trusted_hops")
    client_ip_from_forwarded: bool = _setting(
        False, "requests", "Let the last `for=` of the Forwarded header name the client's address (key restrictions).",
        espv2="client_ip_from_forwarded_header")
    add_request_headers: tuple[str, ...] = _setting(
        (), "requests", "name=value set on requests to backends.", espv2="--add_request_header")
    append_request_headers: tuple[str, ...] = _setting(
        (), "requests", "name=value added beside what is there, on requests to backends.",
        espv2="--append_request_header")
    add_response_headers: tuple[str, ...] = _setting(
        (), "requests", "name=value set on answers to clients.", espv2="--add_response_header")
    append_response_headers: tuple[str, ...] = _setting(
        (), "requests", "name=value added beside what is there, on answers to clients.",
        espv2="--append_response_header")
    header_prefix: str = _setting(
        "X-Endpoint-", "requests", "Prefix of the headers that tell backends who called.",
        espv2="generated_header_prefix")
    operation_name_header: bool = _setting(
        True, "requests", "Tell backends the operation's selector.", espv2="--enable_operation_name_header")
    strip_credentials: bool = _setting(False, "requests", "Remove API keys and tokens from what backends receive.")
    gateway_secret: str = _setting(
        "", "requests",
        "What backends know the gateway by: sent to each of them as X-Authz-Gateway-Secret, removed from what callers "
        "send; empty: none. Better set as a variable: other users of a machine see options.")
    envoy_headers: bool = _setting(
        False, "requests", "Keep Envoy's own x-envoy-* headers on answers and requests.", espv2="--enable_debug")
    access_log: str = _setting(
        "", "requests", "Where Envoy writes a JSON line per request: a file, or -.",
        espv2="--access_log")
    access_log_format: str = _setting(
        "", "requests", "An Envoy text format to use instead of the JSON lines.", espv2="--access_log_format")

    # -- CORS -------------------------------------------------------------------------------------------------
    cors_preset: Literal["", "basic", "cors_with_regex"] = _setting(
        "", "cors", "Let Envoy answer preflights for every path.", espv2="--cors_preset")
    cors_allow_origin: str = _setting(
        "*", "cors", "The origin that `basic` allows; * for all.", espv2="--cors_allow_origin")
    cors_allow_origin_regex: str = _setting(
        "", "cors", "The origins that `cors_with_regex` allows, matched in full.", espv2="--cors_allow_origin_regex")
    cors_allow_methods: str = _setting(
        "GET, POST, PUT, PATCH, DELETE, OPTIONS", "cors", "Access-Control-Allow-Methods.", espv2="--cors_allow_methods")
    cors_allow_headers: str = _setting(
        "DNT,User-Agent,X-User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
        "cors", "Access-Control-Allow-Headers.", espv2="--cors_allow_headers")
    cors_expose_headers: str = _setting(
        "Content-Length,Content-Range", "cors", "Access-Control-Expose-Headers.", espv2="--cors_expose_headers")
    cors_allow_credentials: bool = _setting(
        False, "cors", "Access-Control-Allow-Credentials.", espv2="--cors_allow_credentials")
    cors_max_age: int = _setting(
        1728000, "cors", "How long a preflight's answer may be kept.", espv2="--cors_max_age", unit="s")

    # -- backends ---------------------------------------------------------------------------------------------
    connect_timeout: float = _setting(
        20.0, "backends", "Longest time to connect to a backend.", unit="s", espv2="--connect_timeout", above_zero=True)
    stream_idle_timeout: float = _setting(
        300.0, "backends", "Longest silence on a stream.", unit="s", espv2="stream_idle_timeout")
    retry_on: str = _setting(
        "reset,connect-failure,refused-stream", "backends", "Envoy's retry conditions.", espv2="--backend_retry_ons")
    retry_count: int = _setting(1, "backends", "Retries per request; 0: none.", espv2="--backend_retry_num")
    retry_status_codes: tuple[int, ...] = _setting(
        (), "backends", "Answers of a backend that are retried too.", espv2="--backend_retry_on_status_codes")
    per_try_timeout: float = _setting(
        0.0, "backends", "Longest time of one try; 0: the whole deadline.", espv2="--backend_per_try_timeout", unit="s")
    backend_max_requests: int = _setting(
        1024, "backends", "Most requests at once per backend.", espv2="backend_cluster_maximum_requests",
        above_zero=True)
    backend_dns: Literal["auto", "v4only", "v6only", "v4preferred", "all"] = _setting(
        "v4preferred", "backends", "Which addresses of a backend's name are used.", espv2="--backend_dns_lookup_family")
    dns_resolvers: tuple[str, ...] = _setting(
        (), "backends", "DNS servers, ADDRESS[:PORT]; none: the system's.", espv2="--dns_resolver_addresses")
    backend_tls_ca: str = _setting(
        "/etc/ssl/certs/ca-certificates.crt", "backends",
        "PEM file of the authorities that backends' certificates come from.",
        espv2="--ssl_backend_client_root_certs_file")
    backend_tls_cert: str = _setting(
        "", "backends", "PEM file of the certificate shown to backends.", espv2="--ssl_backend_client_cert_path")
    backend_tls_key: str = _setting(
        "", "backends", "PEM file of its private key.", espv2="--ssl_backend_client_cert_path")
    backend_tls_ciphers: tuple[str, ...] = _setting(
        (), "backends", "Cipher suites towards backends; none: Envoy's.", espv2="--ssl_backend_client_cipher_suites")
    health_check_grpc_backend: bool = _setting(
        False, "backends",
        "Ask gRPC backends for their health (grpc.health.v1); one that is not healthy gets no call, and `health_path` "
        "says 503 while a `backend` of scheme grpc or grpcs is not.", espv2="--health_check_grpc_backend")
    health_check_grpc_backend_service: str = _setting(
        "", "backends", "The service whose health is asked for; empty: the server's as a whole.",
        espv2="--health_check_grpc_backend_service")
    health_check_grpc_backend_interval: float = _setting(
        1.0, "backends", "How often their health is asked for.", unit="s", above_zero=True,
        espv2="--health_check_grpc_backend_interval")
    health_check_grpc_backend_no_traffic_interval: float = _setting(
        60.0, "backends", "How often a healthy one is asked that has not had a call yet.", unit="s", above_zero=True,
        espv2="--health_check_grpc_backend_no_traffic_interval")
    backend_auth: Literal["none", "self", "oauth2", "metadata"] = _setting(
        "none", "backends",
        "Where tokens for backends come from: nowhere, the gateway's own key, OAuth2 client credentials, "
        "Google's metadata server.", espv2="--non_gcp")
    backend_auth_issuer: str = _setting(
        "", "backends", "Issuer of the gateway's own tokens; empty: http://HOST:PORT of the listener.")
    backend_auth_token_url: str = _setting("", "backends", "OAuth2 token endpoint.")
    backend_auth_client_id: str = _setting("", "backends", "OAuth2 client id.")
    backend_auth_client_secret_file: str = _setting("", "backends", "File that holds the OAuth2 client secret.")
    metadata_url: str = _setting(
        "http://metadata.google.internal", "backends", "Google's metadata server.", espv2="--metadata")

    # -- tokens and keys --------------------------------------------------------------------------------------
    jwks_cache_seconds: float = _setting(
        300.0, "credentials", "How old a key set may get before it is fetched again.",
        unit="s", espv2="--jwks_cache_duration_in_s", above_zero=True)
    jwks_stale_seconds: float = _setting(
        86400.0, "credentials", "How long a key set is still used while it cannot be fetched.", unit="s")
    jwks_refetch_seconds: float = _setting(
        30.0, "credentials", "Least time between two fetches for unknown key ids, per issuer.", unit="s")
    jwks_retries: int = _setting(2, "credentials", "Retries of a fetch that failed.", espv2="--jwks_fetch_num_retries")
    fetch_timeout: float = _setting(
        5.0, "credentials", "Longest time of one fetch of keys or tokens.", unit="s", espv2="--http_request_timeout_s",
        above_zero=True)
    oidc_discovery: bool = _setting(
        True, "credentials", "Find the key set of an issuer without jwks_uri by OpenID Connect discovery.",
        espv2="disable_oidc_discovery")
    default_audience: bool = _setting(
        True, "credentials", "Where no audience is declared, want https://SERVICE; off: any audience passes.",
        espv2="--disable_jwt_audience_service_name_check")
    token_cache_size: int = _setting(
        10000, "credentials", "Verified tokens remembered; 0: none.", espv2="--jwt_cache_size")
    clock_skew: float = _setting(60.0, "credentials", "Tolerance of exp and nbf.", unit="s")
    pad_user_info: bool = _setting(
        False, "credentials", "Pad the base64url of the user info header.", espv2="--jwt_pad_forward_payload_header")
    key_cache_size: int = _setting(
        50000, "credentials", "API keys remembered, known and unknown together.", above_zero=True)

    # -- JSON to gRPC -----------------------------------------------------------------------------------------
    transcoding_always_print_primitive_fields: bool = _setting(
        False, "transcoding", "Print fields that have their default value, too.",
        espv2="--transcoding_always_print_primitive_fields")
    transcoding_always_print_enums_as_ints: bool = _setting(
        False, "transcoding", "Print enums as numbers.", espv2="--transcoding_always_print_enums_as_ints")
    transcoding_preserve_proto_field_names: bool = _setting(
        False, "transcoding", "Print fields by the names they have in the .proto, instead of in lowerCamelCase.",
        espv2="--transcoding_preserve_proto_field_names")
    transcoding_stream_newline_delimited: bool = _setting(
        False, "transcoding", "Write a server's stream as a JSON value a line, instead of as one array.",
        espv2="--transcoding_stream_newline_delimited")
    transcoding_stream_sse: bool = _setting(
        False, "transcoding", "Write a server's stream as server-sent events (text/event-stream).")
    transcoding_ignore_query_parameters: tuple[str, ...] = _setting(
        (), "transcoding", "Query parameters that are no fields; those of keys and tokens never are.",
        espv2="--transcoding_ignore_query_parameters")
    transcoding_ignore_unknown_query_parameters: bool = _setting(
        False, "transcoding", "Ignore query parameters that name no field, instead of answering 400.",
        espv2="--transcoding_ignore_unknown_query_parameters")
    transcoding_case_insensitive_enum_parsing: bool = _setting(
        False, "transcoding", "Accept enums' names in any case.", espv2="--transcoding_case_insensitive_enum_parsing")
    transcoding_query_parameters_disable_unescape_plus: bool = _setting(
        False, "transcoding", "Take a + in a query for a plus, not for a blank.",
        espv2="--transcoding_query_parameters_disable_unescape_plus")
    transcoding_max_request_bytes: int = _setting(
        4 << 20, "transcoding", "Largest body that is made an RPC, or of one, in bytes; above it 413.",
        above_zero=True)
    transcoding_match_unregistered_custom_verb: bool = _setting(
        False, "transcoding", "Take what follows the last colon of a path for a verb, even one that no RPC has.",
        espv2="--transcoding_match_unregistered_custom_verb")

    # -- Envoy's questions ------------------------------------------------------------------------------------
    check_timeout: float = _setting(
        1.0, "questions", "How long Envoy waits for a Check; then 503.",
        unit="s", espv2="--service_control_check_timeout_ms", above_zero=True,
    )
    quota_timeout: float = _setting(
        1.0, "questions", "How long a quota's answer is waited for; then `quota_when_down`.",
        unit="s", espv2="--service_control_quota_timeout_ms", above_zero=True,
    )
    quota_when_down: Literal["allow", "deny", "local"] = _setting(
        "allow", "questions",
        "What happens to a request whose quota cannot be asked; local: each sidecar admits its share of what is left.",
        espv2="--service_control_network_fail_policy",
    )
    quota_in_check: bool = _setting(
        True, "questions",
        "Check charges the calls that it lets pass, so that they ask once; off: Envoy asks RateLimit behind Check.",
    )
    quota_counters: str = _setting(
        "memory", "questions",
        "Where quotas are counted: memory (of this machine), or the URL of a Redis that all gateways share.",
    )
    quota_redis_timeout: float = _setting(
        0.25, "questions", "How long an answer of that Redis is waited for; then `quota_when_down`.", unit="s",
        above_zero=True,
    )
    sidecar_tls_cert: str = _setting(
        "", "questions", "PEM file of the certificate chain that the sidecar and ADS serve with on TCP; turns TLS on.",
    )
    sidecar_tls_key: str = _setting("", "questions", "PEM file of its private key.")
    sidecar_tls_client_ca: str = _setting(
        "", "questions", "PEM file of authorities; Envoy must show a certificate of theirs (mutual TLS).",
    )
    sidecar_tls_ca: str = _setting(
        "", "questions",
        "Envoy's side: PEM file of the authorities that the sidecar's certificate comes from; turns TLS on.",
    )
    sidecar_tls_client_cert: str = _setting(
        "", "questions", "Envoy's side: PEM file of the certificate chain that it shows the sidecar.",
    )
    sidecar_tls_client_key: str = _setting("", "questions", "Envoy's side: PEM file of its private key.")
    sidecar_tls_name: str = _setting(
        "", "questions",
        "Envoy's side: the name that the sidecar's certificate must be for; empty: the host of its address.",
    )

    @classmethod
    def read(cls, options: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
        """Settings from command line options (None: not given) and the environment.

        Raises:
            UsageError: a value is not one that its setting can have; names the option or variable.
        """
        values: dict[str, Any] = {}
        for setting in TABLE:
            if (given := options.get(setting.name)) is not None and given != ():
                values[setting.name] = setting.checked(given, setting.option)
            elif (text := environ.get(setting.variable)) is not None:
                values[setting.name] = setting.checked(setting.parse(text, setting.variable), setting.variable)
        return cls(**values)


# fmt: on


TABLE: tuple[Setting, ...] = rows(Settings)


def misspelt(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that look like settings and are none, each with the nearest setting's ("" for none)."""
    known = [setting.variable for setting in TABLE]
    strange = [name for name in environ if name.startswith("AUTHZ_") and name not in {*known, *_OTHERS}]
    return {name: next(iter(difflib.get_close_matches(name, known, 1)), "") for name in strange}


_OTHERS = frozenset({"AUTHZ_DEBUG", "AUTHZ_TEST_TRANSPORT", "AUTHZ_TRUSTED_GATEWAYS"})
