"""How callers may spell a field: by its name in the proto or by its name in JSON, at each step of a path of fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

from authz.model.service import Rpc


class Fields:
    """The fields of one descriptor set."""

    def __init__(self, descriptors: bytes) -> None:
        self._messages: dict[str, DescriptorProto] = {}
        self._requests: dict[tuple[str, str], str] = {}
        for file in FileDescriptorSet.FromString(descriptors).file:
            scope = f".{file.package}" if file.package else ""
            self._messages.update(_all(scope, file.message_type))
            for service in file.service:
                for method in service.method:
                    self._requests[f"{scope}.{service.name}"[1:], method.name] = method.input_type

    def spellings(self, rpc: Rpc, path: str) -> list[str]:
        """All that a query parameter may be called for the field of a request that is at `path` (`book.author`)."""
        kind = self._requests.get((rpc.service, rpc.method), "")
        found = [""]
        for step in path.split("."):
            field = self._field(kind, step)
            steps = _spellings(field) if field else (step,)
            found = [f"{before}.{name}" if before else name for before in found for name in steps]
            kind = field.type_name if field else ""
        return found

    def _field(self, message: str, spelling: str) -> FieldDescriptorProto | None:
        fields = self._messages[message].field if message in self._messages else ()
        named = next((field for field in fields if spelling in {field.name, field.json_name}), None)
        return named or next((field for field in fields if spelling in _spellings(field)), None)


def _all(scope: str, messages: Iterable[DescriptorProto]) -> Iterator[tuple[str, DescriptorProto]]:
    for message in messages:
        name = f"{scope}.{message.name}"
        yield name, message
        yield from _all(name, message.nested_type)


def _spellings(field: FieldDescriptorProto) -> tuple[str, ...]:
    name, json = field.name, field.json_name
    if not json and "_" in name:
        json = re.sub("_+(.?)", lambda match: match[1].upper(), name)
    return (name,) if json in {"", name} else (name, json)
