"""What is live: `authz deploy`, `authz configs`, `authz rollouts`."""

from __future__ import annotations

from pathlib import Path

import click

from authz.cli.options import (
    Command,
    Group,
    data_dir_option,
    files_argument,
    force_option,
    json_option,
    service_option,
)
from authz.settings import Settings


@click.command(cls=Command, examples=("authz deploy openapi.yaml", "authz deploy openapi.yaml --no-wait --json"))
@files_argument
@service_option
@force_option
@click.option("--wait/--no-wait", default=True, help="Wait until every running gateway serves it.  [on]")
@json_option
@data_dir_option
def deploy(files: tuple[Path, ...], service: str, force: bool, wait: bool, as_json: bool, settings: Settings) -> int:
    """Make FILEs live on the running gateways.

    Nothing restarts and no request is dropped. Prints what changed and `live`, or Envoy's own words if it refuses; then what was live before stays live and the
    exit code is 1.
    """
    return 0


@click.group(cls=Group)
def configs() -> None:
    """Look at the configs that were deployed."""


@click.group(cls=Group)
def rollouts() -> None:
    """Say which configs are live, and in which shares."""
