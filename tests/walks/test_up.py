"""`authz up` as its user runs it: events, readiness, deploys beside it, signals, deaths, and mistakes at the start."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from harness import http, process
from harness.http import Request, Response, Upstream
from harness.waiting import until
from walks.documents import GUARDED, OPEN, document

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


async def test_the_examples_can_be_pasted(tmp_path: Path) -> None:
    async with Upstream() as backend, process.authz(*words(tmp_path, backend)) as up:
        await up.event("ready")
        examples = [event["command"] for event in up.events if event["event"] == "example"]
        statuses = [await pasted(command) for command in examples]

    assert any("x-api-key" in command for command in examples)
    assert 200 in statuses
    assert set(statuses) <= {200, 401, 403, 404, 405}


async def pasted(command: str) -> int:
    """The status that a `curl` line gets, typed into a shell."""
    assert shlex.split(command)[0] == "curl"
    line = f"{command} -s -o {os.devnull} -w ' %{{http_code}}'"
    made = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, _ = await made.communicate()
    return int(out.split()[-1])


async def test_a_key_is_made_once(tmp_path: Path) -> None:
    """Configs and keys survive a restart; Ctrl-C is a signal like another."""
    async with Upstream() as backend:
        async with process.authz(*words(tmp_path, backend)) as first:
            await first.event("ready")
            key = (await first.event("key"))["key"]
            assert await first.stop(signal.SIGINT) == 0
        async with process.authz(*words(tmp_path, backend)) as second:
            port = port_of(await second.event("ready"))
            assert await get(port, "/guarded", key) == 200
            assert [event for event in second.events if event["event"] == "key"] == []


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


# -- mistakes -------------------------------------------------------------------------------------------------------


async def fails(*line: object, code: int, says: str) -> None:
    """The command ends with this code and one clear message, as text and as JSON."""
    begin = time.monotonic()
    given, out, err = await process.output(*line)

    assert given == code, out + err
    assert "Traceback" not in out + err
    assert time.monotonic() - begin < 20
    messages = [json.loads(text) for text in out.splitlines() if text.startswith("{")]
    told = [message for message in messages if message.get("event") == "error"]
    assert len(told) == 1, out + err
    assert re.search(says, json.dumps(told[0])), told
    assert told[0].get("remedy") or told[0].get("findings"), told


async def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with Upstream() as backend:
            await fails(*words(tmp_path, backend, "--port", port), code=1, says=f"127.0.0.1:{port}")
    assert not (tmp_path / "data").exists(), "nothing was begun"


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (None, 2, "does not exist"),
        ("", 2, "openapi.json"),
        ("[1, 2", 2, "openapi.json"),
        ("just words", 2, "openapi.json"),
        ('{"swagger": "2.0"}', 2, "openapi.json"),
    ],
    ids=["missing", "empty", "not YAML", "no document", "unfinished"],
)
async def test_files_that_are_no_documents(tmp_path: Path, content: str | None, code: int, says: str) -> None:
    async with Upstream() as backend:
        line = words(tmp_path, backend)
        file = tmp_path / "openapi.json"
        file.unlink() if content is None else file.write_text(content)
        await fails(*line, code=code, says=says)


def below_a_file(directory: Path) -> None:
    (directory / "data").write_text("")


def corrupt(directory: Path) -> None:
    (directory / "data").mkdir()
    (directory / "data" / "authz.db").write_bytes(b"this is no database" * 1000)


def foreign(directory: Path) -> None:
    (directory / "data" / "authz.db").mkdir(parents=True)


@pytest.mark.parametrize("spoil", [below_a_file, corrupt, foreign])
async def test_data_directories_that_cannot_be_used(tmp_path: Path, spoil: Any) -> None:
    spoil(tmp_path)
    async with Upstream() as backend:
        await fails(*words(tmp_path, backend), code=1, says="data")


async def test_no_envoy_binary(tmp_path: Path) -> None:
    async with Upstream() as backend:
        await fails(*words(tmp_path, backend, "--envoy-path", tmp_path / "none"), code=2, says="envoy_path")


async def test_an_envoy_that_cannot_start(tmp_path: Path) -> None:
    """Whatever it writes before it ends is told."""
    binary = tmp_path / "envoy"
    binary.write_text("#!/bin/sh\necho '[critical] no such luck' >&2\nexit 3\n")
    binary.chmod(0o755)
    async with Upstream() as backend:
        await fails(*words(tmp_path, backend, "--envoy-path", binary), code=1, says="no such luck")


async def test_a_key_set_that_cannot_be_fetched(tmp_path: Path) -> None:
    scheme = {
        "jwt": {
            "type": "oauth2", "flow": "implicit", "authorizationUrl": "", "x-google-issuer": "http://issuer",
            "x-google-jwks_uri": "http://127.0.0.1:9/keys",
        }
    }  # fmt: skip
    text = document(HOST, {"/token": {"get": {"security": [{"jwt": []}]}}}, schemes=scheme)
    (tmp_path / "openapi.json").write_text(text)
    async with Upstream() as backend:
        line = words(tmp_path, backend, "--jwks-retries", "0")
        await fails(*line, code=1, says="http://127.0.0.1:9/keys")
        async with process.authz(*line, "--force") as up:
            assert await get(port_of(await up.event("ready")), "/token") == 401
            assert "127.0.0.1:9" in (await up.event("warning"))["text"]
