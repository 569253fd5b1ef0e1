"""`authz up module:Class`: one command from decorated classes to a guarded API, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from authz import wire
from authz.settings import Settings
from harness import http, process
from harness.http import Response, Upstream
from harness.waiting import until

HOST = "localhost"

SHOP = '''\
"""A shop, as its owner wrote it."""
import os
import sys

from authz.frameworks import endpoints, message_types, messages, remote

print("the shop is imported")


class Item(messages.Message):
    name = messages.StringField(1)
    user = messages.StringField(2)


@endpoints.api(name="shop", version="v1", base_path="/api/")
class Shop(remote.Service):
    @endpoints.method(message_types.VoidMessage, Item, path="items", http_method="GET", api_key_required=True)
    def items(self, request):
        user = endpoints.get_current_user()
        return Item(name="ladle", user=user and user.subject)

    @endpoints.method(message_types.VoidMessage, Item, path="open", http_method="GET")
    async def open(self, request):
        user = endpoints.get_current_user()
        return Item(name="open", user=user and user.subject)

    @endpoints.method(path="end", http_method="POST")
    def end(self, request):
        print("the shop is closed for ever", file=sys.stderr, flush=True)
        os._exit(7)


@endpoints.api(name="till", version="v1", base_path="/api/")
class Till(remote.Service):
    @endpoints.method(message_types.VoidMessage, Item, path="sum", http_method="GET")
    def sum(self, request):
        return Item(name="nothing")


NOTHING = object()
'''

SECOND = """

@endpoints.api(name="shop", version="v2", base_path="/api/")
class Shop2(remote.Service):
    @endpoints.method(message_types.VoidMessage, Item, path="open", http_method="GET")
    def open(self, request):
        return Item(name="second")
"""


@pytest.fixture
def transport() -> str:
    """Nothing here depends on it, and each start takes seconds."""
    return Settings().transport


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "a_shop.py").write_text(SHOP)
    return tmp_path


def words(place: Path, *given: object) -> list[object]:
    return [
        "up", *given, "--application", place, "--json", "--port", "0", "--data-dir", place / "data",
        "--envoy-concurrency", "1", "--drain-seconds", "1",
    ]  # fmt: skip


def port_of(event: dict[str, Any]) -> int:
    return int(event["url"].rpartition(":")[2])


async def get(port: int, path: str, *headers: tuple[str, str], method: str = "GET") -> Response:
    return await http.fetch(port, method, path, headers, host=HOST)


FORGED = ("x-endpoint-api-userinfo", base64.urlsafe_b64encode(b'{"sub":"forged"}').decode().rstrip("="))


async def test_from_a_class_to_a_guarded_api(place: Path) -> None:
    environ = {"AUTHZ_GATEWAY_SECRET": "known-to-all-three"}
    async with process.authz(*words(place, "a_shop:Shop"), environ=environ) as up:
        port = port_of(await up.event("ready"))
        key = (await up.event("key"))["key"]
        assert (await get(port, "/api/shop/v1/items")).status == 401
        answer = await get(port, "/api/shop/v1/items", ("x-api-key", key))
        assert (answer.status, answer.json()) == (200, {"name": "ladle"})
        forged = await get(port, "/api/shop/v1/open", FORGED, (wire.GATEWAY_SECRET, "known-to-all-three"))
        assert forged.json() == {"name": "open"}
        # What was not named is not served.
        assert (await get(port, "/api/till/v1/sum")).status == 404
        assert "the shop is imported\n" in up.errors

        # Beside it, as ever; the process goes on serving what it was started with.
        (place / "a_shop.py").write_text(SHOP.replace('path="items"', 'path="goods"'))
        code, out, err = await process.output(
            "deploy", "a_shop:Shop", "--application", place, "--data-dir", place / "data", "--json"
        )
        assert (code, json.loads(out)["services"][0]["state"]) == (0, "live"), out + err
        assert (await get(port, "/api/shop/v1/items", ("x-api-key", key))).status == 404

        children = up.children()
        assert len(children) == 2
        assert await up.stop(signal.SIGTERM) == 0
        assert not any(map(process.is_running, children))
    assert "Traceback" not in "".join(up.errors)


async def test_all_of_a_module_in_two_versions(place: Path) -> None:
    (place / "a_shop.py").write_text(SHOP + SECOND)
    async with process.authz(*words(place, "a_shop")) as up:
        port = port_of(await up.event("ready"))
        paths = ("shop/v1/open", "shop/v2/open", "till/v1/sum")
        answers = [(await get(port, f"/api/{path}")).json()["name"] for path in paths]
        assert answers == ["open", "second", "nothing"]

        for named, status in (("a_shop:Shop", 404), ("a_shop", 200)):
            code, _, err = await process.output(
                "deploy", named, "--application", place, "--data-dir", place / "data", "--json"
            )
            assert code == 0, err
            found = [(await get(port, f"/api/shop/{version}/open")).status for version in ("v1", "v2")]
            assert found == [200, status]
        assert await up.stop(signal.SIGINT) == 0


SERVED = {
    "wsgi": "served = endpoints.api_server([Shop])",
    "asgi": "served = endpoints.asgi_server([Shop])",
    "fastapi": """
from fastapi import FastAPI
from authz.frameworks import adapters
served = FastAPI(title="shop", version="1.0.0", servers=[])

@served.get("/api/shop/v1/items")
@adapters.protect(api_key_required=True)
def items():
    return {"name": "ladle"}

@served.get("/api/shop/v1/open")
async def open_():
    return {"name": "open", "user": endpoints.get_current_user() is not None}
""",
    "flask": """
from flask import Flask
from authz.frameworks import adapters
served = Flask("shop")

@served.get("/api/shop/v1/items")
@adapters.protect(api_key_required=True)
def items():
    return {"name": "ladle"}

@served.get("/api/shop/v1/open")
def open_():
    return {"name": "open", "user": endpoints.get_current_user() is not None}
""",
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [("wsgi", "a_shop:served"), ("asgi", "a_shop"), ("fastapi", "a_shop"), ("flask", "a_shop:served")],
)
async def test_an_application_is_served_as_it_is(place: Path, kind: str, name: str) -> None:
    (place / "a_shop.py").write_text(f"{SHOP}\n\n{SERVED[kind]}\n")
    async with process.authz(*words(place, name)) as up:
        port = port_of(await up.event("ready"))
        key = (await up.event("key"))["key"]
        assert (await get(port, "/api/shop/v1/items")).status == 401
        assert (await get(port, "/api/shop/v1/items", ("x-api-key", key))).json() == {"name": "ladle"}
        assert not (await get(port, "/api/shop/v1/open", FORGED)).json().get("user")
        assert await up.stop() == 0


async def test_with_a_backend_of_ones_own_nothing_is_served(place: Path) -> None:
    async with (
        Upstream() as backend,
        process.authz(*words(place, "a_shop:Shop", "--backend", f"http://{backend.address}")) as up,
    ):
        port = port_of(await up.event("ready"))
        assert (await get(port, "/api/shop/v1/open")).status == 200
        assert [request.path for request in backend.seen] == ["/api/shop/v1/open"]
        assert backend.seen[0].header(wire.GATEWAY_SECRET) is None
        assert len(up.children()) == 1


async def test_beside_a_document(place: Path) -> None:
    file = place / "more.json"
    file.write_text(
        json.dumps({
            "swagger": "2.0", "info": {"title": "more", "version": "9.0.0"}, "host": HOST, "schemes": ["http"],
            "paths": {
                "/api/shop/v1/open/more": {"get": {"operationId": "more", "responses": {"200": {"description": "!"}}}}
            },
        })
    )  # fmt: skip
    async with process.authz(*words(place, file, "a_shop:Shop")) as up:
        port = port_of(await up.event("ready"))
        assert (await get(port, "/api/shop/v1/open")).status == 200
        # The classes' process was asked, which does not have it: the gateway's own 404 is JSON.
        assert (await get(port, "/api/shop/v1/open/more")).body == b"Not Found"


async def test_its_death_is_told_with_its_last_words(place: Path) -> None:
    async with process.authz(*words(place, "a_shop:Shop")) as up:
        port = port_of(await up.event("ready"))
        children = up.children()
        await get(port, "/api/shop/v1/end", method="POST")
        assert await up.ended() == 1
        assert not any(map(process.is_running, children))

    error = up.events[-1]
    assert (error["event"], bool(error["remedy"])) == ("error", True)
    assert "a_shop:Shop ended with exit code 7" in error["error"]
    assert "the shop is closed for ever" in error["error"]
    assert "the shop is closed for ever\n" in up.errors
    assert "Traceback" not in "".join(up.errors)


async def test_envoys_death_ends_it_too(place: Path) -> None:
    async with process.authz(*words(place, "a_shop:Shop")) as up:
        await up.event("ready")
        children = up.children()
        envoy = next(pid for pid in children if "envoy" in command_of(pid))
        os.kill(envoy, signal.SIGKILL)
        assert await up.ended() == 1
        assert not any(map(process.is_running, children))
    assert "Envoy ended" in up.events[-1]["error"]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/exe").resolve().name


async def test_killed_it_leaves_nothing_behind(place: Path) -> None:
    async with process.authz(*words(place, "a_shop:Shop")) as up:
        await up.event("ready")
        children = up.children()
        await up.stop(signal.SIGKILL)
        await until(lambda: not any(map(process.is_running, children)))


MISTAKES = {
    "a_shop:Shp": "has no 'Shp'",
    "a_shop:NOTHING": "decorate its class",
    "a_nowhere:Shop": "there is no module 'a_nowhere'",
    "a_broken": "a_broken.py:2: ZeroDivisionError: division by zero",
    "a_wrong": "a_wrong.py:2: ",
    "a_shop.py": "a_shop.py is no document",
    "a_quitter": "a_quitter.py:2: the module ends the process",
    "a_killer": "exit code 9",
}


async def test_mistakes_in_code_are_one_message_with_their_line(place: Path) -> None:
    (place / "a_broken.py").write_text("'a comment'\nx = 1 / 0\n")
    (place / "a_wrong.py").write_text("from authz.frameworks import endpoints\nendpoints.api(name=3, version='v1')\n")
    (place / "a_quitter.py").write_text("import sys\nsys.exit()\n")
    (place / "a_killer.py").write_text("import os\nos._exit(9)\n")

    async def ends(word: str) -> tuple[int, str, str]:
        return await process.output(*words(place, word))

    found = dict(zip(MISTAKES, await asyncio.gather(*map(ends, MISTAKES)), strict=True))
    for word, (code, out, err) in found.items():
        errors = [json.loads(line) for line in out.splitlines() if '"error"' in line]
        assert code == (1 if word == "a_killer" else 2), (word, out, err)
        assert len(errors) == 1, (word, out, err)
        assert MISTAKES[word] in errors[0]["error"]
        assert "Traceback" not in out + err


async def test_people_see_what_starts(place: Path) -> None:
    line = [word for word in words(place, "a_shop:Shop") if word != "--json"]
    async with process.authz(*line) as up:
        await until(lambda: any(text.startswith("ready") for text in up.said), within=process.PATIENCE)
        assert await up.stop() == 0
    assert "Starting a_shop:Shop\n" in up.said
    assert re.search(r"GET\s+/api/shop/v1/items", "".join(up.said))
