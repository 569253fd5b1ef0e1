"""The processes that are measured: `authz up` with one Envoy worker, and a backend that costs as little as one can."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authz import proxy
from authz.settings import Settings
from bench import machine
from bench.documents import Document, as_json
from bench.machine import NotMeasured

_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway: where it listens, whose CPU counts, where its store is, and a key if it made one."""

    port: int
    sidecar: int
    envoy: int
    data_dir: Path
    key: str

    def cpu(self) -> tuple[float, float]:
        """Microseconds so far, of Envoy and of the sidecar."""
        return machine.cpu_microseconds(self.envoy), machine.cpu_microseconds(self.sidecar)


@contextlib.contextmanager
def gateway(*documents: Document, **settings: object) -> Iterator[Gateway]:
    """`authz up` with these documents in front of a backend of ours, until left."""
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as name, _backend() as backend:
        directory = Path(name)
        files = [directory / f"document-{n}.json" for n in range(len(documents))]
        for file, document in zip(files, documents, strict=True):
            file.write_text(as_json(document))
        transport = os.environ.get("AUTHZ_TEST_TRANSPORT", Settings().transport)
        values: dict[str, object] = {
            "backend": backend, "data_dir": directory / "data", "envoy_concurrency": 1, "transport": transport,
        }  # fmt: skip
        command = [sys.executable, "-m", "authz", "up", *map(str, files), "--port", "0", "--json"]
        with (directory / "log").open("w+") as log, _ending(command, log, values | settings) as process:
            told = _until_ready(process, directory / "log")
            yield Gateway(
                port=int(told["ready"]["url"].rpartition(":")[2]),
                sidecar=process.pid,
                envoy=_envoy_of(process.pid),
                data_dir=directory / "data",
                key=told.get("key", {}).get("key", ""),
            )


@contextlib.contextmanager
def _ending(command: list[str], log: Any, settings: Mapping[str, object]) -> Iterator[subprocess.Popen[str]]:
    given = {f"AUTHZ_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTHZ_")} | given
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


def _until_ready(process: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    """The last event of each kind, up to `ready`."""
    told: dict[str, Any] = {}
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line)
        with contextlib.suppress(json.JSONDecodeError, TypeError, KeyError):
            event = json.loads(line)
            told[event["event"]] = event
        if "ready" in told:
            return told
    raise NotMeasured(f"the gateway did not start:\n{''.join(lines[-20:])}{log.read_text()}")


def _envoy_of(pid: int) -> int:
    for child in machine.children(pid):
        if machine.name(child) == "envoy":
            return child
    raise NotMeasured("the gateway runs no process named envoy")


@contextlib.contextmanager
def _backend() -> Iterator[str]:
    """An Envoy that answers everything itself: its CPU is counted nowhere."""
    port = proxy.free_port()
    command = [proxy.find(Settings()), "--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]
    config = json.dumps(_direct_response(port))
    with subprocess.Popen([*command, "--config-yaml", config]) as process:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _wait_for(port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise NotMeasured("the backend did not start")


def _direct_response(port: int) -> dict[str, Any]:
    extension = "type.googleapis.com/envoy.extensions.filters"
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "{}"}}}
    manager = {
        "@type": f"{extension}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "backend",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{extension}.http.router.v3.Router"}}],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"static_resources": {"listeners": [{"name": "backend", "address": address, "filter_chains": [chain]}]}}
