"""The processes that are measured: `authz up`, `authz serve`, and a backend that costs as little as one can."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from authz import proxy
from authz.settings import Settings
from bench import machine
from bench.documents import Document, as_json
from bench.machine import NotMeasured

T = TypeVar("T")
_START_SECONDS = 30.0
_ANSWERS = r"^cluster\..*\.(ext_authz|ratelimit)\.(ok|denied|over_limit|error)$"
_MOST_LOST = 0.001


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway: where it listens, whose CPU counts, where its store is, and a key if it made one."""

    port: int
    processes: Mapping[str, Sequence[int]]
    data_dir: Path
    key: str
    admin: int

    def must_have_answered(self) -> None:
        """Find out whether Envoy got answers: where it gets none from RateLimit, calls pass, and look cheap.

        Raises:
            NotMeasured: too many of its questions to the sidecar brought none.
        """
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/stats?filter={_ANSWERS}") as told:
            counts = [line.rpartition(": ") for line in told.read().decode().splitlines()]
        total = sum(int(count) for _, _, count in counts)
        lost = sum(int(count) for name, _, count in counts if name.endswith(".error"))
        if lost > total * _MOST_LOST:
            raise NotMeasured(f"Envoy had no answer to {lost} of {total} questions to the sidecar")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """`authz serve`: where it answers Check and RateLimit, and its processes."""

    address: str
    processes: Sequence[int]


@contextlib.contextmanager
def together(*starting: contextlib.AbstractContextManager[T]) -> Iterator[list[T]]:
    """Enter all of them at once, for most of a start is spent on one core."""
    with contextlib.ExitStack() as running:
        with ThreadPoolExecutor() as pool:
            entered = list(pool.map(running.enter_context, starting))
        yield entered


def transport() -> str:
    """The transport that is measured where no other is named."""
    return os.environ.get("AUTHZ_TEST_TRANSPORT", Settings().transport)


@contextlib.contextmanager
def gateway(*documents: Document | bytes, **settings: object) -> Iterator[Gateway]:
    """`authz up` with these documents, or descriptor sets, in front of a backend of ours, until left."""
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as name, backend() as (url, backend_pid):
        directory = Path(name)
        files = [_written(directory / f"document-{n}", document) for n, document in enumerate(documents)]
        values = {"backend": url, "data_dir": directory / "data", "envoy_concurrency": 1, **settings}
        values["envoy_admin_port"] = proxy.free_port()
        with _authz("up", *map(str, files), "--port", "0", log=directory / "log", settings=values) as (process, told):
            envoy = _envoy_of(process.pid)
            yield Gateway(
                port=int(told["ready"]["url"].rpartition(":")[2]),
                processes={
                    "Envoy": [envoy], "sidecar": machine.family(process.pid, but="envoy"), "backend": [backend_pid],
                },
                data_dir=directory / "data",
                key=told.get("key", {}).get("key", ""),
                admin=values["envoy_admin_port"],
            )  # fmt: skip


def _written(name: Path, document: Document | bytes) -> Path:
    file = name.with_suffix(".pb" if isinstance(document, bytes) else ".json")
    file.write_bytes(document if isinstance(document, bytes) else as_json(document).encode())
    return file


@contextlib.contextmanager
def sidecar(data_dir: Path, **settings: object) -> Iterator[Sidecar]:
    """`authz serve` on a Unix socket, with what is deployed in a data directory; several may share one."""
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as name:
        values = {"data_dir": data_dir, "sidecar_address": f"unix:{name}/sidecar.sock", **settings}
        with _authz("serve", log=Path(name) / "log", settings=values) as (process, _):
            yield Sidecar(f"unix:{name}/sidecar.sock", machine.family(process.pid))


@contextlib.contextmanager
def _authz(
    *words: str, log: Path, settings: Mapping[str, object]
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A command that runs until it is ended, and its last event of each kind up to `ready`."""
    given = {f"AUTHZ_{name.upper()}": str(value) for name, value in {"transport": transport(), **settings}.items()}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTHZ_")} | given
    command = [sys.executable, "-m", "authz", *words, "--json"]
    with (
        log.open("w+") as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            yield process, _until_ready(process, log)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


def _until_ready(process: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    told: dict[str, Any] = {}
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line)
        with contextlib.suppress(json.JSONDecodeError, TypeError, KeyError):
            event = json.loads(line)
            told[event["event"]] = event
        if "ready" in told:
            return told
    raise NotMeasured(f"`authz` did not start:\n{''.join(lines[-20:])}{log.read_text()}")


def _envoy_of(pid: int) -> int:
    for child in machine.children(pid):
        if machine.name(child) == "envoy":
            return child
    raise NotMeasured("the gateway runs no process named envoy")


@contextlib.contextmanager
def backend(name: str = "upstream.py", *words: str) -> Iterator[tuple[str, int]]:
    """Something for Envoy to proxy to, or to be asked itself: its address, and its process."""
    port = proxy.free_port()
    script = Path(__file__).with_name(name)
    with subprocess.Popen([sys.executable, str(script), str(port), *words]) as process:
        try:
            wait_for(port)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.kill()


def wait_for(port: int) -> None:
    """Until somebody listens."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise NotMeasured(f"nobody listens on port {port} after {_START_SECONDS:g} s")
