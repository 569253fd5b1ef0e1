"""`authz up` as its user runs it: events, readiness, deploys beside it, signals, deaths, and mistakes at the start."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from authz.admin import deploy, keys
from authz.app import wait_live
from authz.model.service import SourceText
from authz.proxy import free_port
from harness import gateway, http, process
from harness.http import Request, Response, Upstream
from harness.waiting import until
from walks.documents import GUARDED, OPEN, document, jwt_scheme

HOST = "up.example.test"


def the_document(**paths: Any) -> str:
    return document(HOST, {"/open": {"get": OPEN}, "/guarded": {"get": GUARDED}, **paths})


async def slowly(request: Request) -> Response:
    if request.path.startswith("/open?slow"):
        await asyncio.sleep(1.0)
    return Response(200, [], b"done")


def words(directory: Path, backend: Upstream, *more: object) -> list[object]:
    file = directory / "openapi.json"
    if not file.exists():
        file.write_text(the_document())
    return [
        "up", file, "--json", "--backend", f"http://{backend.address}", "--port", "0", "--data-dir", directory / "data",
        "--envoy-concurrency", "1", *more,
    ]  # fmt: skip


def port_of(event: dict[str, Any]) -> int:
    return int(event["url"].rpartition(":")[2])


async def get(port: int, path: str, key: str = "") -> int:
    return (await http.fetch(port, "GET", path, [("x-api-key", key)] if key else [], host=HOST)).status


async def test_from_start_to_a_signal(tmp_path: Path) -> None:
    async with Upstream(slowly) as backend, process.authz(*words(tmp_path, backend)) as up:
        ready = await up.event("ready")
        port = port_of(ready)
        # Not a moment later: whoever waits for `ready` may call at once.
        assert await get(port, "/guarded") == 401
        key = (await up.event("key"))["key"]
        assert await get(port, "/guarded", key) == 200

        kinds = [event["event"] for event in up.events]
        assert kinds[-1] == "ready"
        assert {"step", "operations", "key", "example"} <= set(kinds)
        table = (await up.event("operations"))["operations"]
        assert {(row["method"], row["path"]) for row in table} == {("GET", "/open"), ("GET", "/guarded")}

        examples = [event["command"] for event in up.events if event["event"] == "example"]
        assert await asyncio.gather(*map(pasted, examples)) == [[200], [200]]

        # Deployed beside it, it changes without a restart.
        envoys = up.children()
        later = tmp_path / "later.json"
        later.write_text(the_document(**{"/later": {"get": OPEN}}))
        code, out, err = await process.output("deploy", later, "--data-dir", tmp_path / "data", "--json")
        assert (code, json.loads(out)["services"][0]["state"]) == (0, "live"), out + err
        assert [await get(port, path) for path in ("/later", "/guarded")] == [200, 401]
        assert up.children() == envoys

        # A signal lets what runs end, and then ends both processes.
        running = asyncio.create_task(http.fetch(port, "GET", "/open?slow", host=HOST))
        await until(lambda: any(request.path == "/open?slow" for request in backend.seen))
        up.process.send_signal(signal.SIGTERM)
        answer = await running
        assert (answer.status, answer.body) == (200, b"done")
        assert await up.ended() == 0
        assert not any(map(process.is_running, envoys))
        assert "Traceback" not in "".join(up.errors)

    # Configs and keys outlive it; Ctrl-C is a signal like another.
    async with Upstream() as backend, process.authz(*words(tmp_path, backend)) as again:
        port = port_of(await again.event("ready"))
        assert [await get(port, "/guarded", one) for one in (key, "no-such-key")] == [200, 400]
        assert [event for event in again.events if event["event"] == "key"] == []
        assert await again.stop(signal.SIGINT) == 0


async def pasted(command: str) -> list[int]:
    """The statuses that a line of `curl` shows, typed into a shell."""
    out = await printed(command)
    lines = re.findall(r"^HTTP/[\d.]+ (\d{3})", out, re.MULTILINE)
    return [int(status) for status in lines or re.findall(r"\d{3}", out)]


async def printed(command: str) -> str:
    """What a line prints, typed into a shell."""
    made = await asyncio.create_subprocess_shell(
        command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await made.communicate()
    return out.decode()


async def test_envoys_death_is_told_and_ends_it(tmp_path: Path) -> None:
    async with Upstream() as backend, process.authz(*words(tmp_path, backend)) as up:
        await up.event("ready")
        (envoy,) = up.children()
        os.kill(envoy, signal.SIGKILL)
        assert await up.ended() == 1

    error = up.events[-1]
    assert error["event"] == "error"
    assert "Envoy ended" in error["error"]
    assert error["remedy"]
    assert "Traceback" not in "".join(up.errors)


async def test_killed_it_leaves_no_envoy_behind(tmp_path: Path) -> None:
    async with Upstream() as backend, process.authz(*words(tmp_path, backend)) as up:
        port = port_of(await up.event("ready"))
        envoys = up.children()
        assert envoys
        await up.stop(signal.SIGKILL)
        await until(lambda: not any(map(process.is_running, envoys)))
        with pytest.raises(OSError, match=r"[Cc]onnect"):
            await get(port, "/open")


async def test_a_signal_ends_a_start_that_hangs(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def hang(_: Request) -> Response:
        await over.wait()
        return Response(500)

    async with Upstream(hang) as server:
        scheme = {"jwt": jwt_scheme("http://issuer", f"http://{server.address}/keys")}
        text = document(HOST, {"/token": {"get": {"security": [{"jwt": []}]}}}, schemes=scheme)
        (tmp_path / "openapi.json").write_text(text)
        async with process.authz(*words(tmp_path, server)) as up:
            await until(lambda: server.seen, within=process.PATIENCE)
            begin = time.monotonic()
            assert await up.stop(signal.SIGINT) == 0
            assert time.monotonic() - begin < 3
            assert "Traceback" not in "".join(up.errors)
        over.set()


async def test_forced_it_starts_without_a_key_set(tmp_path: Path) -> None:
    async with Upstream() as backend:
        line = words(tmp_path, backend, "--jwks-retries", "0", "--force")
        (tmp_path / "openapi.json").write_text(UNREACHABLE)
        async with process.authz(*line) as up:
            assert await get(port_of(await up.event("ready")), "/token") == 401
            assert "127.0.0.1:9" in (await up.event("warning"))["text"]


async def test_a_newcomer_sees_every_answer_of_the_demo() -> None:
    async with process.authz("demo", "--json", "--port", "0", "--envoy-concurrency", "1") as demo:
        await demo.event("ready")
        examples = {event["title"]: event["command"] for event in demo.events if event["event"] == "example"}
        shown = {title: await pasted(command) for title, command in examples.items()}
        assert await demo.stop(signal.SIGTERM) == 0

    assert {200, 401, 403, 404, 405, 429} <= {status for statuses in shown.values() for status in statuses}, shown
    assert "Traceback" not in "".join(demo.errors)


async def test_the_demo_in_grpc_answers_each_kind_of_client() -> None:
    async with process.authz("demo", "--grpc", "--json", "--port", "0", "--envoy-concurrency", "1") as demo:
        await demo.event("ready")
        commands = {event["title"]: event["command"] for event in demo.events if event["event"] == "example"}
        told = {title: await printed(command) for title, command in commands.items() if "more than ten" not in title}
        assert await demo.stop(signal.SIGTERM) == 0

    assert json.loads(told["a stream as JSON"].rpartition("\n")[2]) == [
        {"id": "1", "title": "The Left Hand of Darkness"}, {"id": "2", "title": "Solaris"}
    ]  # fmt: skip
    assert "shelf 1: Fiction" in told["gRPC, with grpcio"]
    assert "book 2: Solaris" in told["gRPC, with grpcio"]
    # Each frame is padded by itself.
    frames = b"".join(base64.b64decode(each) for each in re.findall(r"[^=\s]+=*", told["gRPC-Web"]))
    assert b"Cooking" in frames
    assert b"grpc-status:0" in frames
    statuses = {int(one) for text in told.values() for one in re.findall(r"^HTTP/1.1 (\d+)", text, re.MULTILINE)}
    assert {200, 401, 403, 404, 405} <= statuses


async def test_an_envoy_of_ones_own_with_a_configuration_of_one_piece(tmp_path: Path) -> None:
    """`authz envoy config` beside a sidecar: the operations are the deployed ones, so it knows them."""
    file = tmp_path / "openapi.json"
    file.write_text(the_document())
    sidecar = f"unix:{tmp_path}/check"
    port = free_port()
    async with Upstream() as backend, gateway.running(tmp_path / "data", now=0.0, sidecar_address=sidecar) as running:
        key = keys.create(running.store, "ann", now=time.time()).text
        source = SourceText(str(file), file.read_text())
        await wait_live(running.store, deploy.deploy(running.store, [source], now=time.time()))
        code, out, err = await process.output(
            "envoy", "config", file, "--sidecar", sidecar, "--data-dir", tmp_path / "data", "--port", port,
            "--backend", f"http://{backend.address}", "--format", "json",
        )  # fmt: skip
        assert code == 0, err
        config = tmp_path / "envoy.json"
        config.write_text(out.replace("9901", str(free_port())))
        async with process.envoy(config):
            await until(lambda: is_open(port))
            answers = [
                await get(port, path, text) for path, text in (("/open", ""), ("/guarded", ""), ("/guarded", key))
            ]

    assert answers == [200, 401, 200]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# -- mistakes -------------------------------------------------------------------------------------------------------

UNREACHABLE = document(
    HOST,
    {"/token": {"get": {"security": [{"jwt": []}]}}},
    schemes={"jwt": jwt_scheme("http://issuer", "http://127.0.0.1:9/keys")},
)


def holding(content: str) -> Callable[[Path], None]:
    """The document with this text."""

    def prepare(directory: Path) -> None:
        (directory / "openapi.json").write_text(content)

    return prepare


def nothing(_: Path) -> None:
    """All is as it should be."""


def no_document(directory: Path) -> None:
    (directory / "openapi.json").unlink()


def data_below_a_file(directory: Path) -> None:
    (directory / "data").write_text("")


def damaged_database(directory: Path) -> None:
    (directory / "data").mkdir()
    (directory / "data" / "authz.db").write_bytes(b"this is no database" * 1000)


def directory_for_database(directory: Path) -> None:
    (directory / "data" / "authz.db").mkdir(parents=True)


def an_envoy_that_ends(directory: Path) -> None:
    binary = directory / "envoy"
    binary.write_text("#!/bin/sh\necho '[critical] no such luck' >&2\nexit 3\n")
    binary.chmod(0o755)


@dataclass(frozen=True)
class Mistake:
    """How a start is spoilt, and what its user is told. `{directory}` and `{port}` (taken) stand for the test's own."""

    prepare: Callable[[Path], None]
    code: int
    says: str
    words: tuple[str, ...] = ()


MISTAKES = {
    "no such file": Mistake(no_document, 2, "does not exist"),
    "no OpenAPI": Mistake(holding("just words"), 2, "openapi.json"),
    "port in use": Mistake(nothing, 1, "127.0.0.1:{port}", ("--port", "{port}")),
    "admin port in use": Mistake(nothing, 1, "--envoy-admin-port", ("--envoy-admin-port", "{port}")),
    "data below a file": Mistake(data_below_a_file, 1, "data"),
    "damaged database": Mistake(damaged_database, 1, "authz.db"),
    "directory for a database": Mistake(directory_for_database, 1, "authz.db"),
    "no backend": Mistake(nothing, 2, "ftp://backend", ("--backend", "ftp://backend")),
    "no certificate": Mistake(nothing, 2, "tls_cert is '{directory}/none'", ("--tls-cert", "{directory}/none")),
    "no header": Mistake(nothing, 2, "--add-request-headers", ("--add-request-headers", "words")),
    "no secret": Mistake(nothing, 2, "backend_auth_token_url", ("--backend-auth", "oauth2")),
    "no Envoy": Mistake(nothing, 2, "envoy_path", ("--envoy-path", "{directory}/none")),
    "Envoy that ends": Mistake(an_envoy_that_ends, 1, "no such luck", ("--envoy-path", "{directory}/envoy")),
    "unreachable key set": Mistake(holding(UNREACHABLE), 1, "http://127.0.0.1:9/keys", ("--jwks-retries", "0")),
}


@dataclass(frozen=True)
class End:
    code: int
    out: str
    err: str
    port: int
    directory: Path


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, End]:
    """How each of them ended: all are run at once, as far as the machine has processors."""

    async def one(mistake: Mistake, turn: asyncio.Semaphore) -> End:
        directory = tmp_path_factory.mktemp("mistake")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            async with turn, Upstream() as backend:
                more = [word.format(port=port, directory=directory) for word in mistake.words]
                line = words(directory, backend, *more)
                mistake.prepare(directory)
                return End(*await process.output(*line), port, directory)

    async def every() -> dict[str, End]:
        turn = asyncio.Semaphore(os.cpu_count() or 1)
        found = await asyncio.gather(*(one(mistake, turn) for mistake in MISTAKES.values()))
        return dict(zip(MISTAKES, found, strict=True))

    return asyncio.run(every())


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_clear_message(name: str, ends: dict[str, End]) -> None:
    """The issue's `Bad input`: one message with the place and the remedy, 2 for usage and 1 for state."""
    mistake, end = MISTAKES[name], ends[name]
    events = [json.loads(line) for line in end.out.splitlines() if line.startswith("{")]
    told = [event for event in events if event["event"] == "error"]

    assert end.code == mistake.code, end.out + end.err
    assert "Traceback" not in end.out + end.err
    assert len(told) == 1
    assert mistake.says.format(port=end.port, directory=end.directory) in json.dumps(told[0])
    assert told[0].get("remedy") or told[0].get("findings")
