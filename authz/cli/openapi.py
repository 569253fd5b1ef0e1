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

    Files of several hosts make several services: a JSON list.
    """
    from authz.cli import screen
    from authz.sources import read_files, service_json

    texts = read_files(files)
    compiled = compiled_or_raise(texts, service)
    services = [service_json(config, texts) for config in compiled.configs]
    screen.print_json(services[0] if len(services) == 1 else services)


def compiled_or_raise(texts: Sequence[SourceText], service: str) -> Compiled:
    """What the texts mean; warnings go to standard error.

    Raises:
        DocumentError: lint found errors.
    """
    from authz.cli import screen
    from authz.sources import compile_texts

    compiled = compile_texts(texts, service=service)
    if compiled.errors:
        raise DocumentError(tuple(compiled.findings))
    screen.print_findings(compiled.warnings, err=True)
    return compiled
