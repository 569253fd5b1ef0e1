"""What every `x-` field means, and where it is read.

The larger ones have a module of their own below `openapi/`: backends, quotas (management), security (issuers, keys).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from authz.model.auth import DEFAULT_TOKEN_PLACES, Place, PlaceKind
from authz.sources.node import Node

ROOT2, ROOT3, SERVICE, PATH_ITEM, OPERATION, SCHEME, SERVER, PARAMETER = (
    "the root of OpenAPI 2.0",
    "the root of OpenAPI 3.x",
    "the root of a google.api.Service YAML",
    "a path",
    "an operation",
    "a security scheme",
    "a server",
    "a path parameter",
)
_ROOTS = (ROOT2, ROOT3)


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension: where it is read, its shape, and what it says."""

    name: str
    places: tuple[str, ...]
    shape: str
    meaning: str
    later: bool = False


EXTENSIONS: tuple[Extension, ...] = (
    Extension("x-google-allow", (ROOT2,), "all | configured", "`all` lets paths through that no operation names."),
    Extension("x-google-api-name", (ROOT2,), "string", "Names the API when several documents make one service."),
    Extension("x-google-backend", (ROOT2, OPERATION), "object", "Where requests go, how, and with whose token."),
    Extension(
        "x-google-backend", (ROOT3, OPERATION), "string", "The name of one of the backends declared at the root."
    ),
    Extension(
        "x-google-endpoints", (ROOT2,), "[{name, target, allowCors}]", "The service's host and CORS passthrough."
    ),
    Extension("x-google-endpoint", (SERVER,), "{allowCors}", "Marks the server that names service and base path."),
    Extension("x-google-management", (ROOT2,), "{metrics, quota.limits}", "What is counted, and how much is allowed."),
    Extension(
        "x-google-api-management",
        (ROOT3,),
        "{metrics, quota.limits, backends, apiName, allowCors}",
        "Metrics, limits, backends and the API name of an OpenAPI 3.x document.",
    ),
    Extension(
        "x-google-quota", (OPERATION,), "{metricCosts: {METRIC: integer}}", "What one call takes of each metric."
    ),
    Extension("x-google-issuer", (SCHEME,), "string", "The `iss` of accepted tokens. Legacy spelling: `x-issuer`."),
    Extension("x-google-jwks_uri", (SCHEME,), "URL", "The issuer's key set. Legacy spelling: `x-jwks_uri`."),
    Extension("x-google-audiences", (SCHEME,), "comma list", "The accepted `aud` values; default `https://SERVICE`."),
    Extension(
        "x-google-jwt-locations", (SCHEME,), "[{header, value_prefix} | {query} | {cookie}]", "Where the token stands."
    ),
    Extension("x-google-auth", (SCHEME,), "{issuer, jwksUri, audiences, jwtLocations}", "A JWT scheme of OpenAPI 3.x."),
    Extension("x-google-parameter", (PARAMETER,), '{pattern: "**"}', "The parameter matches any number of segments."),
    Extension("x-security", (ROOT2, OPERATION), "[{SCHEME: {audiences: []}}]", "Legacy: audiences for one operation."),
    Extension(
        "x-authz-client-ids",
        (SCHEME, OPERATION),
        "list of strings",
        "Client ids (`azp`, `client_id`, `aud`) that may call.",
    ),
    Extension("x-authz-scopes", (SCHEME,), "boolean", "Its scopes were always meant, so lint does not remark on them."),
    Extension("x-authz-optional", (*_ROOTS, OPERATION), "boolean", "Calls without any credential pass too."),
    Extension(
        "x-authz-stream-timeout", (*_ROOTS, OPERATION), "seconds", "The longest silence of a stream; it may live on."
    ),
    Extension("x-authz-escaped-slashes", _ROOTS, "keep", "Forwards `%2F` and `%5C` in paths instead of refusing them."),
    Extension(
        "x-authz-grpc",
        (OPERATION,),
        "package.Service/Method | {method, body, response_body}",
        "The RPC behind an operation, and which of its fields are the bodies.",
    ),
    Extension(
        "x-authz-transcoding",
        (*_ROOTS, SERVICE),
        "{OPTION: value}",
        "What the JSON of a gRPC service has instead of the `transcoding_*` settings, by their names without that.",
    ),
    Extension("x-authz-cors", _ROOTS, "object", "CORS answered by the gateway.", later=True),
)

MOST_SECONDS = 31_536_000
"""The longest time that a document may ask for. Envoy refuses what a Duration cannot hold, and no call lasts a year."""

_PLACES: dict[str, set[str]] = {}
for _extension in EXTENSIONS:
    _PLACES.setdefault(_extension.name, set()).update(_extension.places)
_LATER = frozenset(extension.name for extension in EXTENSIONS if extension.later)
_OURS = ("x-google-", "x-authz-")

_PLACEHOLDER = re.compile(
    r"\$\{[^}]*\}|\$\([^)]*\)|\{\{.*\}\}|<[^<>]+>|\[[A-Z][A-Z_ -]+\]|\$[A-Z][A-Z_]+"
    r"|\bYOUR[-_ ][\w-]+|\b[A-Z]{2,}(?: [A-Z0-9]{2,})+\b"
)
_API_NAME = re.compile(r"[a-z][a-z0-9]{0,39}\Z")
_LOCATIONS = {"header": PlaceKind.HEADER, "query": PlaceKind.QUERY, "cookie": PlaceKind.COOKIE}


def check_names(node: Node, place: str) -> None:
    """Warn of extensions that nothing reads here."""
    for key in node.value:
        if key[:2] == "x-" and key.startswith(_OURS):
            _check_name(node, key, place)


def _check_name(node: Node, key: str, place: str) -> None:
    places = _PLACES.get(key)
    if places is None:
        node.report("unknown-extension", f"'{key}' is not known", "Correct its name, or remove it.", key)
    elif key in _LATER:
        node.report("extension-later", f"'{key}' has no effect in this version", "Remove it for now.", key)
    elif node.value[key] is None:
        node.wrong(key, "given a value")
    elif place not in places:
        hint = f"It is read at {' and '.join(sorted(places))}."
        node.report("extension-misplaced", f"'{key}' has no effect at {place}", hint, key)


def placeholder(text: str) -> str:
    """The first part of a text that wants to be filled in, or ''."""
    match = _PLACEHOLDER.search(text)
    return match.group() if match else ""


def refuse_placeholder(node: Node, key: str, text: str) -> bool:
    """Report a text that cannot be used before somebody fills it in."""
    found = placeholder(text)
    if found:
        message = f"'{key}' still has the placeholder '{found}'"
        node.report("placeholder", message, "Put the real value in its place.", key)
    return bool(found)


def warn_placeholder(node: Node, key: str, text: str) -> None:
    """Warn of a placeholder that keeps every token out."""
    found = placeholder(text)
    if found:
        message = f"'{key}' still has the placeholder '{found}': no token will pass"
        node.report("placeholder-token", message, "Put the real value in its place.", key)


def allow_all(root: Node) -> bool:
    """x-google-allow: whether paths pass that no operation names."""
    value = root.text("x-google-allow")
    if value.lower() in {"", "configured", "all"}:
        return value.lower() == "all"
    message = f"'x-google-allow' is '{value}', but must be one of all|configured"
    root.report("allow-value", message, "Write 'all' or 'configured'.", "x-google-allow")
    return False


def api_name(node: Node | None, *names: str) -> str:
    """x-google-api-name or apiName; '' if there is none."""
    name = node.text(*names) if node else ""
    if node is None or not name or _API_NAME.match(name):
        return name
    message = f"'{name}' is not an API name"
    hint = "Write a lower-case letter, then at most 39 lower-case letters or digits."
    node.report("api-name", message, hint, node.pick(names))
    return ""


def jwt_locations(node: Node, *names: str) -> tuple[Place, ...]:
    """x-google-jwt-locations: where tokens of a scheme stand; the defaults if it says nothing."""
    places = tuple(place for entry in node.children(*names) if (place := _location(entry)))
    return places or DEFAULT_TOKEN_PLACES


def _location(entry: Node) -> Place | None:
    entry.known("header", "query", "cookie", "value_prefix", "valuePrefix")
    kinds = [key for key in _LOCATIONS if entry.text(key)]
    prefix = entry.value.get(entry.pick(("value_prefix", "valuePrefix")), "")
    if len(kinds) != 1 or (prefix and kinds != ["header"]) or not isinstance(prefix, str):
        message = "a JWT location names exactly one of header, query and cookie, and only a header has 'value_prefix'"
        entry.report("jwt-location", message, "Write, for example, {header: Authorization, value_prefix: 'Bearer '}.")
        return None
    kind, name = _LOCATIONS[kinds[0]], entry.text(kinds[0])
    return Place(kind, name.lower() if kind is PlaceKind.HEADER else name, prefix)


def client_ids(node: Node) -> tuple[str, ...] | None:
    """x-authz-client-ids: who may call with a token; an empty list is nobody, None anybody."""
    return node.texts("x-authz-client-ids") if "x-authz-client-ids" in node else None


def comma_list(text: str) -> tuple[str, ...]:
    """The items of a comma-separated text, blanks around them left out."""
    return tuple(item for part in text.split(",") if (item := part.strip()))


def stream_timeout(node: Node, default: float) -> float:
    """x-authz-stream-timeout in seconds (`30`, `"30"` or `30s`); the default if it says nothing."""
    seconds = node.number("x-authz-stream-timeout", suffix="s")
    if seconds is None or 0 < seconds <= MOST_SECONDS:
        return default if seconds is None else seconds
    message = f"'x-authz-stream-timeout' is {seconds:g}"
    hint = f"Write a number of seconds above 0, at most {MOST_SECONDS} (a year)."
    node.report("timeout-value", message, hint, "x-authz-stream-timeout")
    return default


def keeps_escaped_slashes(root: Node) -> bool:
    """x-authz-escaped-slashes: whether `%2F` in a path is forwarded."""
    return root.choice(("keep", "refuse"), "x-authz-escaped-slashes") == "keep"
