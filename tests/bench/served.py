"""The same handlers in Starlette and as declared methods, behind uvicorn: `python served.py PORT starlette|authz`.

Each takes a name and numbers and gives them back. Starlette's read what comes as it is; the methods check every field,
those of `shop` as messages, those of `hints` as a typed function's arguments.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from authz.frameworks import endpoints, messages, remote  # noqa: E402 - the path comes first
from authz.frameworks.typed import Api  # noqa: E402

BASE = "/api"
STYLES = {"messages": "shop", "typed": "hints"}
"""The API of each style of declaring."""
BODY = '{"id": "i1", "count": 3, "tags": ["a", "b"], "price": 1.5, "note": "as it is"}'


def path(style: str, name: str) -> str:
    """Where the handler of this name is called, in either server."""
    return f"{BASE}/{STYLES[style]}/v1/{name}" + ("" if name == "write" else "/i1?count=3")


def by_starlette() -> Any:
    """The yardstick: what the framework needs, and nothing else."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def read(request: Any) -> JSONResponse:
        return JSONResponse({"id": request.path_params["id"], "count": int(request.query_params["count"])})

    def wait(request: Any) -> JSONResponse:
        return JSONResponse({"id": request.path_params["id"], "count": int(request.query_params["count"])})

    async def write(request: Any) -> JSONResponse:
        item = await request.json()
        return JSONResponse({name: item[name] for name in ("id", "count", "tags", "price", "note")})

    routes = []
    for api in STYLES.values():
        routes += [Route(f"{BASE}/{api}/v1/read/{{id}}", read), Route(f"{BASE}/{api}/v1/wait/{{id}}", wait)]
        routes += [Route(f"{BASE}/{api}/v1/write", write, methods=["POST"])]
    return Starlette(routes=routes)


class ItemMessage(messages.Message):
    """What is read and written."""

    id = messages.StringField(1, required=True)
    count = messages.IntegerField(2, variant=messages.Variant.INT32)
    tags = messages.StringField(3, repeated=True)
    price = messages.FloatField(4)
    note = messages.StringField(5)


WHICH = endpoints.ResourceContainer(
    id=messages.StringField(1, required=True),
    count=messages.IntegerField(2, variant=messages.Variant.INT32),
)


@endpoints.api(name="shop", version="v1", base_path=BASE)
class Shop(remote.Service):
    """Message classes."""

    @endpoints.method(WHICH, ItemMessage, path="read/{id}", http_method="GET")
    async def read(self, request: Any) -> ItemMessage:
        """In the loop."""
        return ItemMessage(id=request.id, count=request.count)

    @endpoints.method(WHICH, ItemMessage, path="wait/{id}", http_method="GET")
    def wait(self, request: Any) -> ItemMessage:
        """In a thread."""
        return ItemMessage(id=request.id, count=request.count)

    @endpoints.method(ItemMessage, ItemMessage, path="write")
    async def write(self, request: Any) -> ItemMessage:
        """A body, in the loop."""
        return ItemMessage(
            id=request.id, count=request.count, tags=request.tags, price=request.price, note=request.note
        )


hints = Api("hints", "v1", base_path=BASE)


@dataclass
class Found:
    """What is read."""

    id: str
    count: int


@dataclass
class Item:
    """What is written."""

    id: str
    count: int
    tags: list[str]
    price: float
    note: str


@hints.get("read/{id}")
async def read(id: str, count: int) -> Found:  # noqa: A002 - the name on the wire
    """In the loop."""
    return Found(id, count)


@hints.get("wait/{id}")
def wait(id: str, count: int) -> Found:  # noqa: A002
    """In a thread."""
    return Found(id, count)


@hints.post("write")
async def write(item: Item) -> Item:
    """A body, in the loop."""
    return Item(item.id, item.count, item.tags, item.price, item.note)


def by_authz() -> Any:
    """The same, declared."""
    return endpoints.asgi_server([Shop, hints])


APPS = {"starlette": by_starlette, "authz": by_authz}


def main() -> None:
    """Serve until killed."""
    port, name = sys.argv[1:]
    uvicorn.run(APPS[name](), port=int(port), access_log=False, log_level="warning", proxy_headers=False)


if __name__ == "__main__":
    main()
