"""`authz openapi`: what is wrong in documents, and what they mean. Nothing is stored and nothing runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from authz.cli.options import Group, files_argument, host_option, json_option
from authz.errors import DocumentError
from authz.model.service import SourceText

if TYPE_CHECKING:
    from authz.sources import Compiled


@click.group(cls=Group)
def openapi() -> None:
    """Check OpenAPI files, and show what they mean."""


@openapi.command(examples=("authz openapi lint openapi.yaml", "authz openapi lint api/*.yaml --json"))
@files_argument
@host_option
@json_option
def lint(files: tuple[Path, ...], service: str, as_json: bool) -> int:
    """Say what is wrong in FILEs, where, and what to write instead.

    Exits with 2 if there are errors; warnings alone exit with 0.
    """
    from authz.cli import screen
    from authz.sources import compile_texts, read_files

    compiled = compile_texts(read_files(files), service=service)
    if as_json:
        screen.print_json(
            {
                "findings": [screen.finding_json(finding) for finding in compiled.findings],
                "errors": len(compiled.errors),
                "warnings": len(compiled.warnings),
            }
        )
    else:
        screen.print_findings(compiled.findings)
        screen.console().print(screen.count(compiled.findings))
    return DocumentError.exit_code if compiled.errors else 0


@openapi.command("compile", examples=("authz openapi compile openapi.yaml > service.json",))
@files_argument
@host_option
@json_option
def compile_(files: tuple[Path, ...], service: str, as_json: bool) -> None:  # noqa: ARG001 - it is JSON anyway
    """Print the service that FILEs describe as google.api.Service JSON.

    All FILEs must describe one service.
    """
    from authz.cli import screen
    from authz.sources import compile_service, read_files, service_json

    texts = read_files(files)
    compiled = without_errors(compile_service(texts, service=service))
    screen.print_json(service_json(compiled.configs[0], texts))


def compiled_or_raise(texts: Sequence[SourceText], service: str) -> Compiled:
    """What the texts mean, service by service; warnings go to standard error.

    Raises:
        DocumentError: lint found errors.
    """
    from authz.sources import compile_texts

    return without_errors(compile_texts(texts, service=service))


def without_errors(compiled: Compiled) -> Compiled:
    """The same, with its warnings printed.

    Raises:
        DocumentError: lint found errors.
    """
    from authz.cli import screen

    if compiled.errors:
        raise DocumentError(tuple(compiled.findings))
    screen.print_findings(compiled.warnings, err=True)
    return compiled
