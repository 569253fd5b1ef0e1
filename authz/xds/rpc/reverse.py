"""gRPC calls to backends that speak REST: what makes requests of them, and what keeps those to the RPC that was judged.

A call on an RPC's own path is judged as any other. Then Envoy's reverse transcoder makes of it the request that the
method's http rule describes, and forgets which route the call had: the made request is matched anew, against the same
table, as if a REST client had sent it. That is what keeps it honest: a path that is unsafe, or another operation's, is
met by what meets it anyway. Only the route of the RPC's own binding lets it pass, and only if it bears the RPC's mark;
everywhere else the guard refuses, because without a word of a route it lets nothing pass.

Two routes, then, for each RPC: that of the call (`called`) and, in front of its REST binding's, that of the request
(`made`). What Envoy makes of answers is put right by a script: statuses, messages, and answers that are none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.config.rbac.v3 import rbac_pb2 as rules_pb2
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.extensions.filters.http.grpc_json_reverse_transcoder.v3.transcoder_pb2 import GrpcJsonReverseTranscoder
from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import HeaderMutationPerRoute
from envoy.extensions.filters.http.lua.v3.lua_pb2 import LuaPerRoute
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBACPerRoute
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from authz.model.paths import Template
from authz.model.service import Operation, Rpc, ServiceConfig
from authz.settings import Settings
from authz.xds.rpc.answers import MARK, STATUS
from authz.xds.rpc.closure import BODY, Closures
from authz.xds.rpc.options import resolve
from authz.xds.rpc.switches import ON, part

ANSWERS: Final = "authz.reverse_answers"
FILTER: Final = "envoy.filters.http.grpc_json_reverse_transcoder"
GUARD: Final = "authz.reverse_guard"
TEACHER: Final = "authz.reverse_status"
WITNESS: Final = "authz.reverse_answered"

GRPC_ONLY: Final = "This path is for gRPC; the backend of this RPC speaks REST, on the paths that the RPC is bound to."
STREAMS: Final = "This RPC streams, which its backend cannot: it speaks REST."
UNBOUND: Final = "This RPC has no http rule, and its backend speaks REST: there is no request to make of a call."
ANY_METHOD: Final = "The http rule of this RPC has no method of its own: there is no request to make of a call."
NESTED_BODY: Final = (
    "The http rule of this RPC takes an HttpBody out of another message, which works for REST callers only."
)
BODY_IN_PATH: Final = "The http rule of this RPC has variables, and an HttpBody as its message has no fields for them."


@dataclass(frozen=True, slots=True)
class Way:
    """The request that an RPC's calls become, by the method's primary http rule.

    `operation` is that of the RPC's own path, as if it stood where the request goes.
    """

    rpc: Rpc
    operation: Operation
    body: str

    def leads_to(self, operation: Operation) -> bool:
        """Whether a REST client would be with this operation if it sent such a request."""
        mine = self.operation
        return (mine.method, mine.template.shape) == (operation.method, operation.template.shape)


class Reversal:
    """How one config's calls become requests. Costs nothing while none has to."""

    def __init__(self, config: ServiceConfig, settings: Settings) -> None:
        self._config = config
        self._settings = resolve(config.transcoding, settings)
        self._called = {
            operation.rpc: operation
            for operation in config.operations
            if operation.rpc and operation.is_rpc_path and not operation.speaks_grpc
        }
        self._ways: dict[Rpc, Way | str | None] = {}

    def way(self, rpc: Rpc | None) -> Way | str | None:
        """The request that a call of this RPC becomes; or why it becomes none; or None if its backend takes calls."""
        if rpc is None or rpc not in self._called:
            return None
        if rpc not in self._ways:
            self._ways[rpc] = self._way(rpc, self._called[rpc])
        return self._ways[rpc]

    def _way(self, rpc: Rpc, called: Operation) -> Way | str:
        method = self._method(rpc)
        if rpc.client_streaming or rpc.server_streaming:
            return STREAMS
        rule = method.GetOptions().Extensions[annotations_pb2.http] if method else http_pb2.HttpRule()
        verb, path = _pattern(rule)
        if method is None or not path:
            return UNBOUND
        if verb == "*":
            return ANY_METHOD
        way = Way(rpc, replace(called, method=verb, template=Template.parse(path)), rule.body)
        if f".{method.input_type.full_name}" == BODY:
            return BODY_IN_PATH if way.operation.template.variables else way
        field = method.input_type.fields_by_name.get(rule.body)
        # Envoy reads the bytes of such a field as another base64 than it writes them: most bodies would be refused.
        nested = field is not None and field.message_type and f".{field.message_type.full_name}" == BODY
        return NESTED_BODY if nested else way

    def _method(self, rpc: Rpc) -> MethodDescriptor | None:
        try:
            return self._pool.FindServiceByName(rpc.service).methods_by_name[rpc.method]
        except KeyError:
            return None

    @cached_property
    def _pool(self) -> DescriptorPool:
        pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(self._config.descriptors).file:
            pool.Add(file)
        return pool

    @cached_property
    def _closures(self) -> Closures:
        return Closures(self._config.descriptors)

    # -- parts of routes ------------------------------------------------------------------------------------------

    def called(self, way: Way) -> bytes:
        """The part of the route of a call, serialised. Should it ever stay what it is, the guard lets nothing pass."""
        filters = {
            ANSWERS: self._script(way),
            FILTER: self._transcoder(way.rpc),
            TEACHER: _STATUS_TOLD,
            WITNESS: ON,
            GUARD: ON,
        }
        return part(filters)

    def made(self, way: Way) -> bytes:
        """The part of the route of a made request: what it must bear, and what of gRPC its backend is spared."""
        route = Route()
        route.match.headers.add(name=MARK).string_match.exact = self._mark(way.rpc)
        route.request_headers_to_remove.extend([MARK, *_GRPC_HEADERS])
        if not way.body:
            # Envoy would send a body without a length, and without anything in it.
            route.request_headers_to_remove.append("content-type")
            route.request_headers_to_add.append(_header("content-length", "0"))
        filters = {ANSWERS: self._script(way), TEACHER: _STATUS_TOLD, GUARD: self._only(way.rpc)}
        route.MergeFromString(part(filters))
        return bytes(route.SerializeToString(deterministic=True))

    def _mark(self, rpc: Rpc) -> str:
        return f"{self._config.id}{rpc.path}"

    def _script(self, way: Way) -> LuaPerRoute:
        per_route = LuaPerRoute()
        per_route.filter_context.update({"mark": self._mark(way.rpc), "method": way.operation.method})
        return per_route

    def _only(self, rpc: Rpc) -> RBACPerRoute:
        """The RPC's requests, on paths that stay where they are: a caller's words stand in them as they are."""
        per_route = RBACPerRoute()
        policy = per_route.rbac.rules.policies["rpc"]
        both = policy.permissions.add().and_rules.rules
        mark = both.add().header
        mark.name, mark.string_match.exact = MARK, self._mark(rpc)
        moves = both.add().not_rule.header
        moves.name, moves.string_match.safe_regex.regex = ":path", _MOVES if self._settings.merge_slashes else _DOTS
        policy.principals.add().any = True
        per_route.rbac.rules.action = rules_pb2.RBAC.ALLOW
        return per_route

    def _transcoder(self, rpc: Rpc) -> GrpcJsonReverseTranscoder:
        settings = self._settings
        transcoder = GrpcJsonReverseTranscoder(descriptor_binary=self._descriptors(rpc))
        transcoder.max_request_body_size.value = settings.transcoding_max_request_bytes
        transcoder.max_response_body_size.value = settings.transcoding_max_request_bytes
        printing = transcoder.request_json_print_options
        printing.always_print_primitive_fields = settings.transcoding_always_print_primitive_fields
        printing.always_print_enums_as_ints = settings.transcoding_always_print_enums_as_ints
        printing.use_canonical_field_names = not settings.transcoding_preserve_proto_field_names
        return transcoder

    def _descriptors(self, rpc: Rpc) -> bytes:
        """What the RPC needs, with its primary rule, whose variables have the names that fields are printed with."""
        files = FileDescriptorSet.FromString(self._closures.of(rpc))
        method = self._method(rpc)
        for file in files.file:
            for service in file.service:
                rule = service.method[0].options.Extensions[annotations_pb2.http]
                del rule.additional_bindings[:]
                if method and not self._settings.transcoding_preserve_proto_field_names:
                    _set_path(rule, _printed(_pattern(rule)[1], method.input_type))
        return bytes(files.SerializeToString(deterministic=True))


def _pattern(rule: http_pb2.HttpRule) -> tuple[str, str]:
    """A rule's method and path."""
    kind = rule.WhichOneof("pattern")
    if kind is None:
        return "", ""
    return (rule.custom.kind, rule.custom.path) if kind == "custom" else (kind.upper(), getattr(rule, kind))


def _set_path(rule: http_pb2.HttpRule, path: str) -> None:
    kind = rule.WhichOneof("pattern")
    if kind == "custom":
        rule.custom.path = path
    elif kind:
        setattr(rule, kind, path)


def _printed(path: str, message: Descriptor) -> str:
    """A path whose variables are named as their fields are in JSON."""
    return re.sub(r"(?<=\{)[^}=]+", lambda name: ".".join(_json_names(name.group().split("."), message)), path)


def _json_names(names: list[str], message: Descriptor | None) -> list[str]:
    if not names:
        return []
    field = message.fields_by_name.get(names[0]) if message else None
    if field is None:
        return names
    return [field.json_name, *_json_names(names[1:], field.message_type)]


def _header(name: str, value: str) -> HeaderValueOption:
    option = HeaderValueOption(append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD)
    option.header.key, option.header.value = name, value
    return option


_STATUS_TOLD: Final = HeaderMutationPerRoute()
_STATUS_TOLD.mutations.response_mutations.add().append.CopyFrom(
    _header(STATUS, "%RESPONSE_CODE_DETAILS% %RESP(:status)%")
)

# A backend that compresses for gRPC's sake, or the caller's, would not be understood.
_GRPC_HEADERS: Final = (
    "te", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "grpc-message-type", "accept-encoding", "x-grpc-web",
    "x-user-agent",
)  # fmt: skip

_DOTS: Final = r"[^?]*/\.{1,2}(?:[/?].*)?"
_MOVES: Final = rf"{_DOTS}|[^?]*//.*"
