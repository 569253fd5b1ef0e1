"""The files that a user names, as texts: documents as they are, protos and descriptor sets made into texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from authz.errors import UsageError
from authz.model.service import SourceText
from authz.sources.document import read_bytes

_PROTO = ".proto"
_DESCRIPTORS = (".pb", ".protoset", ".binpb", ".desc")


def read_files(paths: Sequence[Path]) -> tuple[SourceText, ...]:
    """The texts of files, in order. Protos and descriptor sets become texts that only `compile_texts` reads.

    Raises:
        UsageError: a file is missing, is a directory, cannot be read, is too large, is not UTF-8, or does not compile.
    """
    compiled = _compiled([path for path in paths if path.suffix == _PROTO])
    return tuple(SourceText(str(path), compiled[path] if path in compiled else _text(path)) for path in paths)


def _compiled(paths: Sequence[Path]) -> dict[Path, str]:
    """The texts of .proto files, which are compiled together: they may import one another."""
    if not paths:
        return {}
    # Protobuf is loaded by those who need it.
    from authz.sources.protos.compile import compile_protos

    return compile_protos(paths)


def _text(path: Path) -> str:
    raw = read_bytes(path)
    if path.suffix in _DESCRIPTORS:
        from authz.sources.protos.packed import pack

        return pack(raw)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        hint = f"Save the file as UTF-8. The names of descriptor sets end in {', '.join(_DESCRIPTORS)}."
        raise UsageError(f"{path}:{line}: this is not UTF-8 text", hint) from None
