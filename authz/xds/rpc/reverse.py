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
from collections.abc import Mapping
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
from google.protobuf.message import Message

from authz import wire
from authz.model.paths import Template
from authz.model.service import Operation, Rpc, ServiceConfig
from authz.settings import Settings
from authz.xds.rpc.closure import BODY, Closures
from authz.xds.rpc.switches import ON

ANSWERS: Final = "authz.reverse_answers"
FILTER: Final = "envoy.filters.http.grpc_json_reverse_transcoder"
GUARD: Final = "authz.reverse_guard"
TEACHER: Final = "authz.reverse_status"

MARK: Final = "x-envoy-authz-rpc"
"""Which RPC a made request is for. Nobody else can say so: such headers are removed on arrival."""
STATUS: Final = "x-authz-backend-status"
"""What a backend answered with, until the script has read it. No route's to add: answers of Envoy's own have those."""
METADATA: Final = "authz.reverse"
"""The dynamic metadata of a call that becomes a request: from then on, Envoy's answers are still to be gRPC's."""
RPC: Final = "rpc"
WEB: Final = "web"
"""What it has: for every call, and for those in gRPC-Web, as far as they say so."""

LARGEST: Final = 4 * 1024 * 1024
"""Of a request or an answer: what gRPC's own libraries accept if nobody says otherwise."""

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
        self._settings = settings
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
        filters = {ANSWERS: self._script(way), FILTER: self._transcoder(way.rpc), TEACHER: _STATUS_TOLD, GUARD: ON}
        return _part(filters)

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
        route.MergeFromString(_part(filters))
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
        transcoder.max_request_body_size.value = transcoder.max_response_body_size.value = LARGEST
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


def _part(configs: Mapping[str, Message]) -> bytes:
    route = Route()
    for name, config in configs.items():
        route.typed_per_filter_config[name].Pack(config, deterministic=True)
    return bytes(route.SerializeToString(deterministic=True))


def _header(name: str, value: str) -> HeaderValueOption:
    option = HeaderValueOption(append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD)
    option.header.key, option.header.value = name, value
    return option


_STATUS_TOLD: Final = HeaderMutationPerRoute()
_STATUS_TOLD.mutations.response_mutations.add().append.CopyFrom(_header(STATUS, "%RESP(:status)%"))

# A backend that compresses for gRPC's sake, or the caller's, would not be understood.
_GRPC_HEADERS: Final = (
    "te", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "grpc-message-type", "accept-encoding", "x-grpc-web",
    "x-user-agent",
)  # fmt: skip

_DOTS: Final = r"[^?]*/\.{1,2}(?:[/?].*)?"
_MOVES: Final = rf"{_DOTS}|[^?]*//.*"

# -- answers --------------------------------------------------------------------------------------------------------

GRPC_STATUS: Final = {
    400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 406: 3, 408: 4, 409: 10, 410: 5, 412: 9, 413: 8, 415: 3, 416: 11, 422: 3,
    423: 9, 424: 9, 425: 14, 428: 9, 429: 8, 431: 8, 499: 1, 500: 13, 501: 12, 502: 14, 503: 14, 504: 4,
}  # fmt: skip
"""A REST backend's status to gRPC's, as google.rpc.Code pairs them. Other 4xx are 9, other 5xx 13, all else 2."""

_CODES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip

NOT_JSON: Final = "The backend's answer is not the JSON of this RPC's message."
COMPRESSED: Final = "Compressed messages cannot become requests; send them as they are."

_WORDS: Final = ("message", "detail", "title", "error_description", "error")
"""Where errors in JSON have their words: Google's, FastAPI's, RFC 9457's, OAuth's, everybody's."""

SCRIPT: Final = f"""
local statuses = {{{", ".join(f"[{http}] = {grpc}" for http, grpc in GRPC_STATUS.items())}}}
local codes = {{{", ".join(f"{name} = {number}" for number, name in enumerate(_CODES) if number)}}}
local keys = {{{", ".join(f'"{word}"' for word in _WORDS)}}}
local escapes = {{b = "\\b", f = "\\f", n = "\\n", r = "\\r", t = "\\t"}}

-- What a call is refused with here is on its way to a gRPC client, who reads status and message from headers.
local function refuse(handle, status, message)
  handle:respond({{
    [":status"] = "200", ["content-type"] = "application/grpc", ["grpc-status"] = tostring(status),
    ["grpc-message"] = message, ["grpc-accept-encoding"] = "identity",
  }}, "")
end

function envoy_on_request(handle)
  local headers, route = handle:headers(), handle:filterContext()
  local encoding = headers:get("grpc-encoding")
  if encoding and encoding ~= "identity" then
    refuse(handle, 12, "{COMPRESSED}")
    return
  end
  headers:replace("{MARK}", route:get("mark"))
  -- Where routes match methods on a header of ours, it must follow.
  if headers:get("{wire.EFFECTIVE_METHOD}") then headers:replace("{wire.EFFECTIVE_METHOD}", route:get("method")) end
  local metadata, accept = handle:streamInfo():dynamicMetadata(), headers:get("accept") or ""
  metadata:set("{METADATA}", "{RPC}", route:get("mark"))
  if string.find(accept, "grpc-web-text", 1, true) then
    metadata:set("{METADATA}", "{WEB}", "text")
  elseif string.find(accept, "grpc-web", 1, true) or headers:get("x-grpc-web") then
    metadata:set("{METADATA}", "{WEB}", "proto")
  end
end

local function utf8(code)
  local function tail(shift) return string.char(128 + math.floor(code / shift) % 64) end
  if code < 128 then return string.char(code) end
  if code < 2048 then return string.char(192 + math.floor(code / 64)) .. tail(1) end
  if code < 65536 then return string.char(224 + math.floor(code / 4096)) .. tail(64) .. tail(1) end
  return string.char(240 + math.floor(code / 262144)) .. tail(4096) .. tail(64) .. tail(1)
end

local function unescape(text)
  text = string.gsub(text, "\\\\u([dD][89abAB]%x%x)\\\\u([dD][c-fC-F]%x%x)", function(high, low)
    return utf8((tonumber(high, 16) - 55296) * 1024 + tonumber(low, 16) - 56320 + 65536)
  end)
  text = string.gsub(text, "\\\\u(%x%x%x%x)", function(code) return utf8(tonumber(code, 16)) end)
  return (string.gsub(text, "\\\\(.)", function(char) return escapes[char] or char end))
end

-- The first text that a key of this name has, at whatever depth. No parser: these are words for people.
local function text_of(json, key)
  local _, from = string.find(json, '"' .. key .. '"%s*:%s*"')
  if not from then return nil end
  local at = from + 1
  while true do
    local stop = string.find(json, '["\\\\]', at)
    if not stop then return nil end
    if string.byte(json, stop) == 34 then return unescape(string.sub(json, from + 1, stop - 1)) end
    at = stop + 2
  end
end

local function words_of(body, http)
  local first = string.match(body, "%S")
  if first == "{{" or first == "[" then
    for _, key in ipairs(keys) do
      local found = text_of(body, key)
      if found and found ~= "" then return found end
    end
  elseif first and first ~= "<" then
    return body
  end
  return "The backend answered with HTTP status " .. http .. "."
end

local function status_of(body, http)
  local named = string.match(body, '"status"%s*:%s*"([A-Z_]+)"')
  if named and codes[named] then return codes[named] end
  local code = tonumber(string.match(body, '"code"%s*:%s*(%d+)') or "")
  if code and code > 0 and code <= 16 then return code end
  return statuses[http] or (http >= 400 and http < 500 and 9) or (http >= 500 and 13) or 2
end

local function encode(text)
  if #text > 1024 then text = string.gsub(string.sub(text, 1, 1024), "[\\192-\\255]?[\\128-\\191]*$", "") .. "..." end
  return (string.gsub(text, "[^ -$&-~]", function(char) return string.format("%%%02X", string.byte(char)) end))
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local http = tonumber(headers:get("{STATUS}") or "")
  headers:remove("{STATUS}")
  if headers:get("grpc-status") then
    -- The gateway's own answer, in gRPC already; what is left of it in a body is so because the caller's is gRPC-Web.
    local words = not headers:get("grpc-message") and handle:body()
    if words and words:length() > 0 then
      handle:headers():replace("grpc-message", encode(words:getBytes(0, words:length())))
      words:setBytes("")
    end
    return
  end
  if not http then return end
  -- Nothing is sent on before the answer is whole, and was understood: only until then a status can be told.
  local message = handle:body()
  local trailers = handle:trailers()
  if not trailers then return end
  if http >= 200 and http < 300 then
    if not message or message:length() == 0 then
      trailers:replace("grpc-status", "13")
      trailers:replace("grpc-message", "{NOT_JSON}")
    end
    return
  end
  local body = string.sub(trailers:get("grpc-message") or "", 1, 16384)
  body = string.gsub(body, "%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end)
  trailers:replace("grpc-status", tostring(status_of(body, http)))
  trailers:replace("grpc-message", encode(words_of(body, http)))
end
"""
