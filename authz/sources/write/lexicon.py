"""What descriptors say, by full name: methods, their http rules and types, and the comments above everything."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

from authz.model.service import Rpc, SourceText
from authz.sources.document import is_packed
from authz.sources.lint import Findings
from authz.sources.protos.packed import unpack

_MESSAGE, _ENUM, _SERVICE = 4, 5, 6  # field numbers of FileDescriptorProto
_FIELD, _NESTED, _NESTED_ENUM, _ONEOF = 2, 3, 4, 8  # of DescriptorProto
_MEMBER = 2  # methods of a service, values of an enum
_ASIDE = re.compile(r"\(--.*?--\)", re.DOTALL)
"""What is between these is for those who maintain a proto, not for those who call it (AIP-192)."""

Path = tuple[int, ...]


class Lexicon:
    """The descriptors of a service, and the comments that texts have beside them."""

    def __init__(self, descriptors: bytes, texts: Iterable[SourceText]) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        self.rules: dict[str, http_pb2.HttpRule] = {}
        self.methods: dict[str, int] = {}
        self.files = tuple(FileDescriptorSet.FromString(descriptors).file)
        for file in self.files:
            self.pool.AddSerializedFile(file.SerializeToString())
            self.rules |= _rules(file)
            for name in _methods(file):
                self.methods[name] = len(self.methods)
        self.comments: dict[str, str] = {}
        for text in texts:
            packed = unpack(text, Findings()) if is_packed(text.text) else None
            for file in packed.files if packed else ():
                self.comments |= _comments(file)

    def method(self, rpc: Rpc) -> MethodDescriptor:
        """The descriptor of an RPC."""
        return self.pool.FindServiceByName(rpc.service).FindMethodByName(rpc.method)

    def place(self, selector: str) -> int:
        """The number of a method among all methods, in the order of the protos."""
        return self.methods.get(selector, len(self.methods))

    def bindings(self, selector: str) -> Sequence[http_pb2.HttpRule]:
        """The http rules of a method, the primary one first; none if it is called over gRPC only."""
        rule = self.rules.get(selector)
        return (rule, *rule.additional_bindings) if rule else ()

    def comment(self, name: str) -> str:
        """The comment above something, by full name; an enum's values are named below the enum. '' if it has none."""
        return self.comments.get(name, "")


def pattern(rule: http_pb2.HttpRule) -> tuple[str, str]:
    """Method and path of a rule."""
    kind = rule.WhichOneof("pattern")
    if kind == "custom":
        return rule.custom.kind.upper(), rule.custom.path
    return (kind.upper(), getattr(rule, kind)) if kind else ("", "")


def field(message: Descriptor, path: str) -> FieldDescriptor | None:
    """The field that a dotted path of proto names leads to."""
    *above, last = path.split(".")
    for name in above:
        found = message.fields_by_name.get(name)
        if found is None or found.message_type is None:
            return None
        message = found.message_type
    return message.fields_by_name.get(last)


def _methods(file: FileDescriptorProto) -> Iterator[str]:
    prefix = f"{file.package}." if file.package else ""
    return (f"{prefix}{service.name}.{method.name}" for service in file.service for method in service.method)


def _rules(file: FileDescriptorProto) -> dict[str, http_pb2.HttpRule]:
    prefix = f"{file.package}." if file.package else ""
    return {
        f"{prefix}{service.name}.{method.name}": method.options.Extensions[annotations_pb2.http]
        for service in file.service
        for method in service.method
        if method.options.HasExtension(annotations_pb2.http)
    }


def _comments(file: FileDescriptorProto) -> dict[str, str]:
    """The comments of a file by the full name of what they stand above, or behind."""
    locations = {
        tuple(one.path): one.leading_comments or one.trailing_comments for one in file.source_code_info.location
    }
    names = _names(file) if any(locations.values()) else ()
    return {name: text for path, name in names if (text := _clean(locations.get(path, "")))}


def _clean(comment: object) -> str:
    """A comment without the blanks before its lines; '' if it is no text (descriptors are proto2)."""
    if not isinstance(comment, str):
        return ""
    lines = textwrap.dedent(_ASIDE.sub("", comment).expandtabs(4)).strip().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def _names(file: FileDescriptorProto) -> Iterator[tuple[Path, str]]:
    package = f"{file.package}." if file.package else ""
    for index, service in enumerate(file.service):
        yield (_SERVICE, index), package + service.name
        for number, method in enumerate(service.method):
            yield (_SERVICE, index, _MEMBER, number), f"{package}{service.name}.{method.name}"
    for index, enum in enumerate(file.enum_type):
        yield from _enum(enum, (_ENUM, index), package + enum.name)
    for index, message in enumerate(file.message_type):
        yield from _message(message, (_MESSAGE, index), package + message.name)


def _message(message: DescriptorProto, path: Path, name: str) -> Iterator[tuple[Path, str]]:
    yield path, name
    for index, one in enumerate(message.field):
        yield (*path, _FIELD, index), f"{name}.{one.name}"
    for index, oneof in enumerate(message.oneof_decl):
        yield (*path, _ONEOF, index), f"{name}.{oneof.name}"
    for index, enum in enumerate(message.enum_type):
        yield from _enum(enum, (*path, _NESTED_ENUM, index), f"{name}.{enum.name}")
    for index, nested in enumerate(message.nested_type):
        yield from _message(nested, (*path, _NESTED, index), f"{name}.{nested.name}")


def _enum(enum: EnumDescriptorProto, path: Path, name: str) -> Iterator[tuple[Path, str]]:
    yield path, name
    for index, value in enumerate(enum.value):
        yield (*path, _MEMBER, index), f"{name}.{value.name}"
