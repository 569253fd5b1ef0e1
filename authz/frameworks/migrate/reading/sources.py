"""The text of what is to be checked: modules by name, files and directories. Nothing is imported."""

from __future__ import annotations

import io
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from authz.errors import UsageError

SKIPPED: Final = {"node_modules", "site-packages", "__pycache__"}


@dataclass(frozen=True, slots=True)
class Source:
    """A file's name, as findings give it, and its text; and, if it is of a package, which modules are beside it."""

    name: str
    text: str
    beside: frozenset[str] = frozenset()


def read(thing: Source | Path | str, directory: str | Path = ".") -> list[Source]:
    """The sources of one thing: a file, all files of a directory or a package, or a source as it is.

    Raises:
        UsageError: there is nothing of that name, or it holds no Python.
    """
    if isinstance(thing, Source):
        return [thing]
    path = _path(thing, Path(directory))
    files = [path] if path.is_file() else list(_below(path))
    if not files:
        raise UsageError(f"{path} has no Python files", "Name a directory, a file or a module that has.")
    return [Source(str(file), _text(file), _beside(file, Path(directory))) for file in files]


def _path(thing: Path | str, directory: Path) -> Path:
    name = str(thing).partition(":")[0] if isinstance(thing, str) else ""
    for place in (Path(thing), directory / thing, *_modules(name, directory)):
        if place.exists():
            return place
    raise UsageError(
        f"{thing} is no file, no directory and no module",
        f"Modules are looked for in {directory.absolute()} and on sys.path; name the directory with --application.",
    )


def _modules(name: str, directory: Path) -> Iterator[Path]:
    """Where a module of a dotted name may be."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return
    for root in (directory, *map(Path, sys.path)):
        yield root.joinpath(*parts).with_suffix(".py")
        yield root.joinpath(*parts)


def _below(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.rglob("*.py")):
        inside = path.relative_to(directory).parts
        if not any(part in SKIPPED or part.startswith(".") for part in inside):
            yield path


def _beside(file: Path, directory: Path) -> frozenset[str]:
    """Modules of a file's package that only Python 2 finds without a dot: there is none of that name elsewhere."""
    package = file.parent
    if not (package / "__init__.py").exists() or package.resolve() == directory.resolve():
        return frozenset()
    names = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    elsewhere = {name for name in names if any(path.exists() for path in (directory / name, directory / f"{name}.py"))}
    return frozenset(names - elsewhere - sys.stdlib_module_names)


def _text(file: Path) -> str:
    """The text in the encoding that the file says; any byte is a character if that does not fit."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", "Check its permissions.") from error
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        text = raw.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        text = raw.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")
