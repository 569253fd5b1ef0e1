"""Every name that passes through Envoy, in one place.

Writers (`xds`, `check`) and readers (`check`, `quota`) import these; a test proves that they agree.
Nothing here is configurable but the prefix of the upstream headers (`Settings.header_prefix`).
"""

from __future__ import annotations

from typing import Final

# ext_authz CheckSettings.context_extensions. For the access log, the service is its host's metadata and the config the
# route's, so that thousands of routes need not repeat what they have in common; an operation's route has its name.
CONTEXT_SERVICE: Final = "service"
CONTEXT_CONFIG: Final = "config"
CONTEXT_OPERATION: Final = "operation"
CONTEXT_CHARGE: Final = "charge"
"""Not empty: Check charges the call's quotas, since this route asks no RateLimit."""
ROUTE_METADATA: Final = "authz"

# Dynamic metadata that Check writes (Envoy files it under the ext_authz filter's name) and that the
# rate limit actions and the access log read.
METADATA_NAMESPACE: Final = "envoy.filters.http.ext_authz"
METADATA_SUBJECT: Final = "subject"
"""Whose counter is charged: `consumer:NUMBER` or `address:IP`. Never anything a client sends as such."""
SUBJECT_CONSUMER: Final = "consumer:"
SUBJECT_ADDRESS: Final = "address:"
SUBJECT_MISSING: Final = "missing"
"""What Envoy says where Check should have written a subject and did not: RateLimit denies. Without such a default
Envoy would drop the descriptor and never ask."""
METADATA_CONSUMER: Final = "consumer"
"""The consumer's name, for people who read logs; empty without one."""
METADATA_DECISION: Final = "decision"
"""`allow` or the name of the `Reason` of a denial."""

# Rate limit descriptor entries, in this order, one descriptor per request.
RATE_LIMIT_DOMAIN: Final = "authz"
DESCRIPTOR_SERVICE: Final = "service"
DESCRIPTOR_CONFIG: Final = "config"
DESCRIPTOR_OPERATION: Final = "operation"
DESCRIPTOR_SUBJECT: Final = "subject"
DESCRIPTOR_ADDRESS: Final = "remote_address"
"""Envoy's own action for an open operation: Check is not asked there, so nobody wrote a subject."""
DESCRIPTOR_CALLER: Final = "caller"
CALLER_GRPC: Final = "grpc"
"""The last entry on routes that only gRPC and gRPC-Web reach; others have none."""

# Request headers that Check reads besides the places of credentials (ext_authz allowed_headers must name them).
CHECK_HEADERS: Final = ("content-type", "referer", "x-android-package", "x-android-cert", "x-ios-bundle-identifier")
FORWARDED_FOR: Final = "x-forwarded-for"
"""Needed unless `use_remote_address` is on and `trusted_hops` is 0: ext_authz's source.address is always the
connection's peer (measured on Envoy 1.40), never the client that X-Forwarded-For names."""
FORWARDED: Final = "forwarded"
"""Needed with `client_ip_from_forwarded`."""
AUTHORIZATION: Final = "authorization"
"""Needed where a backend token replaces it."""

# gRPC methods that the sidecar serves.
CHECK_METHOD: Final = "/envoy.service.auth.v3.Authorization/Check"
RATE_LIMIT_METHOD: Final = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"

# Cluster names that the bootstrap defines and the filters name.
SIDECAR_CLUSTER: Final = "authz_sidecar"
XDS_CLUSTER: Final = "authz_xds"
ROUTE_CONFIG_NAME: Final = "authz"
LISTENER_NAME: Final = "authz"

# Upstream headers. The first three follow ESPv2; the prefix is a setting.
DEFAULT_PREFIX: Final = "X-Endpoint-"
USER_INFO: Final = "API-UserInfo"
CONSUMER_TYPE: Final = "API-Consumer-Type"
CONSUMER_NUMBER: Final = "API-Consumer-Number"
OPERATION_NAME: Final = "API-Operation-Name"
FORWARDED_AUTHORIZATION: Final = "x-forwarded-authorization"
METHOD_OVERRIDE: Final = "x-http-method-override"
RATE_LIMITED: Final = "x-envoy-ratelimited"
"""How Envoy's own rate limit filter marks its denials."""
ORIGINAL_PATH: Final = "x-envoy-original-path"
EFFECTIVE_METHOD: Final = "x-authz-method"
"""What routes match methods on when overrides are enabled: written before routing, removed before the backend."""
GATEWAY_SECRET: Final = "x-authz-gateway-secret"  # noqa: S105 - where it stands, not what it is
"""What backends may know the gateway by, where `gateway_secret` is set: then `frameworks` believes what it says."""


def upstream_headers(prefix: str) -> dict[str, str]:
    """The generated upstream header names, lower case as on the wire, by their suffix constant."""
    suffixes = (USER_INFO, CONSUMER_TYPE, CONSUMER_NUMBER, OPERATION_NAME)
    return {suffix: (prefix + suffix).lower() for suffix in suffixes}


def reserved_headers(prefix: str) -> tuple[str, ...]:
    """Headers that only the gateway may write: removed from every request on every route, open ones too.

    The usual names are among them whatever the prefix: a backend that has not been told of it looks for those.
    """
    generated = {*upstream_headers(prefix).values(), *upstream_headers(DEFAULT_PREFIX).values()}
    return (*sorted(generated), FORWARDED_AUTHORIZATION, ORIGINAL_PATH, GATEWAY_SECRET)
