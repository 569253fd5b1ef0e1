"""protoc: .proto files in, descriptor sets out, one for each file that was asked for.

It runs in a process of its own, on copies of the sources: its complaints are then ours to show, and no directory's
name can be taken for an option. What Google's own protos import comes from the generated code that is installed.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from authz.errors import UsageError
from authz.sources.protos.imports import Sources, collect
from authz.sources.protos.packed import pack

_ASIDE = re.compile(r": warning: |^WARNING: |^[IW]\d{4} \d")
"""What protoc says beside its complaints: warnings, and what its logging library has to say of itself."""
_PATIENCE = 120.0  # seconds
_MOST_LINES = 20
_INSTALLED = re.compile(r"(?:google/(?:api|rpc|type|longrunning)|validate)/[a-z0-9_/]+\.proto\Z")
_COMPLAINT = re.compile(r"(?P<name>[^:]+):(?P<rest>(?:\d+:(?:\d+:)?)? .*)")


def compile_protos(paths: Sequence[Path]) -> dict[Path, str]:
    """The packed descriptor set of each .proto file, everything that it imports included.

    Raises:
        UsageError: protoc refuses them, with its own words.
    """
    sources = collect(paths, Path.cwd())
    known = {file.name: file for file in _protoc(sources).file}
    return {path: pack(_set(known, name), (name,)) for path, name in sources.mains.items()}


def _set(known: dict[str, FileDescriptorProto], main: str) -> bytes:
    """A file and what it imports, imports first. Where things stand is kept of the file itself only."""
    ordered: dict[str, FileDescriptorProto] = {}

    def add(name: str) -> None:
        if name not in ordered and name in known:
            for dependency in known[name].dependency:
                add(dependency)
            ordered[name] = known[name]

    add(main)
    chosen = FileDescriptorSet(file=ordered.values())
    for file in chosen.file:
        if file.name != main:
            file.ClearField("source_code_info")
    packed: bytes = chosen.SerializeToString(deterministic=True)
    return packed


def _protoc(sources: Sources) -> FileDescriptorSet:
    with tempfile.TemporaryDirectory(prefix="authz-protos-") as name:
        directory = Path(name)
        root, built, result = directory / "root", directory / "installed.pb", directory / "result.pb"
        for file, raw in sources.files.items():
            _write(root / file, raw)
        built.write_bytes(_installed(sources.missing).SerializeToString())
        arguments = [
            f"--descriptor_set_in={built}",
            f"-I{root}",
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={result}",
            *(str(root / name) for name in sorted(set(sources.mains.values()))),
        ]
        listing = directory / "arguments"
        listing.write_text("\n".join(arguments))
        _run(listing, sources)
        made = FileDescriptorSet()
        made.ParseFromString(result.read_bytes())
        return made


def _write(path: Path, raw: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    except OSError as error:
        raise UsageError(f"{path.name} cannot be compiled: {error.strerror}", "Give it a simpler name.") from None


def _run(listing: Path, sources: Sources) -> None:
    # -P: a directory that happens to be called grpc_tools is not the one that is meant.
    command = [sys.executable, "-P", "-m", "grpc_tools.protoc", f"@{listing}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)  # noqa: S603 - our own words
    except subprocess.TimeoutExpired:
        raise UsageError(f"protoc took more than {_PATIENCE:g} seconds", "Compile fewer files at once.") from None
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").replace(f"{listing.parent}/root/", "")
        lines = [_shown(line, sources) for line in told.splitlines() if line.strip() and not _ASIDE.search(line)]
        # What protoc lost its way at, it tells for every brace.
        lines = list(dict.fromkeys(lines))[:_MOST_LINES]
        hint = "Mend it. Imports are sought beside the file, above it, and in ./, ./protos and ./proto."
        raise UsageError("\n".join(lines) or f"protoc ended with {done.returncode}", hint)


def _shown(line: str, sources: Sources) -> str:
    """A complaint of protoc's with the file's name as the user wrote it."""
    match = _COMPLAINT.match(line)
    if match and match["name"] in sources.shown:
        return f"{sources.shown[match['name']]}:{match['rest']}"
    return line


def _installed(names: Iterable[str]) -> FileDescriptorSet:
    """Google's protos that no disk has: as the modules generated of them describe them."""
    found = FileDescriptorSet()
    seen: set[str] = set()
    waiting = [module.DESCRIPTOR for name in sorted(names) if (module := _generated(name))]
    while waiting:
        file = waiting.pop()
        if file.name not in seen:
            seen.add(file.name)
            file.CopyToProto(found.file.add())
            waiting += file.dependencies
    return found


def _generated(name: str) -> ModuleType | None:
    if not _INSTALLED.match(name):
        return None
    try:
        return importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    except ImportError:
        return None
