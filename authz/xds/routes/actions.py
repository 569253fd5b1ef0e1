"""What becomes of a request: where it goes and for how long, whose quota it takes, and how it is refused."""

from __future__ import annotations

from functools import cache
from urllib.parse import urlsplit

from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import DirectResponseAction, RetryPolicy, Route, RouteAction
from envoy.extensions.filters.http.ratelimit.v3.rate_limit_pb2 import RateLimitPerRoute
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from authz import wire
from authz.model.service import DEFAULT_DEADLINE, Operation
from authz.settings import Settings
from authz.xds import translation

WEBSOCKET = "websocket"
HSTS = "max-age=31536000; includeSubdomains"

UNKNOWN_HOST = "No API is served under this host name."
UNKNOWN_PATH = "No operation of this API has this path."
UNKNOWN_METHOD = "The API has this path, but not with this method. Methods of the path: {methods}."
UNSAFE_PATH = "The path holds an escape that is not accepted: a broken one, a slash, a control, or one in a fixed part."
UNSAFE_TARGET = (
    f"{UNSAFE_PATH} Or its query holds one that is broken, is no UTF-8, or stands in the name of a parameter."
)
BAD_PREFLIGHT = (
    "This is no CORS preflight that can be answered: it needs Access-Control-Request-Method and an allowed Origin."
)


def action(operation: Operation, settings: Settings, cluster: str, *, grpc: bool = False) -> RouteAction:
    """Where to, and for how long. `grpc`: for calls in gRPC, whatever becomes of them on the way.

    A stream has no deadline, because Envoy's runs until the last byte of the answer; it may be silent for its timeout.
    Otherwise the idle timeout stays behind the deadline: 504 comes before 408. Which RPCs stream, their proto says.
    """
    to, backend, rpc = RouteAction(cluster=cluster), operation.backend, operation.rpc
    deadline = backend.deadline if backend.deadline > 0 else DEFAULT_DEADLINE
    streams = rpc.client_streaming or rpc.server_streaming if rpc else operation.stream_timeout > 0
    silence = operation.stream_timeout if streams else max(deadline + 1, settings.stream_idle_timeout)
    _set(to.idle_timeout, silence or settings.stream_idle_timeout)
    if not grpc:
        _set(to.timeout, 0 if streams else deadline)
    else:
        # Envoy has either this or the timeout above; 0: none.
        _set(to.max_stream_duration.max_stream_duration, 0 if streams else deadline)
        if not streams:
            # A caller's own deadline (grpc-timeout) holds if it is sooner. That of a stream is its caller's and its
            # backend's, who can end a stream with a status: Envoy would break it off, at the same moment.
            _set(to.max_stream_duration.grpc_timeout_header_max, deadline)
    if operation.websocket:
        # Its deadline is that of plain calls: Envoy ends no connection that was upgraded because of it.
        to.upgrade_configs.add(upgrade_type=WEBSOCKET)
    if translation.is_remote(backend, settings):
        to.host_rewrite_literal = _host(backend.address)
    if streams and settings.retry_count > 0 and settings.per_try_timeout > 0:
        to.retry_policy.CopyFrom(retries(settings, streams=True))
    return to


def retries(settings: Settings, *, streams: bool = False) -> RetryPolicy:
    """What is tried again, said once for a host. No try of a stream has a timeout."""
    policy = RetryPolicy()
    by_status = ["retriable-status-codes"] if settings.retry_status_codes else []
    policy.retry_on = ",".join([*filter(None, [settings.retry_on]), *by_status])
    policy.retriable_status_codes.extend(settings.retry_status_codes)
    policy.num_retries.value = settings.retry_count
    if settings.per_try_timeout > 0 and not streams:
        _set(policy.per_try_timeout, settings.per_try_timeout)
    return policy


def quota(names: dict[str, str], *, checked: bool, in_grpc: bool) -> RateLimitPerRoute:
    """One descriptor. Who is charged comes from Check where it runs, else from the connection."""
    per_route = RateLimitPerRoute()
    actions = per_route.rate_limits.add().actions
    for key, context in _DESCRIPTOR:
        entry = actions.add().generic_key
        entry.descriptor_key, entry.descriptor_value = key, names[context]
    if checked:
        subject = actions.add().metadata
        subject.descriptor_key = wire.DESCRIPTOR_SUBJECT
        subject.metadata_key.key = wire.METADATA_NAMESPACE
        subject.metadata_key.path.add(key=wire.METADATA_SUBJECT)
        subject.default_value = wire.SUBJECT_MISSING
    else:
        actions.add().remote_address.SetInParent()
    if in_grpc:
        caller = actions.add().generic_key
        caller.descriptor_key, caller.descriptor_value = wire.DESCRIPTOR_CALLER, wire.CALLER_GRPC
    return per_route


def without_original(settings: Settings) -> list[str]:
    """The headers that backends of RPCs do not get: a long query is too much metadata for most of them.

    And keys may stand in it.
    """
    return [] if settings.envoy_headers else [wire.ORIGINAL_PATH]


_DESCRIPTOR = (
    (wire.DESCRIPTOR_SERVICE, wire.CONTEXT_SERVICE),
    (wire.DESCRIPTOR_CONFIG, wire.CONTEXT_CONFIG),
    (wire.DESCRIPTOR_OPERATION, wire.CONTEXT_OPERATION),
)
OPERATION_ENTRY = 2


def _host(address: str) -> str:
    """The host of an address as a Host header names it, without the port."""
    host = urlsplit(address).hostname or ""
    return f"[{host}]" if ":" in host else host


@cache
def allow(methods: str) -> bytes:
    """The part of a 405, serialised, that says which methods there are."""
    return serialised(Route(response_headers_to_add=[header("allow", methods)]))


def answer(status: int, text: str) -> DirectResponseAction:
    """An answer of Envoy's own. Its listener writes local replies as JSON, with this as the message."""
    said = DirectResponseAction(status=status)
    said.body.inline_string = text
    return said


def header(name: str, value: str, action: int = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD) -> HeaderValueOption:
    """A header to write; what is there is overwritten."""
    option = HeaderValueOption(append_action=action)
    option.header.key = name
    option.header.value = value
    return option


def _set(duration: Duration, seconds: float) -> None:
    duration.FromMilliseconds(round(seconds * 1000))


def serialised(route: Message) -> bytes:
    """The wire form, the same in every process. Parts of one message may be serialised apart and joined."""
    return bytes(route.SerializeToString(deterministic=True))
