"""Texts as documents: how large one may be, what it is, and where in it a finding stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authz.errors import UsageError
from authz.model.service import SourceText
from authz.sources.lint import Findings
from authz.sources.syntax import json_tree, yaml_tree
from authz.sources.syntax.tree import Map, SyntaxFault, kind

MAX_BYTES = 10_000_000
_MEGABYTES = MAX_BYTES // 1_000_000
PACKED = "%authz-descriptor-set 1 "
"""How the text of a descriptor set begins (`protos.packed`); no document of another kind does."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document, and where its findings go."""

    file: str
    text: str
    root: Map
    findings: Findings

    def line_of(self, mapping: Map, key: str) -> int:
        """The line of a key of one of the document's mappings."""
        return mapping.line_of(key, self.text)

    def report(self, code: str, line: int, message: str, hint: str = "") -> None:
        """Remember a finding in this document."""
        self.findings.add(code, self.file, line, message, hint)


def read_bytes(path: Path) -> bytes:
    """What a file holds.

    Raises:
        UsageError: it is missing, is a directory, cannot be read, or is too large.
    """
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a directory", "Name the documents in it one by one.")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist", "Check the spelling and the directory you are in.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be read: {reason}", "Check its permissions.") from None
    if len(raw) > MAX_BYTES:
        raise UsageError(f"{path} is larger than {_MEGABYTES} MB", "Split the API into several documents.")
    return raw


def is_packed(text: str) -> bool:
    """Whether a text is a descriptor set."""
    return text.startswith(PACKED)


def parse(source: SourceText, findings: Findings) -> Document | None:
    """The document in a text, or None with an error among the findings. Whatever the text, nothing else happens."""
    text = source.text.removeprefix("\ufeff")
    try:
        root, repeated = _tree(text)
    except SyntaxFault as fault:
        findings.add(fault.code, source.file, fault.line, fault.message, fault.hint)
        return None
    for key, line in repeated:
        findings.add("duplicate-key", source.file, line, f"'{key}' stands in its mapping twice", "Remove one of them.")
    return Document(source.file, text, root, findings)


def _tree(text: str) -> tuple[Map, list[tuple[str, int]]]:
    if len(text) > MAX_BYTES:
        raise SyntaxFault("file-too-large", 0, f"the document is larger than {_MEGABYTES} MB", "Split it.")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise SyntaxFault("file-not-text", line, "there is a NUL character here", "Give a YAML or JSON text file.")
    if not text.strip():
        raise SyntaxFault("file-empty", 0, "the file is empty", "Write an OpenAPI document into it.")
    root, repeated = _json_or_yaml(text)
    if not isinstance(root, Map):
        message = f"the document is {kind(root)}, not a mapping"
        raise SyntaxFault("not-a-mapping", 1, message, "Begin it with 'openapi:' or 'swagger:'.")
    return root, repeated


def _json_or_yaml(text: str) -> tuple[Any, list[tuple[str, int]]]:
    if not text.lstrip().startswith("{"):
        return yaml_tree.read(text)
    try:
        return json_tree.read(text)
    except SyntaxFault as fault:
        # YAML's flow style starts with a brace too. If it is neither, JSON's complaint is the helpful one.
        try:
            return yaml_tree.read(text)
        except SyntaxFault:
            raise fault from None
