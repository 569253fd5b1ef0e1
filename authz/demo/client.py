"""A client of the bookstore in gRPC: `python -m authz.demo.client HOST:PORT API_KEY`."""

from __future__ import annotations

import sys
from typing import Any

import grpc
from google.protobuf import empty_pb2, message_factory

from authz.demo.rpc import SERVICE, descriptors, documents


def main() -> int:
    """Print all shelves and the books of the first; the exit code is the RPC's status."""
    address, key = sys.argv[1:]
    shelves, book, wanted = _types("ListShelvesResponse", "Book", "StreamBooksRequest")
    credentials = (("x-api-key", key),)
    with grpc.insecure_channel(address) as channel:
        list_shelves = channel.unary_unary(
            f"/{SERVICE}/ListShelves", empty_pb2.Empty.SerializeToString, shelves.FromString
        )
        stream_books = channel.unary_stream(f"/{SERVICE}/StreamBooks", wanted.SerializeToString, book.FromString)
        try:
            for shelf in list_shelves(empty_pb2.Empty(), metadata=credentials).shelves:
                print(f"shelf {shelf.id}: {shelf.theme}")  # noqa: T201 - it is a command
            for each in stream_books(wanted(shelf=1), metadata=credentials):
                print(f"book {each.id}: {each.title}")  # noqa: T201
        except grpc.RpcError as error:
            print(f"{error.code()}: {error.details()}", file=sys.stderr)  # noqa: T201
            return int(error.code().value[0])
    return 0


def _types(*names: str) -> list[Any]:
    pool = descriptors(documents("")[0])
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bookstore.v1.{name}")) for name in names]


if __name__ == "__main__":
    sys.exit(main())
