"""The filters that RPCs need, and what turns them on and off for a route.

Envoy chooses a route, and with it the operation that Check judges, before its transcoder reads the same request and
chooses an RPC by itself. Two matchers can disagree, so a third filter stands behind the transcoder: the guard lets
nothing pass but the path of the RPC that the route is for.

Three kinds of routes, then: JSON to an RPC (transcoder and guard), gRPC to an RPC (neither: the route's own path is the
RPC's), and all others. The transcoder's configuration is its host's, and large, so it stands there once, and the last
two kinds switch it off.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation as Mutation
from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.config.rbac.v3 import rbac_pb2 as rules_pb2
from envoy.config.route.v3.route_components_pb2 import FilterConfig, HeaderMatcher, Route
from envoy.extensions.filters.http.buffer.v3.buffer_pb2 import BufferPerRoute
from envoy.extensions.filters.http.grpc_json_transcoder.v3.transcoder_pb2 import GrpcJsonTranscoder
from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import HeaderMutationPerRoute
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBACPerRoute
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.message import Message

from authz.model.service import Rpc

WEB: Final = "envoy.filters.http.grpc_web"
HEADERS: Final = "authz.grpc_headers"
TRANSCODER: Final = "envoy.filters.http.grpc_json_transcoder"
GUARD: Final = "envoy.filters.http.rbac"
BUFFER: Final = "envoy.filters.http.buffer"
QUERY: Final = "authz.grpc_query"

ORIGINAL_METHOD: Final = "x-envoy-original-method"
"""How the transcoder marks the requests that it has changed. Nobody else can: such headers are removed on arrival."""

OWN_STATUS: Final = "x-authz-grpc-status"
"""The grpc-status of an answer of the gateway's own, until `HEADERS` has put it where it belongs."""

# Envoy takes an empty configuration that is there for "on", and refuses one that is not there.
ON: Final = FilterConfig()
ON.config.SetInParent()


@cache
def off(*names: str) -> bytes:
    """The part of a route, serialised, that turns filters off."""
    return part(dict.fromkeys(names, FilterConfig(disabled=True)))


def for_host(transcoder: GrpcJsonTranscoder | None, most: int) -> Mapping[str, Message]:
    """What a host with RPCs turns on for all of its routes, until one turns it off. `most`: bytes of a body."""
    on: dict[str, Message] = {WEB: ON, HEADERS: _mutations(_OWN_STATUS_SHOWN, Mutation(remove=OWN_STATUS))}
    if transcoder is None:
        return on
    return on | {TRANSCODER: transcoder, BUFFER: _whole(most)}


def _whole(most: int) -> BufferPerRoute:
    whole = BufferPerRoute()
    whole.buffer.max_request_bytes.value = most
    return whole


def _mutations(*mutations: Mutation) -> HeaderMutationPerRoute:
    per_route = HeaderMutationPerRoute()
    per_route.mutations.response_mutations.extend(mutations)
    return per_route


_OWN_STATUS_SHOWN: Final = Mutation()
_OWN_STATUS_SHOWN.append.header.key = "grpc-status"
_OWN_STATUS_SHOWN.append.header.value = f"%RESP({OWN_STATUS})%"
_OWN_STATUS_SHOWN.append.append_action = HeaderValueOption.OVERWRITE_IF_EXISTS
_CLEAN: Final = _mutations(Mutation())
_CLEAN.mutations.response_mutations[0].remove_on_match.key_matcher.prefix = "grpc-"
"""The transcoder leaves some of gRPC's headers on an answer, where they mean nothing."""


def transcoded(rpc: Rpc, own: GrpcJsonTranscoder | None = None, most: int | None = None) -> bytes:
    """The part of a route whose callers send JSON. `own` and `most` are for those that the host's do not fit."""
    filters: dict[str, Message] = {GUARD: _only(rpc.path), HEADERS: _CLEAN}
    if own is not None:
        filters[TRANSCODER] = own
    if most is not None:
        filters[BUFFER] = _whole(most)
    return part(filters)


def _only(path: str) -> RBACPerRoute:
    """The path as a whole, as the backend will read it: not as Envoy would take it apart for other purposes."""
    per_route = RBACPerRoute()
    policy = per_route.rbac.rules.policies["rpc"]
    header = policy.permissions.add().header
    header.name, header.string_match.exact = ":path", path
    policy.principals.add().any = True
    per_route.rbac.rules.action = rules_pb2.RBAC.ALLOW
    return per_route


@cache
def unrepeated(names: tuple[str, ...], *, plain: bool) -> bytes:
    """The part of a route that refuses query parameters of these names: Envoy would let them overrule its path.

    `plain`: their names come without escapes. If not, escapes in any name are refused, too.
    """
    per_route = RBACPerRoute()
    policy = per_route.rbac.rules.policies["repeated"]
    policy.principals.add().any = True
    for name in names:
        for before in "?&":
            policy.permissions.add().header.CopyFrom(_target(contains=f"{before}{name}="))
    if not plain:
        regex = policy.permissions.add().header
        regex.CopyFrom(_target())
        regex.string_match.safe_regex.regex = r"[^?]*\?(?:.*&)?[^=&]*%.*"
    per_route.rbac.rules.action = rules_pb2.RBAC.DENY
    return part({QUERY: per_route})


def _target(**match: str) -> HeaderMatcher:
    return HeaderMatcher(name=":path", string_match=StringMatcher(**match))


def is_grpc(*, no: bool = False) -> bytes:
    """The part of a route that only gRPC and gRPC-Web reach, or nobody who speaks them."""
    route = Route()
    header = route.match.headers.add(name="content-type", invert_match=no, treat_missing_header_as_empty=True)
    header.string_match.prefix = "application/grpc"
    return bytes(route.SerializeToString(deterministic=True))


def part(configs: Mapping[str, Message]) -> bytes:
    """The part of a route that configures filters, serialised."""
    route = Route()
    for name, config in configs.items():
        route.typed_per_filter_config[name].Pack(config, deterministic=True)
    return bytes(route.SerializeToString(deterministic=True))
