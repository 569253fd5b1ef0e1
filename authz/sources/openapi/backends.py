"""x-google-backend: where requests go, how they get there, and with whose token."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from authz.model.service import DEFAULT_DEADLINE, LOCAL, Backend, PathTranslation, Protocol
from authz.sources.extensions import MOST_SECONDS, refuse_placeholder
from authz.sources.node import Node

_FIELDS = ("address", "jwt_audience", "disable_auth", "path_translation", "deadline", "protocol")
_CAMEL = ("jwtAudience", "disableAuth", "pathTranslation")
_SCHEMES = ("http", "https", "grpc", "grpcs")
_TRANSLATIONS = tuple(translation.value for translation in PathTranslation)
_PROTOCOLS = tuple(protocol.value for protocol in Protocol)
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")


def is_host(text: str) -> bool:
    """Whether a text is a DNS name or an IPv4 address."""
    labels = text.removesuffix(".").split(".")
    return len(text) <= 253 and all(_LABEL.match(label) for label in labels)


def is_rest(of_rpc: Backend) -> bool:
    """Whether the backend of an RPC takes no gRPC calls: its scheme says so, or its protocol where it has none."""
    address = of_rpc.address
    return address.startswith("http") if address else of_rpc.protocol is Protocol.HTTP1


def check_grpc_backend(node: Node, of_rpc: Backend) -> None:
    """Complain of a gRPC backend that asks for what no RPC has. `node` says where it is, or refers to it."""
    key = node.pick(("address", "x-google-backend"))
    if of_rpc.address.count("/") > 2:
        message = f"the gRPC backend '{of_rpc.address}' has a path; the path of a call is its method's"
        node.report("backend-rpc", message, "Write scheme://host[:port].", key)
    if of_rpc.protocol is Protocol.HTTP1:
        message = "gRPC needs HTTP/2, which 'protocol' rules out"
        hint = "Write 'h2' or nothing; the address of a backend without gRPC begins with http."
        node.report("backend-rpc", message, hint, "protocol" if "protocol" in node else key)


def backend(node: Node, default: PathTranslation) -> Backend:
    """A Backend object of either family. `default` is the path translation where it says none."""
    node.known(*_FIELDS, *_CAMEL)
    address, audience = read_address(node)
    wanted, disabled = read_audience(node)
    if not wanted and address and not disabled:
        wanted = audience if disabled is None else _origin(address)
    translation = _translation(node, default)
    return Backend(
        address=address,
        path_translation=translation if address else PathTranslation.APPEND,
        deadline=read_deadline(node),
        protocol=_protocol(node),
        jwt_audience=wanted,
        disable_auth=not wanted,
    )


def _translation(node: Node, default: PathTranslation) -> PathTranslation:
    text = node.choice(_TRANSLATIONS, "path_translation", "pathTranslation")
    return PathTranslation(text) if text else default


def _protocol(node: Node) -> Protocol | None:
    text = node.choice(_PROTOCOLS, "protocol")
    return Protocol(text) if text else None


def read_audience(node: Node) -> tuple[str, bool | None]:
    """The audience of the gateway's own token, '' if none is named, and what disable_auth says."""
    disabled = node.flag("disable_auth", "disableAuth")
    wanted = node.text("jwt_audience", "jwtAudience")
    if wanted:
        key = node.pick(("jwt_audience", "jwtAudience"))
        refuse_placeholder(node, key, wanted)
        if disabled:
            hint = "Keep 'disable_auth: true' to forward the caller's own Authorization, or the audience to replace it."
            node.report("backend-auth", "'jwt_audience' and 'disable_auth' exclude each other", hint, key)
    return wanted, disabled


def read_deadline(node: Node) -> float:
    """Seconds that a backend has for its answer."""
    seconds = node.number("deadline")
    if seconds is None or 0 < seconds <= MOST_SECONDS:
        return DEFAULT_DEADLINE if seconds is None else seconds
    message = f"a deadline of {seconds:g} seconds is ignored; {DEFAULT_DEADLINE:g} seconds apply"
    node.report("backend-deadline", message, f"Write a number above 0, at most {MOST_SECONDS} (a year).", "deadline")
    return DEFAULT_DEADLINE


def read_address(node: Node) -> tuple[str, str]:
    """The address in the model's form, and as the audience that Google's compiler makes of it."""
    written = node.text("address")
    if not written or refuse_placeholder(node, "address", written):
        return "", ""
    if "://" not in written:
        written = f"https://{written}"
    why = _fault(written)
    if why:
        hint = "Write scheme://host[:port][/path] with scheme http, https, grpc or grpcs."
        node.report("backend-address", f"'{written}' is not a backend address: {why}", hint, "address")
        return "", ""
    parts = urlsplit(written)
    return f"{parts.scheme.lower()}://{parts.netloc}{parts.path.rstrip('/')}", written


def _fault(address: str) -> str:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme.lower() not in _SCHEMES:
        return f"the scheme '{parts.scheme}' is not supported"
    if parts.username is not None:
        return "it holds credentials"
    if port == 0 or parts.netloc.endswith(":"):
        return "its port is missing or 0"
    if re.search(r"[\s{}\\<>\"]", address) or not address.isascii():
        return "it holds characters that do not belong into a URL"
    return "" if _is_reachable(parts) else "it names no host"


def _is_reachable(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if ":" not in host:
        return is_host(host)
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _origin(address: str) -> str:
    """What the proxy takes for an audience: scheme and host, without port and path."""
    parts = urlsplit(address)
    scheme = {"grpc": "http", "grpcs": "https"}.get(parts.scheme, parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{scheme}://{host}"


class Backends2:
    """OpenAPI 2.0: a Backend object at the root or at an operation, which replaces the root's as a whole."""

    def root(self, root: Node) -> Backend:
        """The backend of operations that name none."""
        node = root.child("x-google-backend")
        return backend(node, PathTranslation.APPEND) if node else LOCAL

    def operation(self, node: Node, inherited: Backend) -> Backend:
        """The backend of one operation."""
        own = node.child("x-google-backend")
        return backend(own, PathTranslation.CONSTANT) if own else inherited


class Backends3:
    """OpenAPI 3.x: the root declares backends by name; root and operations refer to them."""

    def __init__(self, management: Node | None) -> None:
        declared = management.child("backends") if management else None
        self.nodes = dict(declared.members()) if declared else {}
        self.read: dict[tuple[str, PathTranslation], Backend] = {}

    def root(self, root: Node) -> Backend:
        """The backend of operations that name none."""
        return self._named(root, PathTranslation.APPEND, LOCAL)

    def operation(self, node: Node, inherited: Backend) -> Backend:
        """The backend of one operation."""
        return self._named(node, PathTranslation.CONSTANT, inherited)

    def check(self) -> None:
        """Read the backends that nothing refers to, for their findings."""
        for name in self.nodes.keys() - {name for name, _ in self.read}:
            self._read(name, PathTranslation.APPEND)

    def _named(self, node: Node, default: PathTranslation, inherited: Backend) -> Backend:
        name = node.text("x-google-backend")
        if not name:
            return inherited
        if name not in self.nodes:
            message = f"the backend '{name}' is not defined in x-google-api-management.backends"
            hint = f"Declare it there, or name one of: {', '.join(self.nodes) or 'none so far'}."
            node.report("backend-undefined", message, hint, "x-google-backend")
            return inherited
        return self._read(name, default)

    def _read(self, name: str, default: PathTranslation) -> Backend:
        key = (name, default)
        if key not in self.read:
            self.read[key] = backend(self.nodes[name], default)
        return self.read[key]
