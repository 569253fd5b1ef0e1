"""Descriptors cut down to what one RPC needs: its method, its messages, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from authz.model.service import Rpc

ANY = ".google.protobuf.Any"
ERRORS = "google/rpc/"
"""Where the types of errors' details are: no method names them, and any may answer with them."""


class Closures:
    """A descriptor set, ready to be cut. Types go by their full names with a leading dot, as fields name them."""

    def __init__(self, descriptors: bytes) -> None:
        self._files = FileDescriptorSet.FromString(descriptors).file
        self._file_of: dict[str, str] = {}
        self._outermost: dict[str, str] = {}
        self._messages: dict[str, DescriptorProto] = {}
        for file in self._files:
            for one in (*file.enum_type, *file.message_type):
                name = _full(file, one.name)
                self._file_of[name] = file.name
                self._outermost.update((inner, name) for inner in _names(name, one))
            self._messages.update((_full(file, one.name), one) for one in file.message_type)

    @cached_property
    def bindings(self) -> dict[str, bytes]:
        """Every method's options, the paths that it is bound to among them, by its full name."""
        return {
            f"{_full(file, service.name)}.{method.name}": method.options.SerializeToString(deterministic=True)
            for file in self._files
            for service in file.service
            for method in service.method
        }

    def of(self, rpc: Rpc) -> bytes:
        """The descriptor set of one RPC, imports first; empty if there is no such method."""
        found = self._method(rpc)
        if found is None:
            return b""
        home, method = found
        types = self._reachable(method)
        kept = (self._cut(file, types, rpc if file.name == home else None) for file in self._files)
        cut = FileDescriptorSet(file=[file for file in kept if file is not None])
        return bytes(cut.SerializeToString(deterministic=True))

    def _method(self, rpc: Rpc) -> tuple[str, MethodDescriptorProto] | None:
        for file in self._files:
            for service in file.service:
                if _full(file, service.name) == f".{rpc.service}":
                    return next(((file.name, one) for one in service.method if one.name == rpc.method), None)
        return None

    def _reachable(self, method: MethodDescriptorProto) -> set[str]:
        """The outermost types that a method's messages are made of. An Any may hold each that there is."""
        mine = self._followed({self._outermost[method.input_type], self._outermost[method.output_type]})
        return set(self._file_of) if ANY in mine else self._errors | mine

    @cached_property
    def _errors(self) -> set[str]:
        return self._followed({name for name, file in self._file_of.items() if file.startswith(ERRORS)})

    def _followed(self, todo: set[str]) -> set[str]:
        found: set[str] = set()
        while todo:
            name = todo.pop()
            found.add(name)
            if name in self._messages:
                todo |= {self._outermost[one] for one in _used(self._messages[name])} - found
        return found

    def _cut(self, file: FileDescriptorProto, types: set[str], rpc: Rpc | None) -> FileDescriptorProto | None:
        """A file without what is not wanted; it imports what it then uses."""
        messages = [one for one in file.message_type if _full(file, one.name) in types]
        enums = [one for one in file.enum_type if _full(file, one.name) in types]
        if not (messages or enums or rpc):
            return None
        cut = FileDescriptorProto(
            name=file.name, package=file.package, syntax=file.syntax, options=file.options,
            message_type=messages, enum_type=enums,
        )  # fmt: skip
        if file.HasField("edition"):
            cut.edition = file.edition
        used = {name for message in messages for name in _used(message)}
        for service in file.service if rpc else ():
            for method in service.method:
                if rpc and (_full(file, service.name), method.name) == (f".{rpc.service}", rpc.method):
                    cut.service.add(name=service.name, options=service.options).method.append(method)
                    used |= {method.input_type, method.output_type}
        for message in cut.message_type:
            _without_extensions(message)
        cut.dependency.extend(sorted({self._file_of[self._outermost[one]] for one in used} - {file.name}))
        return cut


def _full(file: FileDescriptorProto, name: str) -> str:
    return f".{file.package}.{name}" if file.package else f".{name}"


def _names(name: str, one: object) -> Iterator[str]:
    """A type's name and those of all types in it."""
    yield name
    if isinstance(one, DescriptorProto):
        yield from (f"{name}.{enum.name}" for enum in one.enum_type)
        for inner in one.nested_type:
            yield from _names(f"{name}.{inner.name}", inner)


def _used(message: DescriptorProto) -> Iterator[str]:
    """The types of a message's fields and of those of the messages in it."""
    yield from (field.type_name for field in message.field if field.type_name)
    for inner in message.nested_type:
        yield from _used(inner)


def _without_extensions(message: DescriptorProto) -> None:
    """JSON cannot name them, and what they extend may be gone."""
    del message.extension[:]
    for inner in message.nested_type:
        _without_extensions(inner)
