"""OpenAPI 3.0 and 3.1: servers, components.securitySchemes, x-google-api-management."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from authz.sources.document import Document
from authz.sources.extensions import ROOT3, SERVER, api_name, check_names, keeps_escaped_slashes, refuse_placeholder
from authz.sources.node import Node
from authz.sources.openapi.backends import Backends3
from authz.sources.openapi.identity import api, base_path, service_name
from authz.sources.openapi.operations import Walk
from authz.sources.openapi.quotas import management3
from authz.sources.openapi.reading import Reading
from authz.sources.openapi.security import Guard
from authz.sources.syntax.tree import Map
from authz.sources.transcoding import transcoding

_VARIABLE = re.compile(r"\{([^{}]+)\}")
_WEBSOCKET = re.compile(r"wss?://", re.IGNORECASE)


def read(document: Document, service: str) -> Reading:
    """What a document of OpenAPI 3.x says. `service` names it if none of its servers does."""
    root = Node(document, document.root, "the document")
    reading = Reading(
        document.file, (root, "servers"), is_version3=True, keep_escaped_slashes=keeps_escaped_slashes(root)
    )
    check_names(root, ROOT3)
    reading.transcoding = transcoding(root)
    management = root.child("x-google-api-management")
    if management:
        management.known("metrics", "quota", "backends", "apiName", "api_name", "allowCors", "allow_cors", "mcp", "ai")
        reading.allow_cors = management.flag("allowCors", "allow_cors") or False
    base = _server(root, reading, service)
    reading.api = api(root, api_name(management, "apiName", "api_name"), reading.host, base)
    backends = Backends3(management)
    reading.backend = backends.root(root)
    management3(management, reading)
    components = root.child("components")
    guard = Guard(root, components.child("securitySchemes") if components else None, reading)
    guard.check_root()
    Walk(root, reading, guard, backends, websocket).run()
    backends.check()
    return reading


def websocket(node: Node) -> bool | None:
    """Whether a server of a document, a path or an operation speaks WebSocket."""
    servers = node.value.get("servers")
    if not isinstance(servers, list) or not servers:
        return None
    return any(isinstance(server, Map) and _WEBSOCKET.match(str(server.get("url"))) for server in servers)


@dataclass(frozen=True, slots=True)
class _Server:
    node: Node
    url: str
    host: str
    port: bool
    path: str


def _server(root: Node, reading: Reading, service: str) -> str:
    """Find the server that names the service; its host goes into the reading, its base path comes back."""
    nodes = list(root.children("servers"))
    for node in nodes:
        check_names(node, SERVER)
    marked = [node for node in nodes if "x-google-endpoint" in node]
    if len(marked) > 1:
        message = "more than one server has 'x-google-endpoint'"
        marked[1].report("endpoints-many", message, "Keep it at the server that clients call.", "x-google-endpoint")
    servers = [_parse(node) for node in (marked or nodes)]
    chosen = _choose(servers, service)
    reading.host = service
    if marked:
        _endpoint(marked[0], reading)
    if chosen is None:
        return ""
    if not marked and any(server is not chosen and not _is_twin(server, chosen) for server in servers):
        message = f"the server '{chosen.url}' names the service; the other servers are left aside"
        hint = "Mark the right one with 'x-google-endpoint: {}'."
        root.report("server-ignored", message, hint, "servers")
    if chosen.host:
        reading.is_named = True
        reading.host, reading.host_at = _host(chosen, is_marked=bool(marked)), (chosen.node, "url")
    return base_path(chosen.node, "url", chosen.path)


def _is_twin(server: _Server, chosen: _Server) -> bool:
    """Whether a server is the chosen one again, for WebSocket or for HTTP beside it."""
    schemes = {one.url.partition("://")[0].lower().replace("ws", "http") for one in (server, chosen)}
    alike = (server.host, server.path.rstrip("/")) == (chosen.host, chosen.path.rstrip("/"))
    return alike and server.url != chosen.url and len(schemes) == 1


def _choose(servers: list[_Server], service: str) -> _Server | None:
    absolute = [server for server in servers if server.host]
    if absolute:
        return absolute[0]
    return servers[0] if servers and service else None


def _parse(node: Node) -> _Server:
    url = node.text("url")
    variables = node.child("variables")

    def fill(match: re.Match[str]) -> str:
        variable = variables.child(match[1]) if variables else None
        return variable.label("default") if variable else match[0]

    filled = _VARIABLE.sub(fill, url) if variables else url
    try:
        parts = urlsplit(filled)
        port = parts.port is not None or parts.netloc.endswith(":")
    except ValueError:
        node.report("host-invalid", f"'{url}' is not a URL", "Write, for example, https://api.example.com/v1.", "url")
        return _Server(node, url, "", port=False, path="")
    return _Server(node, filled, parts.netloc.rpartition("@")[2], port, parts.path)


def _host(server: _Server, is_marked: bool) -> str:
    host = server.host
    if server.port and not is_marked and not refuse_placeholder(server.node, "url", host):
        host = host.rpartition(":")[0]
        message = f"the port of '{server.host}' is left aside; the service is '{host}'"
        server.node.report("host-port", message, "Remove the port to silence this.", "url")
    return service_name(server.node, "url", host)


def _endpoint(server: Node, reading: Reading) -> None:
    node = server.child("x-google-endpoint")
    if node is None:
        return
    node.known("allowCors", "allow_cors", "name", "target")
    allow_cors = node.flag("allowCors", "allow_cors") or False
    reading.endpoint = f"allowCors: {str(allow_cors).lower()}"
    reading.allow_cors = reading.allow_cors or allow_cors
