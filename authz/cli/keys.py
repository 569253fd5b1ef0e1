"""Who calls, and how much: `authz keys`, `authz consumers`, `authz quota`."""

from __future__ import annotations

import click

from authz.cli.options import Duration, Group, data_dir_option, json_option
from authz.settings import Settings


@click.group(cls=Group)
def keys() -> None:
    """Make, show and revoke API keys."""


@click.group(cls=Group)
def consumers() -> None:
    """Manage who is counted: what keys belong to."""


@click.group(cls=Group)
def quota() -> None:
    """Give single consumers limits of their own."""


# -- keys -----------------------------------------------------------------------------------------------------


@keys.command(
    examples=(
        "authz keys create --consumer acme",
        "authz keys create --consumer acme --service shop.example --expires 30d --allow-ip 10.0.0.0/8",
        "authz keys create --consumer acme --import - < old-key.txt",
    )
)
@click.option("--consumer", required=True, metavar="NAME", help="Whose key it is; made if there is none of this name.")
@click.option("--service", "services", multiple=True, metavar="HOST", help="A service that the key opens; none: all.")
@click.option("--name", default="", metavar="TEXT", help="What lists call the key.")
@click.option("--import", "imported", metavar="KEY", help="Take over this key instead of making one; - reads it.")
@click.option(
    "--expires", type=Duration(), metavar="DURATION", help="When it stops working: 90s, 12h, 30d; none: never."
)
@click.option("--allow-ip", "ips", multiple=True, metavar="CIDR", help="Only callers from here.")
@click.option("--allow-referrer", "referrers", multiple=True, metavar="PATTERN", help="Only pages that match.")
@click.option("--allow-android", "android", multiple=True, metavar="PACKAGE=SHA1", help="Only this Android app.")
@click.option("--allow-ios", "bundles", multiple=True, metavar="BUNDLE", help="Only this iOS app.")
@click.option("--api-target", "targets", multiple=True, metavar="HOST[=METHOD,...]", help="Only these methods.")
@json_option
@data_dir_option
def create(
    consumer: str,
    services: tuple[str, ...],
    name: str,
    imported: str | None,
    expires: float | None,
    as_json: bool,
    settings: Settings,
    **restrictions: tuple[str, ...],
) -> None:
    """Make a key, or import one, and print it: it is kept nowhere and cannot be shown again.

    The key alone goes to standard output, so that a script can take it.
    """
