"""Which lines of the access log have a grpc-status: those of calls in gRPC, as far as Envoy knows it.

An HTTP status of 200 says nothing of them. For others Envoy would make a status up, and so it would for calls in
gRPC-Web that got a message: their status is in the body by then, and Envoy takes it for UNKNOWN.
"""

from __future__ import annotations

from typing import Final

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    AndFilter,
    GrpcStatusFilter,
    GrpcStatusFilterStatus,
    HeaderFilter,
    MetadataFilter,
    OrFilter,
)
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.type.matcher.v3 import (
    MetadataMatcher,
    MetadataMatcherPathSegment,
    StringMatcher,
    ValueMatcher,
)

from authz.xds.rpc import answers, switches

STATUS: Final = {"grpc_status": "%GRPC_STATUS_NUMBER%"}
_WEB: Final = "x-grpc-web"
"""All clients of gRPC-Web send it; their content type is gRPC's by the time of the log."""


def with_status() -> AccessLogFilter:
    """Calls in gRPC; behind the transcoder JSON has that content type, too, and calls made into requests have not."""
    in_grpc = _any(_all(_type(), _has(switches.ORIGINAL_METHOD, no=True)), _reversed())
    return _all(in_grpc, _any(_has(_WEB, no=True), _unknown(no=True)))


def without_status() -> AccessLogFilter:
    """All others, to the last."""
    in_json = _all(_any(_type(no=True), _has(switches.ORIGINAL_METHOD)), _reversed(no=True))
    return _any(in_json, _all(_has(_WEB), _unknown()))


def _type(*, no: bool = False) -> AccessLogFilter:
    prefix = StringMatcher(prefix="application/grpc")
    matcher = HeaderMatcher(
        name="content-type", string_match=prefix, invert_match=no, treat_missing_header_as_empty=True
    )
    return AccessLogFilter(header_filter=HeaderFilter(header=matcher))


def _has(name: str, *, no: bool = False) -> AccessLogFilter:
    return AccessLogFilter(header_filter=HeaderFilter(header=HeaderMatcher(name=name, present_match=not no)))


def _reversed(*, no: bool = False) -> AccessLogFilter:
    rpc = MetadataMatcher(
        filter=answers.METADATA,
        path=[MetadataMatcherPathSegment(key=answers.RPC)],
        value=ValueMatcher(present_match=True),
        invert=no,
    )
    return AccessLogFilter(metadata_filter=MetadataFilter(matcher=rpc, match_if_key_not_found=no))


def _unknown(*, no: bool = False) -> AccessLogFilter:
    return AccessLogFilter(grpc_status_filter=GrpcStatusFilter(statuses=[GrpcStatusFilterStatus.UNKNOWN], exclude=no))


def _any(*filters: AccessLogFilter) -> AccessLogFilter:
    return AccessLogFilter(or_filter=OrFilter(filters=list(filters)))


def _all(*filters: AccessLogFilter) -> AccessLogFilter:
    return AccessLogFilter(and_filter=AndFilter(filters=list(filters)))
