"""APIs of type hints, served: both servers answer alike, and as the documents say, which deploy without remarks."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from authz.frameworks import typed
from authz.frameworks.declare import apis
from authz.frameworks.document import openapi
from authz.frameworks.exceptions import NotFoundException
from authz.frameworks.serve import api_server, asgi_server
from authz.frameworks.typed import Body, Query
from authz.frameworks.types import Issuer, LimitDefinition
from authz.frameworks.users import User
from authz.model.service import SourceText
from authz.sources.compile import compile_texts
from frameworks.callers import Ask, Reply, asgi, wsgi
from frameworks.conformance import conforms


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Item:
    """Something to buy."""

    id: int
    name: Annotated[str, Field(min_length=1, max_length=20)]
    price: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    colour: Colour = Colour.RED
    made: datetime | None = None
    picture: bytes = b""
    parts: list[Item] = field(default_factory=list)


class Card(BaseModel):
    kind: Literal["card"]
    number: Annotated[str, Field(pattern="^[0-9]{4}$")]


class Cash(BaseModel):
    kind: Literal["cash"]
    coins: dict[str, int] = {}
    pair: tuple[int, str] | None = None


@dataclass
class Order:
    payment: Annotated[Card | Cash, Field(discriminator="kind")]
    items: list[Item]


Notes = Annotated[list[Annotated[str, Field(max_length=5)]], Body()]


@dataclass
class Search:
    text: str | None = None
    colours: list[Colour] = field(default_factory=list)


shop = typed.Api(
    "shop",
    "1.2.0",
    hostname="shop.example.com",
    issuers={"firebase": Issuer("https://firebase.example", None)},
    limit_definitions=[LimitDefinition("writes", "Writes", 10)],
    api_key_required=True,
)


@shop.get("items/{id}")
def item(
    id: int,  # noqa: A002 - as people call it
    limit: Annotated[int, Query(ge=1, lt=50)] = 10,
    share: Annotated[float, Query(gt=0)] = 0.5,
    tag: Annotated[list[str], Query(max_length=3)] = [],  # noqa: B006 - as people write it
    either: int | bool = 1,
) -> Item:
    """One item."""
    if id < 0:
        raise NotFoundException("no such item")
    return Item(id, f"{limit} {len(tag)}")


@shop.get("items")
async def items(search: Search) -> list[Item]:
    """All items, or some."""
    return [Item(1, search.text[:20] if search.text else "any", colour=one) for one in search.colours]


@shop.api_class(path="orders", resource_name="orders", audiences={"firebase": ["shop"]}, optional_auth=True)
class Orders:
    @shop.post("", metric_costs={"writes": 2})
    def create(self, order: Order, dry: bool = False) -> Order:
        return order

    @shop.put("{id}/notes", api_key_required=False)
    async def note(self, id: UUID, notes: Notes) -> dict[str, int]:  # noqa: A002
        return {str(id): len(notes)}

    @shop.patch("{id}")
    def change(self, id: UUID, price: Annotated[float | None, Body()] = None) -> float | None:  # noqa: A002
        return price

    @shop.delete("{id}", optional_auth=False)
    def drop(self, id: UUID, user: User | None) -> None:  # noqa: A002
        return None


Caller = Callable[[Ask], Reply]


@pytest.fixture(params=["wsgi", "asgi"], scope="module")
def caller(request: pytest.FixtureRequest) -> Any:
    server = api_server([shop]) if request.param == "wsgi" else asgi_server([shop])
    call = wsgi if request.param == "wsgi" else asgi
    yield lambda ask: call(server, ask)
    server.close()


def sent(caller: Caller, method: str, path: str, body: Any = None) -> Reply:
    data = b"" if body is None else json.dumps(body).encode()
    return caller(Ask(method, f"/_ah/api/shop/v1/{path}", data, [("content-type", "application/json")]))


def test_calls(caller: Caller) -> None:
    found = sent(caller, "GET", "items/7?limit=3&tag=a&tag=b")
    assert (found.status, found.json["name"], found.json["picture"]) == (200, "3 2", "")
    assert sent(caller, "GET", "items?colours=red&colours=blue").json[1]["colour"] == "blue"
    order = {"payment": {"kind": "cash", "pair": [1, "a"]}, "items": [{"id": 1, "name": "a"}]}
    assert sent(caller, "POST", "orders", order).json["payment"] == {"kind": "cash", "coins": {}, "pair": [1, "a"]}
    some = "123e4567-e89b-12d3-a456-426614174000"
    assert sent(caller, "PUT", f"orders/{some}/notes", ["a", "b"]).json == {some: 2}
    assert sent(caller, "PATCH", f"orders/{some}", 1.5).body == b"1.5"
    assert sent(caller, "PATCH", f"orders/{some}").body == b"null"
    dropped = sent(caller, "DELETE", f"orders/{some}")
    assert (dropped.status, dropped.body) == (204, b"")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "location", "word"),
    [
        ("GET", "items/x", None, 400, "id", "integer"),
        ("GET", "items/1?limit=50", None, 400, "limit", "less than 50"),
        ("GET", "items/1?tag=a&tag=b&tag=c&tag=d", None, 400, "tag", "3 items"),
        ("GET", "items?colours=red&colours=green", None, 400, "colours[1]", "'red' or 'blue'"),
        ("GET", "items/-1", None, 404, None, "no such item"),
        ("POST", "orders", {"payment": {"kind": "card", "number": "12345"}, "items": []}, 400, None, "payment.number"),
        ("POST", "orders", {"payment": {"kind": "cash"}, "items": [{"id": 1}]}, 400, None, "items[0].name"),
        ("POST", "orders", [], 400, None, "not a JSON object"),
        ("POST", "orders", None, 400, None, "body is required"),
        ("DELETE", "orders/1", None, 400, "id", "UUID"),
    ],
)
def test_errors_name_the_place(
    caller: Caller, method: str, path: str, body: Any, status: int, location: str | None, word: str
) -> None:
    found = sent(caller, method, path, body)
    error = found.error["errors"][0]
    assert (found.status, error.get("location")) == (status, location)
    assert word in error["message"]


@pytest.mark.parametrize("version", ["2.0", "3.1"])
def test_the_documents_deploy_without_remarks(version: Any) -> None:
    document = openapi(apis([shop])[0], version=version)
    compiled = compile_texts([SourceText("shop.json", json.dumps(document))])
    assert [finding.message for finding in compiled.findings] == []


@pytest.mark.parametrize("version", ["2.0", "3.1"])
def test_the_documents_are_valid(version: Any) -> None:
    from openapi_spec_validator import validate

    document = openapi(apis([shop])[0], version=version)
    # Google's word for no authorization page is an empty text, and 2.0 wants to be told the scopes.
    for scheme in document.get("securityDefinitions", {}).values():
        if scheme["type"] == "oauth2":
            scheme |= {"authorizationUrl": "https://example.com", "scopes": {}}
    validate(document)


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
def test_the_server_does_what_the_document_says(server: str) -> None:
    document = openapi(apis([shop])[0], version="3.1")
    served = {"wsgi": api_server, "asgi": asgi_server}[server]([shop])
    assert conforms(document, **{server: served}) > 60
    served.close()
