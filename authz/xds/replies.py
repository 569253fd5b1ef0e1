"""What the gateway says itself: the shape of Envoy's own answers, for HTTP, gRPC and gRPC-Web.

HTTP gets `{"code", "message"}`; in gRPC the message is grpc-message. Envoy derives grpc-status from the HTTP status,
after its own taste in some cases; `GRPC_STATUS` has those in which we differ.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any, Final

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    HeaderFilter,
    MetadataFilter,
    OrFilter,
    ResponseFlagFilter,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    RuntimeUInt32,
    SubstitutionFormatString,
)
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.envoy.type.matcher.v3 import (
    MetadataMatcher,
    MetadataMatcherPathSegment,
    RegexMatcher,
    StringMatcher,
    ValueMatcher,
)
from envoy_data_plane.google.protobuf import Struct

from authz import wire
from authz.xds.routes.actions import UNSAFE_PATH
from authz.xds.rpc import answers, switches

SIDECAR_AWAY: Final = "UNAVAILABLE: The gateway cannot judge this call at the moment; try again soon."
TWO_HOSTS: Final = "The request names more than one host."
NO_UPGRADE: Final = "This path is not open to WebSocket, nor to any other upgrade."
NOT_GRPC: Final = "This path is for JSON; gRPC calls an RPC by its own path, /package.Service/Method."
REPEATED: Final = (
    "The query names a field that the path names already, or writes a name with escapes; write it plainly."
)
TOO_LARGE: Final = "The body is larger than this gateway makes an RPC of; send less at once, or call the RPC in gRPC."
OTHER_RPC: Final = "The request is another operation's in one reading of its path than in another; write it plainly."
OTHER_REQUEST: Final = "What this call says makes a request of another operation, or of no path of this RPC's."

GRPC_STATUS: Final = {
    400: 3, 401: 16, 403: 7, 404: 12, 405: 12, 408: 4, 413: 8, 429: 8, 500: 13, 502: 14, 503: 14, 504: 4,
}  # fmt: skip
"""HTTP status to grpc-status. Whoever names one of its own, as Check does, is left alone in native gRPC."""


def config() -> LocalReplyConfig:
    """How the connection manager words its answers."""
    body = Struct.from_dict({"code": "%RESPONSE_CODE%", "message": "%LOCAL_REPLY_BODY%"})
    wrapped = SubstitutionFormatString(json_format=body, content_type="application/json")
    return LocalReplyConfig(mappers=_mappers(), body_format=wrapped)


def _mappers() -> list[ResponseMapper]:
    """Exceptions to the JSON body and to the status, first match only. Answers of backends never pass here."""
    hosts = _all(_header(":authority", ".*,.*"), _status(404))
    two_hosts = ResponseMapper(filter=hosts, status_code=400, body=DataSource(inline_string=TWO_HOSTS))
    success = ResponseMapper(
        filter=_status(299, ComparisonFilterOp.LE), body_format_override=_as_it_is("application/json")
    )
    # Of a path that it cannot normalise, Envoy says nothing.
    wordless = _all(_header(":path", "[^?]*%00.*"), _status(400))
    unsafe = ResponseMapper(filter=wordless, body=DataSource(inline_string=UNSAFE_PATH))
    lost = ResponseMapper(filter=_sidecar_is_away(), body=DataSource(inline_string=SIDECAR_AWAY))
    closed = ResponseMapper(filter=_upgrade_refused(), body=DataSource(inline_string=NO_UPGRADE))
    other_rpc = ResponseMapper(filter=_guard_refused(), status_code=404, body=DataSource(inline_string=OTHER_RPC))
    in_grpc = [
        _in_grpc(400, hosts, TWO_HOSTS),
        _in_grpc(400, wordless, UNSAFE_PATH),
        _in_grpc(503, _sidecar_is_away(), SIDECAR_AWAY),
        # Whoever calls in gRPC sends POST and nothing else: a list of other methods does not help.
        _in_grpc(405, _status(405), NOT_GRPC),
        *(_in_grpc(status, _status(status)) for status in GRPC_STATUS),
        ResponseMapper(filter=_is_grpc(), body_format_override=_as_it_is("text/plain")),
    ]
    repeated = ResponseMapper(
        filter=_all(_status(403), _undecided(), _transcoded(already=False)),
        status_code=400,
        body=DataSource(inline_string=REPEATED),
    )
    too_large = ResponseMapper(
        filter=_all(_status(413), _transcoded(already=False)), body=DataSource(inline_string=TOO_LARGE)
    )
    return [success, *_for_reversed(), *in_grpc, two_hosts, unsafe, lost, closed, other_rpc, repeated, too_large]


def _in_grpc(status: int, when: AccessLogFilter, text: str = "") -> ResponseMapper:
    """The grpc-status in place of an HTTP status. `text`: in place of what Envoy says."""
    return ResponseMapper(
        filter=_all(_is_grpc(), when),
        status_code=200,
        headers_to_add=_grpc_status(GRPC_STATUS[status]),
        body=DataSource(inline_string=text) if text else None,
        body_format_override=_as_it_is("text/plain"),
    )


def _grpc_status(number: int) -> list[HeaderValueOption]:
    """The status twice: Envoy's gRPC-Web derives one from the HTTP status, whatever header is there by then."""
    return _headers({"grpc-status": str(number), switches.OWN_STATUS: str(number)})


def _headers(values: dict[str, str]) -> list[HeaderValueOption]:
    return [
        HeaderValueOption(
            header=HeaderValue(key=name, value=value),
            append_action=HeaderValueOptionHeaderAppendAction.ADD_IF_ABSENT,
        )
        for name, value in values.items()
    ]


def _is_grpc() -> AccessLogFilter:
    """Whether the caller speaks gRPC: behind the transcoder, requests in JSON have that content type, too."""
    return _all(_header("content-type", r"application/grpc(\+.*)?"), _transcoded(already=False))


def _for_reversed() -> list[ResponseMapper]:
    """For callers in gRPC whose calls have become requests, and who must not be told in the words of those.

    Answers of that type pass the reverse transcoder as they are, and its script knows what gRPC-Web needs. But once the
    backend has begun to answer, no filter stands between what Envoy says and the caller: that is framed here.
    """
    # The request was matched once more, and found no way, or another operation's.
    unmade = _told(400, _all(_reversed(), _any_of(403, 404, 405)), body=DataSource(inline_string=OTHER_REQUEST))
    cut = [
        _told(
            statuses[0],
            _all(_reversed(answers.WEB, kind), _reversed(answers.ANSWERED), _any_of(*statuses)),
            body_format_override=_web_frame(kind, _trailers(GRPC_STATUS[statuses[0]], words)),
        )
        for statuses, words in _CUT.items()
        for kind in _WEB_TYPES
    ]
    return [unmade, *cut, *(_told(status, _all(_reversed(), _status(status))) for status in GRPC_STATUS)]


_CUT: Final = {
    (500,): answers.NOT_JSON, (502, 503): answers.BROKEN_OFF, (408, 504): answers.TOO_SLOW,
}  # fmt: skip
_WEB_TYPES: Final = {"proto": "application/grpc-web+proto", "text": "application/grpc-web-text"}


def _trailers(status: int, words: str) -> bytes:
    lines = f"grpc-status:{status}\r\ngrpc-message:{words}\r\n".encode()
    return b"\x80" + len(lines).to_bytes(4, "big") + lines


def _web_frame(kind: str, frame: bytes) -> SubstitutionFormatString:
    return SubstitutionFormatString(
        text_format_source=DataSource(inline_bytes=b64encode(frame) if kind == "text" else frame),
        content_type=_WEB_TYPES[kind],
    )


def _told(status: int, when: AccessLogFilter, **more: Any) -> ResponseMapper:
    told = ResponseMapper(
        filter=when,
        status_code=200,
        headers_to_add=_headers({"grpc-status": str(GRPC_STATUS[status])}),
        body_format_override=_as_it_is("application/grpc"),
    )
    return replace(told, **more)


def _reversed(key: str = answers.RPC, value: str = "") -> AccessLogFilter:
    rpc = MetadataMatcher(
        filter=answers.METADATA,
        path=[MetadataMatcherPathSegment(key=key)],
        value=ValueMatcher(string_match=StringMatcher(exact=value)) if value else ValueMatcher(present_match=True),
    )
    return AccessLogFilter(metadata_filter=MetadataFilter(matcher=rpc, match_if_key_not_found=False))


def _upgrade_refused() -> AccessLogFilter:
    """Envoy's own 403, before anybody else has seen the request. It means whatever the Upgrade header names."""
    return _all(_header("upgrade", ".+"), _status(403), _undecided())


def _guard_refused() -> AccessLogFilter:
    """Behind the transcoder, nothing else answers so: Check and RateLimit stand in front of it."""
    return _all(_status(403), _transcoded())


def _transcoded(*, already: bool = True) -> AccessLogFilter:
    header = HeaderMatcher(name=switches.ORIGINAL_METHOD, present_match=True, invert_match=not already)
    return AccessLogFilter(header_filter=HeaderFilter(header=header))


def _sidecar_is_away() -> AccessLogFilter:
    """Envoy's own denial, which has no words: Check was not answered, or RateLimit was not and must be.

    Check's denials bear the same flag; they can be told by the decision that it writes with each.
    """
    unasked = OrFilter(filters=[_all(_flag("UAEX"), _undecided()), _flag("RLSE")])
    return _all(_status(503), AccessLogFilter(or_filter=unasked))


def _undecided() -> AccessLogFilter:
    decision = MetadataMatcher(
        filter=wire.METADATA_NAMESPACE,
        path=[MetadataMatcherPathSegment(key=wire.METADATA_DECISION)],
        value=ValueMatcher(string_match=StringMatcher(exact="none is called so")),
    )
    return AccessLogFilter(metadata_filter=MetadataFilter(matcher=decision, match_if_key_not_found=True))


def _flag(name: str) -> AccessLogFilter:
    return AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=[name]))


def _as_it_is(content_type: str) -> SubstitutionFormatString:
    body = DataSource(inline_string="%LOCAL_REPLY_BODY%")
    return SubstitutionFormatString(text_format_source=body, content_type=content_type)


def _header(name: str, pattern: str) -> AccessLogFilter:
    matcher = HeaderMatcher(name=name, string_match=StringMatcher(safe_regex=RegexMatcher(regex=pattern)))
    return AccessLogFilter(header_filter=HeaderFilter(header=matcher))


def _status(value: int, op: ComparisonFilterOp = ComparisonFilterOp.EQ) -> AccessLogFilter:
    # Envoy demands a runtime key; nobody sets it.
    fixed = RuntimeUInt32(default_value=value, runtime_key="authz.fixed")
    return AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=ComparisonFilter(op=op, value=fixed)))


def _any_of(*values: int) -> AccessLogFilter:
    if len(values) == 1:
        return _status(values[0])
    return AccessLogFilter(or_filter=OrFilter(filters=[_status(value) for value in values]))


def _all(*filters: AccessLogFilter) -> AccessLogFilter:
    return AccessLogFilter(and_filter=AndFilter(filters=list(filters)))
