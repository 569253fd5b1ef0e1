"""What changes a request's line on its way: path translation to backends, and the method override.

Envoy's own rewrites keep the query behind whatever they write, so they serve where no variable becomes a parameter.
A constant address with variables wants the caller's query first; one small script does that, on those routes only.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation
from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua, LuaPerRoute
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter

from authz import wire
from authz.model.paths import DOUBLE_STAR
from authz.model.service import Backend, Operation, PathTranslation
from authz.settings import Settings

FILTER_NAME = "authz.path_translation"
METHOD_FILTER_NAME = "authz.method_override"
MAX_PATH = 8192

_TRANSLATE = f"""
-- Each variable is {{name, from, to}}: its value stands between these two slashes of the path. Positive numbers
-- count slashes from the start, others from the end, which is where a path has its 0th.
local function slash(path, count)
  local at = 0
  for _ = 1, count do
    at = string.find(path, "/", at + 1, true)
    if not at then return #path + 1 end
  end
  return at
end

local function slash_from_end(path, count)
  local at = #path + 1
  for _ = 1, count do
    repeat at = at - 1 until at <= 1 or string.byte(path, at) == 47
  end
  return at
end

-- What a segment may hold and a parameter's value may not: it would end the value, or become a space.
local parameter = {{["&"] = "%26", ["+"] = "%2B", [";"] = "%3B"}}

local function find(path, count)
  return count > 0 and slash(path, count) or slash_from_end(path, -count)
end

function envoy_on_request(handle)
  local headers, route = handle:headers(), handle:filterContext()
  local original = headers:get(":path")
  if #original > {MAX_PATH} then
    handle:respond({{[":status"] = "400"}}, "The path is longer than {MAX_PATH} bytes.")
    return
  end
  local mark = string.find(original, "?", 1, true) or #original + 1
  local path, result = string.sub(original, 1, mark - 1), route:get("path") .. string.sub(original, mark)
  path = string.sub(path, 1, #path - route:get("verb"))
  path = string.gsub(path, route:get("slashes"), "")
  local glue = mark > #original and "?" or "&"
  for _, variable in ipairs(route:get("variables")) do
    local value = string.sub(path, find(path, variable[2]) + 1, find(path, variable[3]) - 1)
    result = result .. glue .. variable[1] .. "=" .. string.gsub(value, "[&+;]", parameter)
    glue = "&"
  end
  headers:replace("{wire.ORIGINAL_PATH}", original)
  headers:replace(":path", result)
end
"""

# The route was chosen by the effective method already, and stays chosen: filters are switched on per route before
# the first of them runs, so choosing again here could meet an operation whose Check is off.
# Nothing becomes a HEAD: its answer announces a body that never comes, and whoever sent, say, a POST would read the
# next answer on the connection as that body.
_OVERRIDE = f"""
function envoy_on_request(handle)
  local headers = handle:headers()
  local method = headers:get("{wire.EFFECTIVE_METHOD}")
  if method == headers:get(":method") then return end
  if not method or not string.find(method, "^[A-Z]+$") or method == "CONNECT" or method == "HEAD" then
    handle:respond({{[":status"] = "400"}}, "{wire.METHOD_OVERRIDE} does not name a method to override with.")
    return
  end
  headers:replace(":method", method)
end
"""


def path_of(address: str) -> str:
    """The path part of a backend's address, without trailing slashes."""
    return urlsplit(address).path.rstrip("/")


def is_remote(backend: Backend, settings: Settings) -> bool:
    """Whether the backend has an address of its own, and the gateway heeds it."""
    return bool(backend.address) and not settings.backend_override


def rewrite(route: Route, backend: Backend) -> None:
    """Translate the path as far as Envoy can by itself. Only for remote backends."""
    path = path_of(backend.address).replace("\\", "\\\\")
    if backend.path_translation is PathTranslation.CONSTANT:
        pattern, path = "^/.*$", path or "/"
    elif path:
        pattern, path = "^/", f"{path}/"
    else:
        return
    route.route.regex_rewrite.pattern.regex = pattern
    route.route.regex_rewrite.substitution = path
    # Envoy adds headers before it rewrites; its own such header is silenced together with the other x-envoy-.
    original = route.request_headers_to_add.add(append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD)
    original.header.key, original.header.value = wire.ORIGINAL_PATH, "%REQ(:path)%"


def needs_script(operation: Operation) -> bool:
    """Whether variables of the path become parameters of the query. Only for remote backends."""
    return bool(operation.template.variables) and operation.backend.path_translation is PathTranslation.CONSTANT


def script_settings(operation: Operation) -> LuaPerRoute:
    """What the script must know of an operation: constant path, how to trim, and where each variable stands."""
    template = operation.template
    count = len(template.segments)
    double = template.segments.index(DOUBLE_STAR) if DOUBLE_STAR in template.segments else count

    def slash(index: int) -> int:
        return index + 1 if index <= double else index - count

    per_route = LuaPerRoute()
    per_route.filter_context.update({
        "path": path_of(operation.backend.address) or "/",
        "verb": len(template.verb) + 1 if template.verb else 0,
        # Before a verb, `**` keeps its slash: that is how ESPv2 binds it.
        "slashes": "/?$" if double != count - 1 else "^$" if template.verb else "/*$",
        "variables": [[v.name, slash(v.start), slash(v.stop)] for v in template.variables],
    })  # fmt: skip
    return per_route


def http_filter() -> HttpFilter:
    """The filter that routes with `script_settings` switch on. It belongs behind Check and RateLimit."""
    return _script(FILTER_NAME, _TRANSLATE, disabled=True)


def method_filter(settings: Settings) -> HttpFilter | None:
    """The filter that makes the effective method the request's own. It belongs before every other filter."""
    return _script(METHOD_FILTER_NAME, _OVERRIDE, disabled=False) if settings.method_override else None


def early_header_mutations(settings: Settings) -> list[HeaderMutation]:
    """What the connection manager does to the override header before a route is chosen.

    Envoy lets nothing write `:method` that early, so with overrides on the effective method goes into a header of
    its own, which routes match instead, and `method_filter` makes it true.
    """
    mutations = [HeaderMutation(remove=wire.METHOD_OVERRIDE)]
    if settings.method_override:
        effective = HeaderValueOption(append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD)
        effective.header.key = wire.EFFECTIVE_METHOD
        effective.header.value = f"%REQ({wire.METHOD_OVERRIDE}?:method)%"
        mutations.insert(0, HeaderMutation(append=effective))
    return mutations


def method_header(settings: Settings) -> str:
    """The header that routes match a method on."""
    return wire.EFFECTIVE_METHOD if settings.method_override else ":method"


def _script(name: str, code: str, *, disabled: bool) -> HttpFilter:
    script = Lua()
    script.default_source_code.inline_string = code
    script.clear_route_cache.value = False
    result = HttpFilter(name=name, disabled=disabled)
    result.typed_config.Pack(script)
    return result
