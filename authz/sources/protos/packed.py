"""A descriptor set as a text, so that it is kept, shown and compared like any other document.

The text is one line that says what it is and which of its files were asked for, then the set in base64. What is in
the set is not judged before it is read: a file on disk and a text from a store are then refused in the same words.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

from authz.model.service import SourceText
from authz.sources.document import MAX_BYTES, PACKED
from authz.sources.lint import Findings
from authz.sources.syntax.tree import SyntaxFault

_HINT = "Make one with 'protoc --include_imports --include_source_info --descriptor_set_out=api.pb ...'."


@dataclass(frozen=True, slots=True)
class Packed:
    """A descriptor set that was read. `mains` are the files that were asked for; empty where nobody said which."""

    source: str
    mains: tuple[str, ...]
    files: tuple[FileDescriptorProto, ...]

    def shown(self, name: str) -> str:
        """What a user calls a file of the set."""
        return self.source if self.mains == (name,) else name


def pack(descriptors: bytes, mains: Sequence[str] = ()) -> str:
    """A serialised FileDescriptorSet as a text."""
    return f"{PACKED}{json.dumps(list(mains))}\n{base64.encodebytes(descriptors).decode()}"


def unpack(source: SourceText, findings: Findings) -> Packed | None:
    """The descriptor set in a text, or None with an error among the findings."""
    try:
        mains, files = _read(source.text)
    except SyntaxFault as fault:
        findings.add(fault.code, source.file, fault.line, fault.message, fault.hint)
        return None
    return Packed(source.file, mains, files)


def _read(text: str) -> tuple[tuple[str, ...], tuple[FileDescriptorProto, ...]]:
    if len(text) > MAX_BYTES:
        message = f"the descriptor set takes more than {MAX_BYTES // 1_000_000} MB as a text"
        raise SyntaxFault("file-too-large", 0, message, "Leave out files, comments, or source info.")
    head, _, body = text.partition("\n")
    try:
        mains = json.loads(head.removeprefix(PACKED))
        files = tuple(FileDescriptorSet.FromString(base64.b64decode(body)).file)
    except (ValueError, DecodeError, RecursionError):
        raise _fault("this is no serialised FileDescriptorSet") from None
    if not files:
        raise _fault("the descriptor set is empty")
    known = {file.name for file in files}
    if "" in known or not all(_is_named(file) for file in files):
        raise _fault("this is no serialised FileDescriptorSet: it has names that are empty or no text")
    if not isinstance(mains, list) or not all(isinstance(main, str) and main in known for main in mains):
        raise _fault("the descriptor set does not have the files that it was made for")
    return tuple(mains), files


def _is_named(file: FileDescriptorProto) -> bool:
    """Whether names are text. Descriptors are proto2, where a string may be any bytes."""
    methods = [method for service in file.service for method in service.method]
    names = [file.name, *file.dependency, *(service.name for service in file.service), *(one.name for one in methods)]
    is_named = isinstance(file.package, str) and all(isinstance(name, str) and name for name in names)
    return is_named and all(isinstance(name, str) for name in _json_names(file.message_type))


def _json_names(messages: Iterable[DescriptorProto]) -> Iterator[object]:
    """The names in JSON of all fields: whether those in protos are names is judged where files are put together."""
    for message in messages:
        yield from (field.json_name for field in message.field)
        yield from _json_names(message.nested_type)


def _fault(message: str) -> SyntaxFault:
    return SyntaxFault("descriptor-invalid", 0, message, _HINT)
