"""`authz explain`: why a call would pass or fail."""

from __future__ import annotations

import click

from authz.cli.options import Command, json_option, settings_options
from authz.settings import Settings


@click.command(
    cls=Command,
    examples=("authz explain GET /v1/shelves",),
)
@click.argument("method")
@click.argument("target", metavar="PATH|URL")
@json_option
@settings_options("data_dir", only=())
def explain(method: str, target: str, as_json: bool, settings: Settings) -> int:
    """Say why a call would pass or fail.

    Tells which operation it reaches and what that asks for.
    """
    return 0
