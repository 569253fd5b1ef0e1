"""Protos compiled at test time, and their messages as classes; no generated file is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.api import annotations_pb2, httpbody_pb2
from google.protobuf import any_pb2, duration_pb2, empty_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_tools import protoc

_KNOWN = (
    any_pb2, annotations_pb2, duration_pb2, empty_pb2, error_details_pb2, httpbody_pb2, struct_pb2, timestamp_pb2,
    wrappers_pb2,
)  # fmt: skip


def compiled(sources: Mapping[str, str]) -> bytes:
    """The descriptor set of these files (name to text), imports first. Google's own protos can be imported."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for path, text in sources.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text)
        known = directory / "known.pb"
        known.write_bytes(_known().SerializeToString())
        where = [f"--proto_path={directory}", f"--descriptor_set_in={known}"]
        # What an error's details may be, no file needs to import.
        files = [*sources, error_details_pb2.DESCRIPTOR.name]
        assert (
            protoc.main(["protoc", *where, "--include_imports", f"--descriptor_set_out={directory}/all", *files]) == 0
        )
        return (directory / "all").read_bytes()


def _known() -> FileDescriptorSet:
    found: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            add(imported)
        found.setdefault(file.name, file)

    for module in _KNOWN:
        add(module.DESCRIPTOR)
    result = FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(result.file.add())
    return result


class Messages:
    """The message classes of a descriptor set, by full name."""

    def __init__(self, descriptors: bytes) -> None:
        self.pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(descriptors).file:
            self.pool.Add(file)

    def __getitem__(self, name: str) -> Any:
        return GetMessageClass(self.pool.FindMessageTypeByName(name))
