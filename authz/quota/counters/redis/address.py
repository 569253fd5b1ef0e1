"""The URL of a Redis: where it is, and how to log in.

    redis://[[user]:password@]host[:port][/database]                                 rediss:// with TLS
    unix://[[user]:password@]/path/to/socket[?db=database]
    redis+cluster://[[user]:password@]host[:port][,host[:port]...]                   rediss+cluster:// with TLS
    redis+sentinel://[[user]:password@]host[:port][,...]/service[/database]          rediss+sentinel:// with TLS

Options stand behind a question mark: `ssl_ca_certs`, `ssl_certfile` and their like for TLS, `sentinel_username` and
`sentinel_password` for sentinels that want a login of their own. Nothing here shows a password.
"""

from __future__ import annotations

import dataclasses
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.exceptions import RedisError

from authz.errors import UsageError

Kind = Literal["one", "cluster", "sentinel"]

_KINDS: dict[str, tuple[Kind, str]] = {
    "redis": ("one", "redis"),
    "rediss": ("one", "rediss"),
    "unix": ("one", "unix"),
    "redis+cluster": ("cluster", "redis"),
    "rediss+cluster": ("cluster", "rediss"),
    "redis+sentinel": ("sentinel", "redis"),
    "rediss+sentinel": ("sentinel", "rediss"),
}
_LOGIN = {"username", "password", "db"}
_TLS = {
    "ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_cert_reqs",
    "ssl_check_hostname", "ssl_ciphers", "ssl_min_version",
}  # fmt: skip
_SENTINEL = {"sentinel_username", "sentinel_password"}
_PORT, _SENTINEL_PORT = 6379, 26379
_ENCODE = "Percent-encode passwords: %40 for @, %2F for /, %3A for :, %3F for ?, %23 for #."
_FORMS = "Write redis://host:port/0, redis+cluster://host:port,host:port or redis+sentinel://host:port/service."


class Trust:
    """What all TLS connections of a site share: reading the system's authorities for each takes some 30 ms of CPU."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._versions: list[tuple[int, int]] = []

    def give(self, connection: SSLConnection) -> None:
        """Let a connection have what its options name, as its files are now. It may read them, in any thread.

        Raises:
            OSError: a file cannot be used.
        """
        wanted, system = connection.ssl_context, ssl.get_default_verify_paths()
        names = (wanted.ca_certs, wanted.ca_path, wanted.certfile, wanted.keyfile, system.cafile, system.capath)
        with self._lock:
            versions = [(found.st_ino, found.st_mtime_ns) for found in [Path(name).stat() for name in names if name]]
            if self._context is None or versions != self._versions:
                self._context, self._versions = wanted.get(), versions
            wanted.context = self._context


@dataclass(frozen=True, slots=True)
class Node:
    """One server and the way into it."""

    place: str
    kind: type[AbstractConnection]
    options: Mapping[str, Any] = field(repr=False)
    trust: Trust = field(repr=False)

    @property
    def has_tls(self) -> bool:
        """Whether it is spoken to in TLS."""
        return issubclass(self.kind, SSLConnection)

    def at(self, host: str, port: int) -> Node:
        """Another server with the same way in."""
        return dataclasses.replace(self, place=_place(host, port), options={**self.options, "host": host, "port": port})

    def connection(self, limit: float) -> AbstractConnection:
        """A connection that is not open yet. It tries nothing twice: time limits and repetitions are `link`'s."""
        return self.kind(
            **self.options,
            protocol=2,
            driver_info=None,
            socket_timeout=None,
            socket_connect_timeout=limit,
            health_check_interval=0,
        )


@dataclass(frozen=True, slots=True)
class Site:
    """All of a URL. `nodes` are the servers that it names; `primary` is how to get into those found with their help."""

    kind: Kind
    nodes: tuple[Node, ...]
    primary: Node
    service: str = ""


def parse(url: str) -> Site:
    """Read a URL.

    Raises:
        UsageError: it is not one of the forms above, or names a file that cannot be used.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _KINDS:
        raise UsageError(f"'{scheme[:20]}' is no way to Redis" if separator else "the value is no URL", _FORMS)
    kind, base = _KINDS[scheme]
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _wrong(scheme, "cannot be read") from None
    if parts.fragment or "@" in parts.path + parts.query:
        # Whatever stands behind it may be a part of the password, and is not shown.
        raise _wrong(scheme, "has a '#', or an '@' behind a '/' or '?'", _ENCODE)
    _check_options(parts, scheme, base)
    trust = Trust()
    nodes = _nodes(parts, kind, base, trust)
    service = ""
    if kind == "sentinel":
        service, _, database = parts.path.strip("/").partition("/")
        if not service:
            raise _wrong(
                scheme, "names no service", "Write redis+sentinel://host:port/service, as sentinel.conf has it."
            )
        primary = _node(parts, base, trust, "", _database(scheme, database))
        nodes = tuple([_sentinel(node, parts) for node in nodes])
    else:
        primary = nodes[0]
    for node in (primary, *nodes):
        _check(node, scheme)
    return Site(kind, nodes, primary, service)


def _nodes(parts: SplitResult, kind: Kind, base: str, trust: Trust) -> tuple[Node, ...]:
    if base == "unix":
        if not parts.path.strip("/"):
            raise _wrong(parts.scheme, "names no socket", "Write unix:///path/to/redis.sock.")
        return (_node(parts, base, trust, parts.netloc.rpartition("@")[2], 0),)
    hosts = [host.strip() for host in parts.netloc.rpartition("@")[2].split(",")]
    if not all(hosts):
        raise _wrong(parts.scheme, "names no host")
    if kind == "one" and len(hosts) > 1:
        raise _wrong(parts.scheme, "names several hosts", "Several are for redis+cluster:// and redis+sentinel://.")
    database = _database(parts.scheme, parts.path.strip("/")) if kind != "sentinel" else 0
    port = _SENTINEL_PORT if kind == "sentinel" else _PORT
    nodes = tuple([_node(parts, base, trust, host, database, port) for host in hosts])
    if kind == "cluster" and nodes[0].options["db"]:
        raise _wrong(parts.scheme, "names a database", "A Cluster has only database 0: leave it away.")
    return nodes


def _node(parts: SplitResult, base: str, trust: Trust, host: str, database: int, port: int = _PORT) -> Node:
    login, at, _ = parts.netloc.rpartition("@")
    path = parts.path if base == "unix" else ""
    try:
        options: dict[str, Any] = dict(parse_url(f"{base}://{login}{at}{host}{path}?{parts.query}"))
    except ValueError:
        # Its text may have a part of the password in it, when that has a character that should be encoded.
        raise _wrong(parts.scheme, "cannot be read", f"Write host:port. {_ENCODE}") from None
    for name in _SENTINEL:
        options.pop(name, None)
    kind = options.pop("connection_class", Connection)
    if base == "unix":
        return Node(f"unix:{options['path']}", kind, options, trust)
    options.setdefault("db", database)
    options.setdefault("host", "localhost")
    options.setdefault("port", port)
    return Node(_place(options["host"], options["port"]), kind, options, trust)


def _sentinel(node: Node, parts: SplitResult) -> Node:
    """The way into a sentinel: TLS is as for the servers, the login its own."""
    options = {name: value for name, value in node.options.items() if name not in _LOGIN}
    for name, (value, *_) in parse_qs(parts.query).items():
        if name in _SENTINEL:
            options[name.removeprefix("sentinel_")] = value
    return dataclasses.replace(node, options=options)


def _database(scheme: str, text: str) -> int:
    if not (text or "0").isdecimal():
        raise _wrong(scheme, "has a database that is no number", f"Write a number, or nothing for 0. {_ENCODE}")
    return int(text or "0")


def _check_options(parts: SplitResult, scheme: str, base: str) -> None:
    known = _LOGIN | (_TLS if base == "rediss" else set()) | (_SENTINEL if scheme.endswith("+sentinel") else set())
    for name in parse_qs(parts.query, keep_blank_values=True):
        if name in _TLS and base != "rediss":
            raise _wrong(
                scheme, f"has the option {name}, which is for TLS", f"Write {scheme.replace('redis', 'rediss', 1)}://."
            )
        if name not in known:
            raise _wrong(scheme, f"has an unknown option '{name[:40]}'", f"Known are: {', '.join(sorted(known))}.")


def _check(node: Node, scheme: str) -> None:
    """Find out now what would fail at each connection: files that are not there, values that mean nothing."""
    try:
        connection = node.connection(1)
        if isinstance(connection, SSLConnection):
            node.trust.give(connection)
    except OSError as error:
        names = [
            str(node.options[name]) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile") if name in node.options
        ]
        raise UsageError(
            f"The {scheme}:// URL's TLS files cannot be used ({', '.join(names)}): {error.strerror or 'not PEM'}",
            "Name PEM files that this user can read, a key that fits its certificate.",
        ) from None
    except (RedisError, TypeError, ValueError):
        raise _wrong(
            scheme, "has an option with a value that means nothing", "ssl_cert_reqs: required or none."
        ) from None


def _wrong(scheme: str, what: str, remedy: str = _FORMS) -> UsageError:
    return UsageError(f"The {scheme}:// URL {what}", remedy)


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
