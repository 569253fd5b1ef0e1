"""What is left of descriptors when one RPC is cut out of them."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from authz.model.service import Rpc
from authz.xds.rpc.closure import Closures
from harness.grpc_library import LIBRARY, descriptors, operations
from harness.grpc_protos import Messages, compiled

ERRORS = "google/rpc/error_details.proto"


def cut(rpc: Rpc, given: bytes = b"") -> FileDescriptorSet:
    return FileDescriptorSet.FromString(Closures(given or descriptors()).of(rpc))


def test_only_the_method_and_what_it_is_made_of_stay() -> None:
    files = {file.name: file for file in cut(Rpc(LIBRARY, "GetShelf")).file}

    assert set(files) >= {"library/v1/library.proto", ERRORS}
    assert "google/protobuf/struct.proto" not in files
    library = files["library/v1/library.proto"]
    assert [one.name for one in library.message_type] == ["Shelf", "ShelfRequest"]
    assert [one.name for one in library.enum_type] == ["Genre"]
    assert [[method.name for method in service.method] for service in library.service] == [["GetShelf"]]


@pytest.mark.parametrize("rpc", sorted({one.rpc for one in operations() if one.rpc}, key=str), ids=str)
def test_every_cut_is_a_complete_descriptor_set(rpc: Rpc) -> None:
    """Its files build in their order, and mean the same messages."""
    before, after = Messages(descriptors()), Messages(Closures(descriptors()).of(rpc))

    now = after.pool.FindServiceByName(rpc.service).FindMethodByName(rpc.method)
    was = before.pool.FindServiceByName(rpc.service).FindMethodByName(rpc.method)
    assert now.input_type.fields_by_name.keys() == was.input_type.fields_by_name.keys()
    assert now.output_type.fields_by_name.keys() == was.output_type.fields_by_name.keys()


def test_types_come_from_where_they_are() -> None:
    """Through public imports, out of messages inside messages, and from files without a package."""
    given = compiled({
        "a.proto": 'syntax = "proto3"; message Outer { message Inner { enum Kind { A = 0; } Kind kind = 1; } }',
        "b.proto": 'syntax = "proto3"; package b; import public "a.proto"; message Unused {}',
        "c.proto": (
            'syntax = "proto2"; package c; import "b.proto";'
            "message Asked { optional .Outer.Inner inner = 1; optional Asked again = 2; extensions 100 to 200;"
            " extend Asked { optional string more = 100; } }"
            "service S { rpc M(Asked) returns (.Outer); rpc N(b.Unused) returns (Asked); }"
        ),
    })  # fmt: skip
    files = {file.name: file for file in cut(Rpc("c.S", "M"), given).file}

    assert [*files["c.proto"].dependency] == ["a.proto"]
    assert "b.proto" not in files
    Messages(Closures(given).of(Rpc("c.S", "M")))


def test_an_any_may_hold_everything() -> None:
    text = (
        'syntax = "proto3"; package d; import "google/protobuf/any.proto"; message Held {}'
        "message Asked { google.protobuf.Any held = 1; } service S { rpc M(Asked) returns (Asked); }"
    )
    files = {file.name: file for file in cut(Rpc("d.S", "M"), compiled({"d.proto": text})).file}

    assert [one.name for one in files["d.proto"].message_type] == ["Held", "Asked"]


def test_what_is_not_there_leaves_nothing() -> None:
    assert Closures(descriptors()).of(Rpc(LIBRARY, "Nope")) == b""
    assert Closures(descriptors()).of(Rpc("library.v1.Nope", "GetShelf")) == b""
