"""The sample backend in gRPC: the bookstore of `protos/bookstore/v1`, served without generated code."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool

from authz.demo import shipped
from authz.demo.bookstore import SHELVES, caller
from authz.errors import StateError
from authz.model.service import SourceText
from authz.sources import read_files
from authz.sources.lint import Findings
from authz.sources.protos.packed import unpack

SERVICE = "bookstore.v1.Bookstore"
PROTO = "bookstore/v1/bookstore.proto"
GUARDS = "bookstore-grpc.yaml"


def documents(issuer: str) -> tuple[SourceText, SourceText]:
    """What the bookstore's RPCs are, and what guards them. `issuer` is the URL of the issuer of tokens."""
    (protos,) = read_files([shipped(f"protos/{PROTO}", checkout=f"protos/{PROTO}")])
    guards = shipped(GUARDS, checkout=f"envoy/examples/{GUARDS}").read_text()
    return SourceText("bookstore.proto", protos.text), SourceText(GUARDS, guards.replace("${ISSUER}", issuer))


def descriptors(protos: SourceText) -> DescriptorPool:
    """The types and services of compiled protos."""
    packed = unpack(protos, Findings())
    if packed is None:
        raise StateError(f"{protos.file} holds no descriptors", "Install authz again.")
    pool = DescriptorPool()
    for file in packed.files:
        pool.Add(file)
    return pool


@contextlib.contextmanager
def serving(protos: SourceText) -> Iterator[str]:
    """Serve until left, on a free loopback port; gives the address for `--backend`."""
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers([_handlers(descriptors(protos))])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def _handlers(pool: DescriptorPool) -> grpc.GenericRpcHandler:
    methods: dict[str, Any] = {}
    store = _Bookstore(pool)
    for method in pool.FindServiceByName(SERVICE).methods:
        make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        methods[method.name] = make(
            getattr(store, method.name),
            request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
    return grpc.method_handlers_generic_handler(SERVICE, methods)


class _Bookstore:
    """The RPCs, by their names. It trusts the gateway: whoever arrives here has been checked."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def _new(self, name: str, **fields: object) -> Any:
        descriptor = self._pool.FindMessageTypeByName(f"bookstore.v1.{name}")
        return message_factory.GetMessageClass(descriptor)(**fields)

    def GetStatus(self, _: object, __: object) -> Any:  # noqa: N802 - so it is called
        return self._new("Status", open=True)

    def ListShelves(self, _: object, __: object) -> Any:  # noqa: N802
        shelves = [self._new("Shelf", id=int(name), theme=shelf["theme"]) for name, shelf in SHELVES.items()]
        return self._new("ListShelvesResponse", shelves=shelves)

    def CreateShelf(self, request: Any, _: object) -> Any:  # noqa: N802
        return self._new("Shelf", id=len(SHELVES) + 1, theme=request.shelf.theme)

    def GetBook(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        books = _books(request.shelf, context)
        if str(request.book) not in books:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Shelf {request.shelf} has no book {request.book}.")
        return self._new("Book", id=request.book, title=books[str(request.book)])

    def StreamBooks(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        for book, title in _books(request.shelf, context).items():
            yield self._new("Book", id=int(book), title=title)

    def WhoAmI(self, _: object, context: grpc.ServicerContext) -> Any:  # noqa: N802
        told = caller({name: str(value) for name, value in context.invocation_metadata()})
        claims = told["claims"] or {}
        return self._new("Caller", consumer=told["consumer"] or "", subject=str(claims.get("sub", "")))


def _books(shelf: int, context: grpc.ServicerContext) -> Mapping[str, str]:
    if str(shelf) not in SHELVES:
        context.abort(grpc.StatusCode.NOT_FOUND, f"There is no shelf {shelf}.")
    books: Mapping[str, str] = SHELVES[str(shelf)]["books"]
    return books
