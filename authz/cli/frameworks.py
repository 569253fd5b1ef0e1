"""`authz frameworks`; and decorated classes where documents are taken: another process writes theirs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

import click

from authz.cli.options import Group, json_option
from authz.errors import StateError, UsageError
from authz.model.service import SourceText

HOME = "localhost"
"""The service of classes that name no host, where none is given: they are tried out."""

_DOCUMENTS = frozenset({".yaml", ".yml", ".json", ".proto", ".pb", ".protoset", ".binpb", ".desc"})

_END_SECONDS = 2.0
"""How long a process may clean up when it has said what was asked; threads of its own may never end."""

application_option = click.option(
    "--application",
    metavar="DIR",
    default=Path(),
    type=click.Path(path_type=Path),
    help="Where MODULEs are looked for first.  [.]",
)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a command was given: texts, those of decorated classes among them, and the words that name these."""

    texts: tuple[SourceText, ...]
    words: tuple[str, ...]


def read_sources(files: Sequence[Path], service: str, application: Path) -> Sources:
    """The documents among `files` as they are, and those that `MODULE:CLASS` means as another process writes them.

    Raises:
        UsageError: a file cannot be read, or there is no API in a module.
    """
    from authz.sources import read_files

    words = tuple(str(file) for file in files if _is_module(file, application))
    texts = read_files([file for file in files if str(file) not in words])
    return Sources((*texts, *_written(words, service or HOME, application)), words)


def _is_module(file: Path, application: Path) -> bool:
    if file.suffix == ".py":
        where = f" --application {file.parent}" if file.parent != Path() else ""
        raise UsageError(f"{file} is no document", f"Name its module: {file.stem} or {file.stem}:CLASS{where}.")
    if file.suffix in _DOCUMENTS or (file.exists() and not (file / "__init__.py").exists()):
        return False
    from authz.frameworks.load.words import is_word

    word = str(file)
    if is_word(word) and ":" not in word and not PathFinder.find_spec(word.partition(".")[0], [*_places(application)]):
        remedy = f"Name a document, or MODULE:CLASS; modules are looked for in {application.absolute()} first."
        raise UsageError(f"there is neither a file nor a module '{word}'", remedy)
    return is_word(word)


def _places(application: Path) -> Sequence[str]:
    return str(application.absolute()), str(Path().absolute()), *sys.path


def _written(words: Sequence[str], hostname: str, application: Path) -> tuple[SourceText, ...]:
    if not words:
        return ()
    line = [
        # -P: the user's files are not in the way of our own modules, nor of Python's.
        sys.executable, "-P", "-m", "authz.frameworks", "write", *words,
        "--application", str(application), "--hostname", hostname, "--json",
    ]  # fmt: skip
    out, code = _first_line(line)
    said = json.loads(out) if out else {}
    if "error" in said:
        raise UsageError(said["error"], said["remedy"])
    if "documents" not in said:
        message = f"{', '.join(words)}: the process ended with exit code {code} before it had written"
        raise StateError(message, "Its output above says why.")
    return tuple(SourceText(one["file"], one["text"]) for one in said["documents"])


def _first_line(line: Sequence[str]) -> tuple[bytes, int]:
    """What a process says, and how it ended. Nothing of it lives on, whatever threads and processes it has started."""
    # Its standard input stays open as long as this process lives.
    with subprocess.Popen(  # noqa: S603 - this Python
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            out = process.stdout.readline() if process.stdout else b""
            return out, process.wait(_END_SECONDS if out else None)
        except subprocess.TimeoutExpired:
            return out, 0
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


# -- the commands -----------------------------------------------------------------------------------------------------


@click.group(cls=Group)
def frameworks() -> None:
    """Endpoints Frameworks: what old code needs to run here."""


@frameworks.command(
    examples=("authz frameworks check main.py services/", "authz frameworks check main --application src --json")
)
@click.argument("things", nargs=-1, required=True, metavar="MODULE|FILE|DIR...")
@application_option
@json_option
def check(things: tuple[str, ...], application: Path, as_json: bool) -> int:
    """List what needs attention in code that was written for Google's Endpoints library.

    Reads Python 2 and 3 and imports nothing. Errors keep the code from running, or from being safe; warnings tell
    what behaves differently here. Exits with 2 if there are errors; warnings alone exit with 0.
    """
    from authz.cli import screen
    from authz.frameworks import migrate
    from authz.model.findings import Severity

    found = migrate.check(things, application)
    errors = sum(finding.severity is Severity.ERROR for finding in found)
    if as_json:
        rows = [screen.finding_json(finding) for finding in found]
        screen.print_json({"findings": rows, "errors": errors, "warnings": len(found) - errors})
    else:
        screen.print_findings(found)
        screen.console().print(screen.count(found))
    return UsageError.exit_code if errors else 0
