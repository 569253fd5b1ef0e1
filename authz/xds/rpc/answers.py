"""What becomes of a REST backend's answers to calls in gRPC: the script that stands above Envoy's reverse transcoder.

On the way down it marks the call. On the way up it gives answers the status and the words that callers in gRPC expect:
Envoy takes 404 for UNIMPLEMENTED, a whole body for a message, and an answer that it cannot read for none at all.
"""

from __future__ import annotations

from typing import Final

from authz import wire

MARK: Final = "x-envoy-authz-rpc"
"""Which RPC a made request is for. Nobody else can say so: such headers are removed on arrival."""
STATUS: Final = "x-authz-backend-status"
"""What a backend answered with, until the script has read it. No route's to add: answers of Envoy's own have those."""
METADATA: Final = "authz.reverse"
"""The dynamic metadata of a call that becomes a request: from then on, Envoy's answers are still to be gRPC's."""
RPC: Final = "rpc"
WEB: Final = "web"
"""What it has: for every call, and for those in gRPC-Web, as far as they say so."""
ANSWERED: Final = "answered"
"""And from when on the backend has begun to answer. Of what Envoy says after that, no filter makes gRPC-Web."""

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

NOT_JSON: Final = "The backend's answer is not the JSON of this RPC's message, or too large for one."
BROKEN_OFF: Final = "The backend broke off its answer."
TOO_SLOW: Final = "The backend did not end its answer in time."
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
  -- Nothing of a query is the request's. Envoy would take it for a part of the RPC's name, and write the key in it to
  -- its log.
  headers:replace(":path", string.match(headers:get(":path"), "[^?]*"))
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
  local http = tonumber(string.match(headers:get("{STATUS}") or "", "^via_upstream (%d+)$") or "")
  headers:remove("{STATUS}")
  if http then
    -- What a REST backend says in gRPC's words is none of gRPC's.
    local foreign = {{}}
    for name in pairs(headers) do
      if string.find(name, "^grpc%-") then foreign[#foreign + 1] = name end
    end
    for _, name in ipairs(foreign) do headers:remove(name) end
  end
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
