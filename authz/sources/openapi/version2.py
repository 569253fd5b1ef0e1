"""OpenAPI 2.0: host, basePath, securityDefinitions, x-google-endpoints."""

from __future__ import annotations

from authz.sources.document import Document
from authz.sources.extensions import ROOT2, allow_all, api_name, check_names, keeps_escaped_slashes
from authz.sources.node import Node
from authz.sources.openapi.backends import Backends2
from authz.sources.openapi.identity import api, base_path, service_name
from authz.sources.openapi.operations import Walk
from authz.sources.openapi.quotas import management2
from authz.sources.openapi.reading import Reading
from authz.sources.openapi.security import Guard
from authz.sources.transcoding import transcoding


def read(document: Document, service: str) -> Reading:
    """What a document of OpenAPI 2.0 says. `service` names it if it has no host."""
    root = Node(document, document.root, "the document")
    reading = Reading(document.file, (root, "host"), keep_escaped_slashes=keeps_escaped_slashes(root))
    check_names(root, ROOT2)
    reading.transcoding = transcoding(root)
    host = _without_port(root, root.text("host"))
    reading.host = service_name(root, "host", host) if host else service
    reading.is_named = bool(host)
    base = base_path(root, "basePath", root.text("basePath"))
    reading.api = api(root, api_name(root, "x-google-api-name"), reading.host, base)
    _endpoints(root, reading)
    backends = Backends2()
    reading.backend = backends.root(root)
    reading.allow_all = allow_all(root)
    management2(root, reading)
    guard = Guard(root, root.child("securityDefinitions"), reading)
    guard.check_root()
    Walk(root, reading, guard, backends, websocket).run()
    return reading


def _without_port(root: Node, host: str) -> str:
    """The host that development has, without its port: the one host whose port is no other service's."""
    name, colon, port = host.partition(":")
    if name != "localhost" or not colon or not port.isdecimal():
        return host
    message = f"the port of '{host}' is left aside; the service is '{name}'"
    root.report("host-port", message, "Remove the port to silence this.", "host")
    return name


def websocket(node: Node) -> bool | None:
    """Whether the schemes of a document or an operation have WebSocket; a path has none."""
    schemes = node.value.get("schemes")
    return any(scheme in ("ws", "wss") for scheme in schemes) if isinstance(schemes, list) and schemes else None


def _endpoints(root: Node, reading: Reading) -> None:
    entries = list(root.children("x-google-endpoints"))
    if len(entries) > 1:
        message = "At most one entry is allowed in 'x-google-endpoints'"
        root.report("endpoints-many", message, "Keep the one whose name is the host.", "x-google-endpoints")
    for entry in entries[:1]:
        entry.known("name", "target", "allowCors", "allow_cors", "aliases", "features")
        name = entry.text("name")
        if name and reading.host and name != reading.host:
            message = f"the endpoint '{name}' differs from the host name '{reading.host}'"
            entry.report("endpoints-name", message, f"Write 'name: {reading.host}'.", "name")
        reading.target = entry.text("target")
        reading.allow_cors = entry.flag("allowCors", "allow_cors") or False
