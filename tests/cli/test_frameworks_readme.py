"""The README's examples of decorated classes: they run, and old code means what it meant."""

from __future__ import annotations

import base64
import json
import re
import shlex
import sys
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from authz import wire
from authz.frameworks.__main__ import _parser
from authz.frameworks.load import application, documents, load
from authz.frameworks.migrate import Source, check
from authz.frameworks.service import Version
from authz.model.findings import Severity
from authz.model.service import SourceText
from authz.sources import compile_texts

README = (Path(__file__).parents[2] / "README.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- example: ([\w.]+) -->\n```python\n(.*?)```", README, re.DOTALL))
SECRET = "of-the-readme"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with the examples as files; their modules are forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("AUTHZ_GATEWAY_SECRET", SECRET)
    for name, text in {**EXAMPLES, "main.py": EXAMPLES["after"]}.items():
        (tmp_path / name).write_text(text)
    before = dict(sys.modules)
    for name in ("main", "library", "shop", "store"):
        sys.modules.pop(name, None)
    yield tmp_path
    for name in ("main", "library", "shop", "store"):
        sys.modules.pop(name, None)
        sys.modules.update({name: before[name]} if name in before else {})


async def answers(word: str, place: Path, *requests: tuple[str, str, object], user: str = "") -> list[Any]:
    """What the application says to whom it takes for the gateway: status, and JSON if there is any."""
    app = application(load([word], place), header_prefix="X-Endpoint-", place=place)
    told = base64.urlsafe_b64encode(user.encode()).decode().rstrip("=")
    headers = {wire.GATEWAY_SECRET: SECRET, **({"X-Endpoint-API-UserInfo": told} if user else {})}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=headers) as client:
        found = [await client.request(method, path, json=body) for method, path, body in requests]
    return [(one.status_code, one.json() if one.content else None) for one in found]


@pytest.mark.parametrize(("word", "version"), [
    ("library:Library", "2.0"), ("library:Library", "3.1"), ("shop:shop", "2.0"), ("shop", "3.1"), ("store:app", "3.1"),
    ("main:application", "2.0"), ("main:Greeter", "3.1"),
])  # fmt: skip
def test_documents_of_examples_deploy(word: str, version: Version, place: Path) -> None:
    (made,) = documents(load([word], place), version=version, hostname="api.example.com")
    compiled = compile_texts([SourceText(made.file, made.text)])

    assert compiled.findings == ()
    (config,) = compiled.configs
    assert any(operation.costs for operation in config.operations)
    assert any(not operation.requirement.is_open for operation in config.operations)


async def test_the_library_is_served(place: Path) -> None:
    book = {"title": "Solaris", "pages": 204}
    assert await answers(
        "library:Library", place, ("GET", "/library/v1/books", None), ("POST", "/library/v1/shelves/b4", book),
        ("POST", "/library/v1/shelves/b4", {"pages": 1}), user='{"sub": "ann"}'
    ) == [
        (200, {"books": [book]}), (200, {"title": "Solaris, put on b4 by ann"}), (400, Some("title"))
    ]  # fmt: skip


async def test_the_shop_is_served(place: Path) -> None:
    item = {"name": "item in EUR", "price": 1.5}
    assert await answers(
        "shop:shop", place, ("GET", "/shop/v1/items/7", None), ("GET", "/shop/v1/items/7?currency=usd", None),
        ("GET", "/shop/v1/items/0", None), ("POST", "/shop/v1/orders/create", item),
        ("POST", "/shop/v1/orders/create", {**item, "price": 0}), user='{"sub": "1", "email": "ann@example.com"}'
    ) == [
        (200, item), (400, Some("currency")), (404, Some("There is no item 0.")),
        (200, {"number": 1, "buyer": "ann@example.com"}), (400, Some("price")),
    ]  # fmt: skip
    assert (await answers("shop:shop", place, ("POST", "/shop/v1/orders/create", item)))[0][0] == 401


async def test_the_store_is_served(place: Path) -> None:
    assert await answers("store:app", place, ("GET", "/items/7", None)) == [(200, {"number": 7})]


class Some:
    """Equal to whatever holds a word."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __eq__(self, other: object) -> bool:
        return self.word in json.dumps(other)

    __hash__ = None  # type: ignore[assignment]


# -- old code ---------------------------------------------------------------------------------------------------------

MEANT: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "greeter", "version": "1.2.0"},
    "host": "api.example.com",
    "basePath": "/_ah/api",
    "schemes": ["https"],
    "consumes": ["application/json"],
    "produces": ["application/json"],
    "paths": {
        "/greeter/v1/greetings/{id}": {
            "get": {
                "operationId": "Greeter_fetchOne",
                "parameters": [
                    {"name": "id", "in": "path", "type": "string", "required": True},
                    {"name": "times", "in": "query", "type": "integer", "format": "int32"},
                ],
                "responses": {
                    "200": {"description": "A successful response", "schema": {"$ref": "#/definitions/MainGreeting"}}
                },
                "security": [{"google_id_token-8007823f": []}],
                "x-google-quota": {"metricCosts": {"calls": 1}},
            },
            "delete": {
                "operationId": "Greeter_remove",
                "parameters": [{"name": "id", "in": "path", "type": "string", "required": True},
                               {"name": "times", "in": "query", "type": "integer", "format": "int32"}],
                "responses": {"200": {"description": "A successful response"}},
                "security": [{"api_key": []}],
            },
        }
    },
    "definitions": {
        "MainGreeting": {
            "type": "object",
            "properties": {"message": {"type": "string"}, "count": {"type": "string", "format": "int64"}},
            "required": ["message"],
        }
    },
    "securityDefinitions": {
        "google_id_token": {
            "type": "oauth2", "flow": "implicit", "authorizationUrl": "",
            "x-google-issuer": "https://accounts.google.com",
            "x-google-jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
        },
        "google_id_token-8007823f": {
            "type": "oauth2", "flow": "implicit", "authorizationUrl": "",
            "x-google-issuer": "https://accounts.google.com",
            "x-google-jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
            "x-google-audiences": "web.apps.example.com",
        },
        "api_key": {"type": "apiKey", "name": "key", "in": "query"},
    },
    "x-google-management": {
        "metrics": [{"name": "calls", "valueType": "INT64", "metricKind": "GAUGE"}],
        "quota": {
            "limits": [{
                "name": "calls", "metric": "calls", "unit": "1/min/{project}", "values": {"STANDARD": 100},
                "displayName": "Calls",
            }]
        },
    },
}  # fmt: skip
"""What the old generator wrote for the class before: its names, hashes, and order of parameters."""


def test_the_document_after_is_the_document_before(place: Path) -> None:
    (made,) = documents(load(["main:Greeter"], place), hostname="api.example.com")
    operation = made.document["paths"]["/greeter/v1/greetings/{id}"]["get"]

    # What old documents could not say, and the README tells.
    assert operation.pop("x-authz-client-ids") == ["web.apps.example.com"]
    assert made.document == MEANT
    assert made.file == "greeter1.2.0openapi.json"


async def test_after_it_is_served(place: Path) -> None:
    path = "/_ah/api/greeter/v1/greetings/Ann"
    assert await answers(
        "main:application", place, ("GET", f"{path}?times=3", None), ("DELETE", path, None), user='{"sub": "1"}'
    ) == [(200, {"message": "Hello, Ann!", "count": "3"}), (204, None)]


def test_what_check_finds_is_what_changed() -> None:
    before, after = EXAMPLES["before"], EXAMPLES["after"]
    old, new = before.splitlines(), after.splitlines()
    changed = {
        line + 1
        for tag, start, stop, _, _ in SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if tag != "equal"
        for line in range(start, stop)
    }
    found = {finding.line for finding in check([Source("main.py", before)]) if finding.severity is Severity.ERROR}

    assert found <= changed
    assert not [one for one in check([Source("main.py", after)]) if one.severity is Severity.ERROR]
    # Before, it is not even Python.
    with pytest.raises(SyntaxError):
        compile(before, "main.py", "exec")


@pytest.mark.parametrize("line", re.findall(r"^python -m authz\.frameworks (.*)$", README, re.MULTILINE))
def test_the_servers_command_is_understood(line: str) -> None:
    assert _parser().parse_args(shlex.split(line)).words


def test_every_example_is_tried() -> None:
    assert sorted(EXAMPLES) == ["after", "before", "library.py", "shop.py", "store.py"]
    assert isinstance(sys.modules.get("authz.frameworks"), ModuleType)
