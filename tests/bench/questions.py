"""The questions that a real Envoy asks a real sidecar, to the byte: a tap between the two writes them down.

What is measured without Envoy is measured with these bytes, so that nothing is left out that Envoy sends.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from authz import proxy, wire
from authz.admin import deploy, keys
from authz.demo.bookstore import Server
from authz.model.service import SourceText
from authz.store.sql import open_store
from authz.transport.grpcio import GrpcioTransport
from bench import documents, stack
from bench.machine import NotMeasured
from harness.http import fetch
from harness.issuer import Issuer
from harness.process import envoy

HOST = "bench.example.test"

KEY = "Check (key)"
TOKEN = "Check (JWT)"
CHARGING = "Check (key) that charges"
QUOTA = "RateLimit"


@dataclass(frozen=True, slots=True)
class Question:
    """One call to the sidecar, and what a sidecar of ours answered it."""

    method: str
    message: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class Site:
    """A data directory with something deployed, and the questions about it by name."""

    data_dir: Path
    questions: Mapping[str, Question]


@contextlib.contextmanager
def issuer() -> Iterator[tuple[str, Issuer]]:
    """An issuer of tokens, and the address of its keys."""
    signs = Issuer()
    server = Server(lambda _method, _path, _headers: (200, signs.jwks()))
    server.start()
    try:
        yield server.url, signs
    finally:
        server.stop()


@functools.cache
def site() -> Site:
    """Made once, and gone with this process."""
    keeping = contextlib.ExitStack()
    atexit.register(keeping.close)
    return keeping.enter_context(_asked())


@contextlib.contextmanager
def _asked() -> Iterator[Site]:
    """Deploy, run a sidecar and an Envoy for as long as it takes to ask once of each kind, and keep the questions."""
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as name, issuer() as (url, signs):
        directory = Path(name)
        file, data_dir = directory / "document.json", directory / "data"
        file.write_text(documents.as_json(documents.guarded(HOST, url)))
        with contextlib.closing(open_store(data_dir)) as store:
            deploy.deploy(store, [SourceText(str(file), file.read_text())], now=time.time())
            key = keys.create(store, "bench", now=time.time()).text
        token = signs.token(iss=url, aud=documents.AUDIENCE, sub="user-0")
        by_key = "x-api-key", key
        calls = {KEY: ("/key", by_key), CHARGING: ("/metered", by_key), QUOTA: ("/counted", by_key)}
        calls[TOKEN] = "/token", ("authorization", f"Bearer {token}")
        port = proxy.free_port()
        with stack.backend() as (backend, _), ThreadPoolExecutor() as beside:
            bootstrap = beside.submit(_bootstrap, directory, data_dir, file, backend, port)
            with stack.sidecar(data_dir) as sidecar:
                questions = asyncio.run(_ask(calls, sidecar.address, bootstrap.result(), directory, port))
        yield Site(data_dir, questions)


def _bootstrap(directory: Path, data_dir: Path, file: Path, backend: str, port: int) -> Path:
    """An Envoy with everything in one file, whose sidecar is the tap."""
    values = {"--data-dir": data_dir, "--backend": backend, "--port": port, "--sidecar": f"unix:{directory}/tap"}
    words = [str(word) for pair in values.items() for word in pair]
    command = [sys.executable, "-m", "authz", "envoy", "config", str(file), "--format", "json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasured(f"no configuration for Envoy: {done.stderr}")
    document: dict[str, Any] = json.loads(done.stdout)
    document.pop("admin")  # its port may be taken, and nobody asks
    path = directory / "envoy.json"
    path.write_text(json.dumps(document))
    return path


Calls = Mapping[str, tuple[str, tuple[str, str]]]
Handler = Callable[[bytes], Coroutine[Any, Any, bytes]]


async def _ask(calls: Calls, sidecar: str, bootstrap: Path, directory: Path, port: int) -> dict[str, Question]:
    """One call of each kind through Envoy; the last question that it leads to is the one that is wanted."""
    seen: list[Question] = []
    async with grpc.aio.insecure_channel(sidecar) as channel:

        def tapped(method: str) -> Handler:
            ask = channel.unary_unary(method)

            async def handle(message: bytes) -> bytes:
                answer: bytes = await ask(message)
                seen.append(Question(method, message, answer))
                return answer

            return handle

        methods = (wire.CHECK_METHOD, wire.RATE_LIMIT_METHOD)
        tap = GrpcioTransport({method: tapped(method) for method in methods}, f"unix:{directory}/tap")
        await tap.start()
        try:
            async with envoy(bootstrap):
                await asyncio.to_thread(stack.wait_for, port)
                return {name: await _last(seen, port, *call) for name, call in calls.items()}
        finally:
            await tap.stop(1)


async def _last(seen: list[Question], port: int, path: str, header: tuple[str, str]) -> Question:
    response = await fetch(port, "GET", path, [header], host=HOST)
    if response.status != 200:
        raise NotMeasured(f"a good call to {path} was answered {response.status}: {response.body.decode()}")
    return seen[-1]
