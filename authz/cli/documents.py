"""What can be said of documents without running anything: `authz openapi` and `authz envoy`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from authz.cli.options import Group, files_argument, json_option, service_option, settings_options
from authz.errors import DocumentError
from authz.model.inventory import Inventory, LiveConfig, LiveService
from authz.model.service import SourceText
from authz.settings import Settings

if TYPE_CHECKING:
    from authz.sources import Compiled

_PLAIN_KEY = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)\Z)[A-Za-z_][A-Za-z0-9_]*", re.IGNORECASE)


@click.group(cls=Group)
def openapi() -> None:
    """Check OpenAPI files, and show what they mean."""


@openapi.command(examples=("authz openapi lint openapi.yaml", "authz openapi lint api/*.yaml --json"))
@files_argument
@service_option
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
@service_option
@json_option
def compile_(files: tuple[Path, ...], service: str, as_json: bool) -> None:  # noqa: ARG001 - it is JSON anyway
    """Print the service that FILEs describe as google.api.Service JSON.

    Files of several hosts make several services: a JSON list.
    """
    from authz.cli import screen
    from authz.sources import read_files, service_json

    texts = read_files(files)
    compiled = _compiled(texts, service)
    services = [service_json(config, texts) for config in compiled.configs]
    screen.print_json(services[0] if len(services) == 1 else services)


def _compiled(texts: Sequence[SourceText], service: str) -> Compiled:
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


# -- authz envoy ----------------------------------------------------------------------------------------------

format_option = click.option(
    "--format", "form", type=click.Choice(("yaml", "json")), default="yaml", help="How it is written.  [yaml]"
)
sidecar_option = click.option(
    "--sidecar", required=True, metavar="ADDRESS", help="Where `authz serve` answers Check: HOST:PORT or unix:PATH."
)


@click.group(cls=Group)
def envoy() -> None:
    """Print configuration for an Envoy that you run yourself."""


@envoy.command(
    examples=(
        "authz envoy config openapi.yaml --sidecar 127.0.0.1:9001 > envoy.yaml",
        "authz envoy config openapi.yaml --sidecar unix:/run/authz.sock --format json",
    )
)
@files_argument
@service_option
@sidecar_option
@format_option
@settings_options("data_dir", "backend", "port", "host")
def config(files: tuple[Path, ...], service: str, sidecar: str, form: str, settings: Settings) -> None:
    """Print a complete static bootstrap for FILEs.

    Its operations carry the ids of the configs that were deployed from the same FILEs (in --data-dir): the sidecar
    must know them to let a call pass, so deploy first.
    """
    from authz.sources import read_files
    from authz.xds import bootstrap
    from authz.xds.snapshot import build

    texts = read_files(files)
    services = tuple(
        LiveService(config.name, (LiveConfig(config),))
        for config in _with_ids(_compiled(texts, service).configs, texts)
    )
    snapshot = build(Inventory(0, services), settings)
    _print(bootstrap.static(snapshot, settings, sidecar=sidecar), form)


@envoy.command("bootstrap", examples=("authz envoy bootstrap --xds 127.0.0.1:9002 --sidecar 127.0.0.1:9001",))
@click.option("--xds", required=True, metavar="ADDRESS", help="Where `authz serve` serves ADS: HOST:PORT or unix:PATH.")
@sidecar_option
@click.option("--admin", default="127.0.0.1:9901", metavar="ADDRESS", help="Envoy's admin interface.  [127.0.0.1:9901]")
@click.option("--node-id", default="authz", metavar="ID", help="How Envoy introduces itself.  [authz]")
@format_option
def bootstrap_(xds: str, sidecar: str, admin: str, node_id: str, form: str) -> None:
    """Print a bootstrap that fetches everything else from `authz serve` over ADS."""
    from authz.xds import bootstrap

    _print(bootstrap.dynamic(Settings(), sidecar=sidecar, xds=xds, admin=admin, node_id=node_id), form)


def _print(document: Mapping[str, Any], form: str) -> None:
    from authz.cli import screen

    if form == "json":
        screen.print_json(document)
    else:
        print("\n".join(yaml_lines(document)))


def yaml_lines(value: Any, indent: str = "") -> Iterator[str]:
    """A mapping or list as block YAML. Keys and scalars are JSON, which YAML reads as it is; nothing is guessed."""
    items = value.items() if isinstance(value, Mapping) else ((None, item) for item in value)
    for key, item in items:
        head = f"{indent}- " if key is None else f"{indent}{key if _PLAIN_KEY.fullmatch(key) else json.dumps(key)}:"
        if not item or not isinstance(item, Mapping | list):
            yield f"{head.rstrip()} {json.dumps(item, ensure_ascii=False)}"
        elif key is None:
            first, *rest = yaml_lines(item, f"{indent}  ")
            yield head + first.strip()
            yield from rest
        else:
            yield head
            yield from yaml_lines(item, f"{indent}  ")
