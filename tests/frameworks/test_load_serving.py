"""One application of all that was named, whom it answers, and `python -m authz.frameworks` as people use it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask

from authz import wire
from authz.errors import UsageError
from authz.frameworks import endpoints, messages, remote, typed
from authz.frameworks.load import GatewayOnly, application, shown
from harness import http

PREFIX = "X-Endpoint-"


class Said(messages.Message):
    text = messages.StringField(1)


@endpoints.api(name="echo", version="v1", base_path="/")
class Echo(remote.Service):
    @endpoints.method(response_message=Said, http_method="GET")
    def say(self, _request: Any) -> Said:
        return Said(text="echo")


shop = typed.Api("shop", "1.2.0", base_path="/")


@shop.get("say")
def say() -> str:
    return "shop"


flask = Flask("flask")


@flask.get("/say")
def flask_say() -> str:
    return "flask"


async def get(app: Any, path: str, headers: Any = ()) -> tuple[int, str]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get(path, headers=[*headers])
    return answer.status_code, answer.text


async def test_whatever_is_declared_is_served_together() -> None:
    app = application([Echo, shop], header_prefix=PREFIX)

    assert await get(app, "/echo/v1/say") == (200, '{"text":"echo"}')
    assert await get(app, "/shop/v1/say") == (200, '"shop"')
    assert list(shown([Echo, shop])) == ["echo v1", "shop 1.2.0"]


@pytest.mark.parametrize("make", [endpoints.api_server, endpoints.asgi_server], ids=["wsgi", "asgi"])
async def test_a_server_is_served_as_it_is(make: Any) -> None:
    with closing(make([Echo])) as thing:
        app = application([thing], header_prefix=PREFIX)

        assert await get(app, "/echo/v1/say") == (200, '{"text":"echo"}')
        assert list(shown([thing])) == ["echo v1"]


TEXT = endpoints.ResourceContainer(text=messages.StringField(1))


@pytest.mark.parametrize("make", [endpoints.api_server, endpoints.asgi_server], ids=["wsgi", "asgi"])
@pytest.mark.parametrize(
    ("path", "text"), [("a%2Fb", "a/b"), ("a%2Bb", "a+b"), ("%C3%A9", "é"), ("a%252Fb?x=%2F", "a%2Fb")]
)
async def test_a_server_is_told_how_the_path_came(make: Any, path: str, text: str) -> None:
    @endpoints.api(name="files", version="v1", base_path="/")
    class Files(remote.Service):
        @endpoints.method(TEXT, Said, path="{text}", http_method="GET", use_request_uri=True)
        def file(self, request: Any) -> Said:
            return Said(text=request.text)

    with closing(make([Files])) as thing:
        status, body = await get(application([thing], header_prefix=PREFIX), f"/files/v1/{path}")

    assert (status, json.loads(body)) == (200, {"text": text})


async def test_an_app_of_another_framework_is_served_as_it_is() -> None:
    assert await get(application([flask], header_prefix=PREFIX), "/say") == (200, "flask")
    assert list(shown([flask])) == ["flask 1.0.0"]


@pytest.mark.parametrize("things", [[flask, Echo], [endpoints.asgi_server([Echo]), shop]])
def test_what_serves_itself_is_named_alone(things: list[Any]) -> None:
    with pytest.raises(UsageError, match="served by itself"):
        application(things, header_prefix=PREFIX)


def test_what_cannot_be_served_is_said() -> None:
    with pytest.raises(UsageError, match="Echo is listed twice"):
        application([Echo, Echo], header_prefix=PREFIX)


async def test_only_the_gateway_is_answered() -> None:
    app = GatewayOnly(application([Echo], header_prefix=PREFIX), "s3cret")
    answers = [
        await get(app, "/echo/v1/say", [(wire.GATEWAY_SECRET, secret) for secret in secrets])
        for secrets in ((), ("guess",), ("s3cret", "s3cret"), ("s3cret",))
    ]
    assert [status for status, _ in answers] == [403, 403, 403, 200]


async def test_a_websocket_of_a_stranger_is_closed() -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await GatewayOnly(application([Echo], header_prefix=PREFIX), "s")({"type": "websocket"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


# -- the command ------------------------------------------------------------------------------------------------------

MODULE = """
from authz.frameworks import typed

served = typed.Api("served", "1.0.0", base_path="/")

@served.get("say")
def say() -> str:
    return "said"
"""


async def test_people_serve_until_they_stop(tmp_path: Path) -> None:
    (tmp_path / "a_module.py").write_text(MODULE)
    serving = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "authz.frameworks", "serve", "a_module", "--application", tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert serving.stdout
        line = (await asyncio.wait_for(serving.stdout.readline(), 30)).decode()
        name, url = line.partition("   (")[0].split(" on ")
        assert name == "served 1.0.0"
        assert (await http.fetch(int(url.rpartition(":")[2]), "GET", "/served/v1/say")).json() == "said"
        serving.send_signal(signal.SIGINT)
        assert (await serving.communicate())[1] == b""
        assert serving.returncode == 0
    finally:
        if serving.returncode is None:
            serving.kill()
            await serving.wait()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["serve", "a_nothing"], 2, "error: there is no module 'a_nothing'"),
        (["serve", "a_module:served", "--host", "256.1.1.1"], 1, "cannot be listened on"),
        (["serve", "a_module:served", "--gateway-only"], 2, "AUTHZ_GATEWAY_SECRET"),
        (["serve"], 2, "MODULE"),
        (["write", "a_module:nothing"], 2, "has no 'nothing'"),
    ],
)
def test_mistakes_are_one_message(tmp_path: Path, words: list[str], code: int, message: str) -> None:
    (tmp_path / "a_module.py").write_text(MODULE)
    ended = subprocess.run(
        [sys.executable, "-m", "authz.frameworks", *words, *(["--application", tmp_path] if words[1:] else [])],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (ended.returncode, ended.stdout) == (code, "")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
