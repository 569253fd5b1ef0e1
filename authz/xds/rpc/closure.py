"""Descriptors cut down to what one RPC needs: its method, its messages, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from authz.model.service import Rpc

ANY = ".google.protobuf.Any"
BODY = ".google.api.HttpBody"
"""It has fields of that type, but is no JSON."""
ERRORS = "google/rpc/"
"""Where the types of errors' details are: no method names them, and any may answer with them."""


class Closures:
    """A descriptor set, ready to be cut. Types go by their full names with a leading dot, as fields name them."""

    def __init__(self, descriptors: bytes) -> None:
        self._files = FileDescriptorSet.FromString(descriptors).file
        self._by_rpc: dict[Rpc, bytes] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._outermost: dict[str, str] = {}
        self._messages: dict[str, DescriptorProto] = {}
        for number, file in enumerate(self._files):
            for index, one in enumerate([*file.message_type, *file.enum_type]):
                name = _full(file, one.name)
                self._places[name] = number, index
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

    @cached_property
    def _methods(self) -> dict[tuple[str, str], _Method]:
        return {
            (_full(file, service.name)[1:], method.name): _Method(index, service, method)
            for index, file in enumerate(self._files)
            for service in file.service
            for method in service.method
        }

    def of(self, rpc: Rpc) -> bytes:
        """The descriptor set of one RPC, imports first; empty if there is no such method."""
        if rpc not in self._by_rpc:
            found = self._methods.get((rpc.service, rpc.method))
            self._by_rpc[rpc] = self._set(found) if found else b""
        return self._by_rpc[rpc]

    def _set(self, method: _Method) -> bytes:
        types: dict[int, list[int]] = {method.file: []}
        for name in self._reachable(method.method):
            file, index = self._places[name]
            types.setdefault(file, []).append(index)
        cut = FileDescriptorSet()
        for file in sorted(types):
            cut.file.append(self._cut(self._files[file], sorted(types[file]), method if method.file == file else None))
        return bytes(cut.SerializeToString(deterministic=True))

    def _reachable(self, method: MethodDescriptorProto) -> set[str]:
        """The outermost types that a method's messages are made of. An Any may hold each that there is."""
        mine = self._followed({self._outermost[method.input_type], self._outermost[method.output_type]})
        anything = any(ANY in _used(self._messages[name]) for name in mine - {BODY} if name in self._messages)
        return set(self._places) if anything else self._errors | mine

    @cached_property
    def _errors(self) -> set[str]:
        errors = {number for number, file in enumerate(self._files) if file.name.startswith(ERRORS)}
        return self._followed({name for name, (file, _) in self._places.items() if file in errors})

    def _followed(self, todo: set[str]) -> set[str]:
        found: set[str] = set()
        while todo:
            name = todo.pop()
            found.add(name)
            if name in self._messages:
                todo |= {self._outermost[one] for one in _used(self._messages[name])} - found
        return found

    def _cut(self, file: FileDescriptorProto, types: list[int], method: _Method | None) -> FileDescriptorProto:
        """A file with some of its types (messages are counted first) and one method at most; imports what it uses."""
        count = len(file.message_type)
        cut = FileDescriptorProto(
            name=file.name, package=file.package, options=file.options,
            message_type=[file.message_type[index] for index in types if index < count],
            enum_type=[file.enum_type[index - count] for index in types if index >= count],
        )  # fmt: skip
        for field in ("syntax", "edition"):
            if file.HasField(field):
                setattr(cut, field, getattr(file, field))
        used = {name for message in cut.message_type for name in _used(message)}
        if method:
            cut.service.add(name=method.service.name, options=method.service.options).method.append(method.method)
            used |= {method.method.input_type, method.method.output_type}
        for message in cut.message_type:
            _without_extensions(message)
        homes = {self._files[self._places[self._outermost[name]][0]].name for name in used}
        cut.dependency.extend(sorted(homes - {file.name}))
        return cut


class _Method(NamedTuple):
    file: int
    service: ServiceDescriptorProto
    method: MethodDescriptorProto


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
