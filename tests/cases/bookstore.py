"""The gRPC backend of the cases: a bookstore of two API versions, a health service, and whatever else is called.

Creating answers with what came, deleting with nothing. `x-test-force-status` makes any call fail as it says.
`ReturnBadStatus` has a server of its own, because grpcio knows no status but those that have a name.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import grpc
import grpc.aio

from harness.grpc_protos import Messages, compiled
from harness.http import Request, Response

V1 = "endpoints.examples.bookstore.Bookstore"
V2 = "endpoints.examples.bookstore.v2.Bookstore"
HEALTH = "grpc.health.v1.Health"

_TYPES = """
syntax = "proto3";
package endpoints.examples.bookstore;

import "google/protobuf/any.proto";
import "google/protobuf/empty.proto";

message Book {
  enum Type { CLASSIC = 0; COMIC = 1; HORROR = 2; OTHER = 3; }
  int64 id = 1; string author = 2; string title = 3; Type type = 4; int32 price_in_usd = 5;
}
message Shelf { int64 id = 1; string theme = 2; google.protobuf.Any any = 3; }
message ObjectOnlyForAny { int32 id = 1; string name = 2; }
message ListShelvesResponse { repeated Shelf shelves = 1; }
message CreateShelfRequest { Shelf shelf = 1; }
message GetShelfRequest { int64 shelf = 1; }
message ListBooksRequest { int64 shelf = 1; }
message ListBooksResponse { repeated Book books = 1; }
message CreateBookRequest { int64 shelf = 1; Book book = 2; }
message GetBookRequest { int64 shelf = 1; int64 book = 2; }
"""

_METHODS = {
    "ListShelves": ("google.protobuf.Empty", "ListShelvesResponse"),
    "CreateShelf": ("CreateShelfRequest", "Shelf"),
    "GetShelf": ("GetShelfRequest", "Shelf"),
    "GetShelfAutoBind": ("GetShelfRequest", "Shelf"),
    "DeleteShelf": ("GetShelfRequest", "google.protobuf.Empty"),
    "ListBooks": ("ListBooksRequest", "ListBooksResponse"),
    "CreateBook": ("CreateBookRequest", "Book"),
    "GetBook": ("GetBookRequest", "Book"),
    "DeleteBook": ("GetBookRequest", "google.protobuf.Empty"),
    "ReturnBadStatus": ("google.protobuf.Empty", "google.protobuf.Empty"),
}
_NAMELESS = ("CreateBookRequest", "Book")
"""What a method takes and gives of which a case says nothing but its name."""

_HEALTH = """
syntax = "proto3";
package grpc.health.v1;
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse {
  enum ServingStatus { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; SERVICE_UNKNOWN = 3; }
  ServingStatus status = 1;
}
service Health { rpc Check(HealthCheckRequest) returns (HealthCheckResponse); }
"""


@cache
def descriptors(more: frozenset[str] = frozenset()) -> bytes:
    """Everything that the backend serves; `more`: methods of the first version that are not always there."""
    imports = 'import "bookstore/types.proto"; import "google/protobuf/empty.proto";'
    return compiled({
        "bookstore/types.proto": _TYPES,
        "bookstore/v1.proto": f"""
            syntax = "proto3"; package endpoints.examples.bookstore; {imports}
            service Bookstore {{ {_rpcs({*_METHODS, *more})} }}""",
        "bookstore/v2.proto": f"""
            syntax = "proto3"; package endpoints.examples.bookstore.v2; {imports}
            service Bookstore {{ {_rpcs(_METHODS)} }}""",
        "grpc/health/v1/health.proto": _HEALTH,
    })  # fmt: skip


def _rpcs(names: Iterable[str]) -> str:
    found = {name: _METHODS.get(name, _NAMELESS) for name in sorted(names)}
    return " ".join(f"rpc {name}({_full(takes)}) returns ({_full(gives)});" for name, (takes, gives) in found.items())


def _full(kind: str) -> str:
    return kind if "." in kind else f"endpoints.examples.bookstore.{kind}"


@cache
def messages() -> Messages:
    return Messages(descriptors())


def request_type(path: str) -> Any:
    """The message that a path's method takes; the one that all unknown methods take."""
    return messages()[_full(_METHODS.get(path.rpartition("/")[2], _NAMELESS)[0])]


def answer_type(path: str) -> Any:
    return messages()[_full(_METHODS.get(path.rpartition("/")[2], _NAMELESS)[1])]


def odd_answer(_: Request) -> Response:
    """What `ReturnBadStatus` returns."""
    status = [("grpc-status", "74"), ("grpc-message", "a status of our own")]
    return Response(200, [("content-type", "application/grpc"), *status])


@dataclass
class Seen:
    path: str
    metadata: dict[str, str]


@dataclass
class Bookstore:
    """A server of all of it. A case knows its calls by the operation's name and the host that it called."""

    seen: list[Seen] = field(default_factory=list)
    shelves: dict[int, str] = field(default_factory=lambda: {100: "Kids", 200: "Classic"})
    books: dict[int, dict[int, str]] = field(default_factory=lambda: {100: {1001: "Alphabet"}, 200: {2001: "Hamlet"}})
    health: str = "SERVING"
    address: str = ""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Bookstore]:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers([_Everything(self)])
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)

    async def call(self, path: str, message: bytes, context: Any) -> bytes:
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self.seen.append(Seen(path, metadata))
        if forced := metadata.get("x-test-force-status"):
            await context.abort(grpc.StatusCode[forced], forced)
        if path == f"/{HEALTH}/Check":
            return bytes(messages()["grpc.health.v1.HealthCheckResponse"](status=self.health).SerializeToString())
        service, _, method = path[1:].partition("/")
        if service not in {V1, V2}:
            return message
        return await self.answer(method, request_type(path).FromString(message), answer_type(path), context)

    async def answer(self, method: str, request: Any, kind: Callable[..., Any], context: Any) -> bytes:
        match method:
            case "GetShelf" | "GetShelfAutoBind":
                shelf = request.shelf
                theme = self.shelves.get(shelf) or await _lost(context, f"no shelf {shelf}")
                made = kind(id=shelf, theme=theme)
            case "ListShelves":
                made = kind(shelves=[{"id": number, "theme": theme} for number, theme in self.shelves.items()])
            case "CreateShelf":
                made = request.shelf
            case "ListBooks":
                books = self.books.get(request.shelf, {})
                made = kind(books=[{"id": number, "title": title} for number, title in books.items()])
            case "GetBook":
                title = self.books.get(request.shelf, {}).get(request.book) or await _lost(context, "no such book")
                made = kind(id=request.book, title=title)
            case "DeleteShelf" | "DeleteBook":
                made = kind()
            case _:
                made = request.book
        return bytes(made.SerializeToString())


async def _lost(context: Any, what: str) -> str:
    await context.abort(grpc.StatusCode.NOT_FOUND, what)
    return ""


class _Everything(grpc.GenericRpcHandler):
    def __init__(self, store: Bookstore) -> None:
        self._store = store

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        path = details.method

        async def call(message: bytes, context: Any) -> bytes:
            return await self._store.call(path, message, context)

        return grpc.unary_unary_rpc_method_handler(call)
