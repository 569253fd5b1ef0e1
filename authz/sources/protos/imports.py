"""Where .proto files find what they import, and what each file is called by those that import it.

A file's name is never taken from the working directory while its own directories can tell it, so that the same
protos give the same descriptors wherever they are compiled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from authz.errors import UsageError
from authz.sources.document import read_bytes

_COMMENT = re.compile(rb'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.DOTALL)
_IMPORT = re.compile(rb'(?:^|[;}\s])import\s*(?:public\s|weak\s|option\s)?\s*(?:"([^"\n]+)"|\'([^\'\n]+)\')\s*;')
_PACKAGE = re.compile(rb"(?:^|[;}\s])package\s+([A-Za-z0-9_.]+)\s*;")
_HIGHEST = 12  # directories above a file
_MOST_FILES = 5000
_BESIDE = ("", "protos", "proto")


@dataclass(slots=True)
class Sources:
    """Every .proto file that a compilation needs. `files` are texts by the name they are imported by."""

    files: dict[str, bytes] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    mains: dict[Path, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)


def collect(paths: Sequence[Path], working: Path) -> Sources:
    """Read files, and what they import as far as it is on this disk.

    Raises:
        UsageError: a file cannot be read, or there are too many.
    """
    search = _Search(working)
    for path in paths:
        # A file that cannot be read is complained of by the name that it was given by.
        read_bytes(path)
    given = {_whole(path): path for path in paths}
    for path in given:
        search.follow(path, None)
    names = _distinct({path: search.name(path) for path in given})
    sources = Sources(missing=search.missing)
    for name, path in [*search.found.items(), *((name, path) for path, name in names.items())]:
        sources.files[name] = search.texts[path].raw
        sources.shown[name] = str(given[path]) if path in given else _near(path, working)
    sources.mains = {path: names[_whole(path)] for path in paths}
    return sources


@dataclass(frozen=True, slots=True)
class _Text:
    raw: bytes
    imports: tuple[str, ...]
    package: str


class _Search:
    """Follows imports. `found` has the disk's file for each name that something imports."""

    def __init__(self, working: Path) -> None:
        self.working = working
        self.texts: dict[Path, _Text] = {}
        self.found: dict[str, Path] = {}
        self.missing: set[str] = set()
        self.roots: dict[Path, Path] = {}

    def follow(self, path: Path, root: Path | None) -> None:
        """Read a file and everything behind it. `root` is the directory that its name is relative to, if known."""
        waiting = [(path, root)]
        while waiting:
            path, root = waiting.pop()
            if path in self.texts:
                continue
            if len(self.texts) >= _MOST_FILES:
                raise UsageError(f"{path} and others: more than {_MOST_FILES} .proto files", "Compile fewer at once.")
            self.texts[path] = text = _text(path)
            for name in text.imports:
                place = self.place(path, root, name)
                if place is None:
                    self.missing.add(name)
                    continue
                found = _whole(place / name)
                # A file's own name follows from a directory that it shares with what it imports.
                if path.is_relative_to(place):
                    self.roots.setdefault(path, place)
                if self.found.setdefault(name, found) == found:
                    waiting.append((found, place))

    def place(self, importer: Path, root: Path | None, name: str) -> Path | None:
        """The directory that an import is relative to."""
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            return None
        return next((place for place in self.places(importer, root, name) if (place / name).is_file()), None)

    def places(self, importer: Path, root: Path | None, name: str) -> Iterator[Path]:
        yield importer.parent
        if root:
            yield root
        yield self.package_root(importer)
        if "/" in name:
            # A bare name is sought for beside its importer only: too many directories have a 'common.proto'.
            yield from importer.parents[1:_HIGHEST]
        yield from (self.working / beside for beside in _BESIDE)

    def package_root(self, path: Path) -> Path:
        """The directory above those that a package is named after: `protos` for `protos/a/v1/x.proto` of `a.v1`."""
        parts = tuple(self.texts[path].package.split(".")) if self.texts[path].package else ()
        above = path.parent
        if parts and above.parts[-len(parts) :] == parts:
            return Path(*above.parts[: -len(parts)])
        return above

    def name(self, path: Path) -> str:
        """What a file is imported by, or would be."""
        imported = sorted(name for name, found in self.found.items() if found == path)
        if imported:
            return imported[0]
        root = self.package_root(path)
        return path.relative_to(root if root != path.parent else self.roots.get(path, root)).as_posix()


def _whole(path: Path) -> Path:
    """The path from the root. A link stays one: what it imports lies beside it."""
    return Path(os.path.normpath(path.absolute()))


def _text(path: Path) -> _Text:
    raw = read_bytes(path)
    bare = _COMMENT.sub(lambda match: match[0] if match[0][:1] in b"\"'" else b" ", raw)
    names = [(one or other).decode("utf-8", "replace") for one, other in _IMPORT.findall(bare)]
    package = _PACKAGE.search(bare)
    return _Text(raw, tuple(dict.fromkeys(names)), package[1].decode() if package else "")


def _distinct(names: Mapping[Path, str]) -> dict[Path, str]:
    """Names that tell files apart: as many directories as it takes."""
    distinct = dict(names)
    for depth in range(2, _HIGHEST):
        seen: dict[str, list[Path]] = {}
        for path, name in distinct.items():
            seen.setdefault(name, []).append(path)
        same = [path for paths in seen.values() if len(paths) > 1 for path in paths]
        if not same:
            break
        distinct |= {path: PurePosixPath(*path.parts[1:][-depth:]).as_posix() for path in same}
    return distinct


def _near(path: Path, working: Path) -> str:
    return str(path.relative_to(working)) if path.is_relative_to(working) else str(path)
