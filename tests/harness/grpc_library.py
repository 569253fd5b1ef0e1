"""A gRPC backend: a library whose RPCs have all four kinds of streams, REST bindings of all sorts, and errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2, status_pb2

from authz.model.paths import Template
from authz.model.service import Backend, Operation, Protocol, Rpc
from harness.grpc_protos import Messages, compiled
from harness.tls import Leaf

PROTO = """
syntax = "proto3";
package library.v1;

import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

enum Genre { GENRE_UNSPECIFIED = 0; POETRY = 1; DRAMA = 2; }

message Shelf { int64 id = 1; string theme = 2; Genre genre = 3; repeated string tags = 4; string owner_name = 5; }
message ShelfRequest { int64 shelf = 1; string theme = 2; repeated Genre genres = 3; Shelf like = 4; string key = 5; }
message CreateShelfRequest { string parent = 1; Shelf shelf = 2; bool dry = 3; }
message Book { string name = 1; int32 pages = 2; }
message ListBooksRequest { int64 shelf = 1; int32 count = 2; double pause = 3; int32 fail_with = 4; }
message Books { int32 count = 1; repeated string names = 2; }
message FailRequest { int32 code = 1; string message = 2; }
message FileRequest { string name = 1; }
message UploadRequest { string name = 1; google.api.HttpBody content = 2; }
message SleepRequest { double seconds = 1; }
message Empty {}

message Everything {
  message Inner { string text = 1; Inner inner = 2; }
  double a_double = 1; float a_float = 2; int32 an_int32 = 3; int64 an_int64 = 4; uint32 a_uint32 = 5;
  uint64 a_uint64 = 6; sint32 a_sint32 = 7; sint64 a_sint64 = 8; fixed32 a_fixed32 = 9; fixed64 a_fixed64 = 10;
  sfixed32 an_sfixed32 = 11; sfixed64 an_sfixed64 = 12; bool a_bool = 13; string a_string = 14; bytes some_bytes = 15;
  Genre genre = 16; Inner inner = 17; repeated int64 numbers = 18; repeated Inner inners = 19;
  map<string, int64> counts = 20; map<int32, Inner> by_number = 21;
  oneof choice { string word = 22; int32 number = 23; }
  optional string perhaps = 24;
  google.protobuf.Timestamp at = 25; google.protobuf.StringValue wrapped = 26; google.protobuf.Struct structure = 27;
}

service Library {
  rpc GetShelf(ShelfRequest) returns (Shelf) {
    option (google.api.http) = {
      get: "/v1/shelves/{shelf}"
      additional_bindings { get: "/v1/s/{shelf}" }
      additional_bindings { post: "/v1/shelves:find" body: "*" }
    };
  }
  rpc CreateShelf(CreateShelfRequest) returns (Shelf) {
    option (google.api.http) = { post: "/v1/{parent=places/*}/shelves" body: "shelf" };
  }
  rpc DeleteShelf(ShelfRequest) returns (Empty) { option (google.api.http) = { delete: "/v1/shelves/{shelf}" }; }
  rpc ArchiveShelf(ShelfRequest) returns (Shelf) {
    option (google.api.http) = { post: "/v1/shelves/{shelf}:archive" body: "*" };
  }
  rpc TouchAny(FileRequest) returns (FileRequest) { option (google.api.http) = { post: "/v1/{name=shelves/**}" }; }
  rpc ListBooks(ListBooksRequest) returns (stream Book) {
    option (google.api.http) = { get: "/v1/shelves/{shelf}/books" };
  }
  rpc AddBooks(stream Book) returns (Books);
  rpc Swap(stream Book) returns (stream Book);
  rpc Fail(FailRequest) returns (Empty) { option (google.api.http) = { get: "/v1/fail/{code}" }; }
  rpc Download(FileRequest) returns (google.api.HttpBody) {
    option (google.api.http) = { get: "/v1/files/{name=**}" };
  }
  rpc Upload(UploadRequest) returns (google.api.HttpBody) {
    option (google.api.http) = { put: "/v1/files/{name}" body: "content" };
  }
  rpc Sleep(SleepRequest) returns (Empty) { option (google.api.http) = { get: "/v1/sleep/{seconds}" }; }
  rpc Echo(Everything) returns (Everything) { option (google.api.http) = { post: "/v1/echo" body: "*" }; }
}

service Vault {
  rpc Open(ShelfRequest) returns (Shelf);
}
"""

LIBRARY = "library.v1.Library"
VAULT = "library.v1.Vault"


@cache
def descriptors() -> bytes:
    return compiled({"library/v1/library.proto": PROTO})


@cache
def messages() -> Messages:
    return Messages(descriptors())


def message(kind: str, /, **fields: Any) -> Any:
    return messages()[f"library.v1.{kind}"](**fields)


def operations(
    descriptor_set: bytes = b"", *, hidden: tuple[str, ...] = (VAULT,), **more: Any
) -> tuple[Operation, ...]:
    """What sources make of the proto: an operation for each binding, and one for each RPC's own path."""
    known = Messages(descriptor_set) if descriptor_set else messages()
    return tuple(bound(known, "library/v1/library.proto", hidden=hidden, **more))


def bound(known: Messages, file: str, *, hidden: tuple[str, ...] = (), **more: Any) -> Iterator[Operation]:
    """The operations of one file's services."""
    backend = more.pop("backend", Backend(protocol=Protocol.HTTP2))
    for method in methods(known, file):
        service = method.containing_service.full_name
        if service in hidden:
            continue
        rpc = Rpc(service, method.name, method.client_streaming, method.server_streaming)
        for verb, path in [*_bindings(method), ("POST", rpc.path)]:
            yield Operation(f"{service}.{method.name}", verb, Template.parse(path), backend=backend, rpc=rpc, **more)


def methods(known: Messages, file: str = "library/v1/library.proto") -> list[MethodDescriptor]:
    services = known.pool.FindFileByName(file).services_by_name
    return [method for service in services.values() for method in service.methods]


def _bindings(method: MethodDescriptor) -> list[tuple[str, str]]:
    rule = next((value for option, value in method.GetOptions().ListFields() if option.name == "http"), None)
    found = []
    for one in [rule, *rule.additional_bindings] if rule else []:
        kind = one.WhichOneof("pattern")
        found.append((one.custom.kind, one.custom.path) if kind == "custom" else (kind.upper(), getattr(one, kind)))
    return found


@dataclass
class Called:
    path: str
    metadata: dict[str, str]
    deadline: float | None


@dataclass(repr=False)
class Library:
    """`seen` holds calls in the order of arrival, for tests to clear; `ever` all; `cancelled` those cut short."""

    seen: list[Called] = field(default_factory=list)
    ever: list[Called] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def called(self) -> list[str]:
        return [one.path.rpartition("/")[2] for one in self.seen]

    @contextlib.asynccontextmanager
    async def serving(
        self, tls: Leaf | None = None, compression: grpc.Compression = grpc.Compression.NoCompression
    ) -> AsyncIterator[Library]:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)], compression=compression)
        server.add_generic_rpc_handlers([_handlers(self, LIBRARY), _handlers(self, VAULT)])
        if tls:
            pair = (tls.key.read_bytes(), tls.cert.read_bytes())
            self.port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        else:
            self.port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)

    # -- the RPCs ---------------------------------------------------------------------------------------------

    async def GetShelf(self, request: Any, _: Any) -> Any:  # noqa: N802 - RPCs have the proto's names
        theme = request.theme or request.like.theme or "default"
        return message("Shelf", id=request.shelf, theme=theme, genre=request.genres[0] if request.genres else 0)

    Open = ArchiveShelf = GetShelf

    async def CreateShelf(self, request: Any, _: Any) -> Any:  # noqa: N802
        request.shelf.owner_name = request.parent
        return request.shelf

    async def DeleteShelf(self, _request: Any, _: Any) -> Any:  # noqa: N802
        return message("Empty")

    async def TouchAny(self, request: Any, _: Any) -> Any:  # noqa: N802
        return request

    Echo = TouchAny

    async def ListBooks(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        for number in range(request.count):
            yield message("Book", name=f"book {number}", pages=number)
            await asyncio.sleep(request.pause)
        if request.fail_with:
            await context.abort(_code(request.fail_with), "the shelf broke")

    async def AddBooks(self, requests: AsyncIterator[Any], _: Any) -> Any:  # noqa: N802
        names = [one.name async for one in requests]
        return message("Books", count=len(names), names=names)

    async def Swap(self, requests: AsyncIterator[Any], _: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for one in requests:
            yield message("Book", name=one.name[::-1], pages=one.pages)

    async def Fail(self, request: Any, context: Any) -> Any:  # noqa: N802
        status = status_pb2.Status(code=request.code, message=request.message)
        info = error_details_pb2.ErrorInfo(reason="BROKEN", domain="library.test", metadata={"shelf": "7"})
        status.details.add().Pack(info)
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        await context.abort(_code(request.code), request.message)

    async def Download(self, request: Any, _: Any) -> Any:  # noqa: N802
        return messages()["google.api.HttpBody"](content_type="text/x-name", data=request.name.encode())

    async def Upload(self, request: Any, _: Any) -> Any:  # noqa: N802
        return request.content

    async def Sleep(self, request: Any, _: Any) -> Any:  # noqa: N802
        await asyncio.sleep(request.seconds)
        return message("Empty")


def _code(number: int) -> grpc.StatusCode:
    return next(code for code in grpc.StatusCode if code.value[0] == number)


def _handlers(library: Library, service: str) -> grpc.GenericRpcHandler:
    kinds: dict[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler]] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    found = {}
    for method in methods(messages()):
        if method.containing_service.full_name == service:
            function = getattr(library, method.name)
            found[method.name] = kinds[method.client_streaming, method.server_streaming](
                (_streaming if method.server_streaming else _single)(library, f"/{service}/{method.name}", function),
                request_deserializer=messages()[method.input_type.full_name].FromString,
                response_serializer=lambda one: one.SerializeToString(),
            )
    return grpc.method_handlers_generic_handler(service, found)


def _note(library: Library, path: str, context: Any) -> None:
    metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
    called = Called(path, metadata, context.time_remaining())
    library.seen.append(called)
    library.ever.append(called)


def _single(library: Library, path: str, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def call(request: Any, context: Any) -> Any:
        _note(library, path, context)
        try:
            return await function(request, context)
        except asyncio.CancelledError:
            library.cancelled.append(path)
            raise

    return call


def _streaming(library: Library, path: str, function: Callable[..., Any]) -> Callable[..., AsyncIterator[Any]]:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        _note(library, path, context)
        try:
            async for one in function(request, context):
                yield one
        except asyncio.CancelledError:
            library.cancelled.append(path)
            raise

    return call
