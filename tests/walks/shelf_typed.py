"""The shelf in type hints: the same URLs, answers and declarations as `shelf_old`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel

from authz.frameworks import endpoints
from authz.frameworks.typed import Api, Query
from walks.shelf_old import REFUSALS


@dataclass
class Said:
    text: str


@dataclass
class Caller:
    subject: str | None = None
    issuer: str | None = None
    email: str | None = None
    groups: list[str] = field(default_factory=list)


class Item(BaseModel):
    title: str
    price: float | None = None


@dataclass
class Stored:
    id: int
    title: str
    price: float | None
    dry: bool | None


@dataclass
class Found:
    name: str | None
    least: int | None
    tags: list[str]


def caller() -> Caller:
    user = endpoints.get_current_user()
    if user is None:
        return Caller()
    return Caller(user.subject, user.issuer, user.email(), list(user.claims.get("groups", ())))


def declared(host: str, issuers: str) -> list[Any]:
    """The APIs, for a host and the place of the issuers."""
    shelf = Api(
        "shelf",
        "1.2.0",
        description="Things on a shelf.",
        hostname=host,
        base_path="/api/",
        issuers={name: endpoints.Issuer(f"{issuers}/{name}", f"{issuers}/{name}/keys") for name in ("one", "two")},
        limit_definitions=[endpoints.LimitDefinition("reads", "Reads", 5)],
    )

    @shelf.get("open")
    def open(text: str = "open") -> Said:  # noqa: A001 - the name of the operation
        return Said(text)

    @shelf.get("keyed", api_key_required=True)
    def keyed(text: str = "keyed") -> Said:
        return Said(text)

    @shelf.get("counted", api_key_required=True, metric_costs={"reads": 2})
    def counted() -> Said:
        return Said("counted")

    @shelf.delete("items/{id}", api_key_required=True)
    def remove(id: int) -> None:  # noqa: A002
        return None

    @shelf.post("items/{id}")
    def touch(id: int) -> Said:  # noqa: A002
        return Said(f"touched {id}")

    @shelf.put("items/{id}")
    async def put(id: int, item: Item, dry: bool | None = None) -> Stored:  # noqa: A002
        return Stored(id, item.title, item.price, dry)

    @shelf.post("items/{id}:publish")
    def publish(id: int) -> Said:  # noqa: A002
        return Said(f"published {id}")

    @shelf.get("search")
    def search(
        name: Annotated[str | None, Query(alias="filter.name")] = None,
        least: Annotated[int | None, Query(alias="filter.least")] = None,
        tags: Annotated[list[str], Query()] = [],  # noqa: B006
    ) -> Found:
        return Found(name, least, tags)

    @shelf.get("fail/{status}")
    def fail(status: int) -> None:
        raise REFUSALS[status](f"said {status}")

    @shelf.api_class(resource_name="callers", path="callers", audiences={"one": ["aud-a", "aud-b"]})
    class Callers:
        @shelf.get("one")
        def one(self) -> Caller:
            return caller()

        @shelf.get("either", audiences={"one": ["aud-a"], "two": ["aud-2"]})
        async def either(self) -> Caller:
            return caller()

        @shelf.get("clients", allowed_client_ids=["web", "ios"])
        def clients(self) -> Caller:
            return caller()

        @shelf.get("nobody", allowed_client_ids=[])
        def nobody(self) -> Caller:
            return caller()

        @shelf.get("any", allowed_client_ids=["*"])
        def any(self) -> Caller:
            return caller()

        @shelf.get("scopes", scopes=["read", "write admin"])
        def scopes(self) -> Caller:
            return caller()

        @shelf.get("both", api_key_required=True)
        def both(self) -> Caller:
            return caller()

        @shelf.get("optional", optional_auth=True)
        def optional(self, user: endpoints.User | None) -> Caller:
            return caller() if user else Caller()

        @shelf.get("anybody", audiences={})
        def anybody(self) -> Caller:
            return caller()

    second = Api("shelf", "2.0.0", hostname=host, base_path="/api/")

    @second.get("open")
    def second_open() -> Said:
        return Said("second")

    @second.get("files/{text}", api_key_required=True, use_request_uri=True)
    def file(text: str) -> Said:
        return Said(text)

    readers = Api(
        "readers",
        "1.0.0",
        hostname=host,
        base_path="/api/",
        issuers={"google_id_token": endpoints.Issuer(f"{issuers}/two", f"{issuers}/two/keys")},
        audiences=["aud-list"],
    )

    @readers.get("me")
    def me() -> Caller:
        return caller()

    return [shelf, second, readers]
