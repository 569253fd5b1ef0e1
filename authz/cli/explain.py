"""`authz explain`: why a call would pass or fail."""

from __future__ import annotations

import ipaddress
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authz.cli.options import Command, json_option, opened, settings_options
from authz.errors import UsageError
from authz.settings import Settings

if TYPE_CHECKING:
    from authz.admin.explain import Explanation

DECIDING = (
    "default_service",
    "backend",
    "backend_override",
    "normalize_path",
    "merge_slashes",
    "escaped_slashes",
    "colon_in_wildcards",
    "default_audience",
    "oidc_discovery",
    "clock_skew",
    "fetch_timeout",
)
"""The settings that change how a call is judged: give those that the gateway has."""


@click.command(
    cls=Command,
    examples=(
        "authz explain GET /v1/shelves",
        'authz explain POST "https://shop.example/v1/shelves?key=$KEY" --file openapi.yaml',
        'authz explain GET /v1/shelves --token "$TOKEN" --json',
        'authz explain gRPC /bookstore.v1.Bookstore/GetShelf --file bookstore.proto --file rules.yaml --key "$KEY"',
    ),
)
@click.argument("method")
@click.argument("target", metavar="PATH|URL")
@click.option("--service", metavar="HOST", default="", help="The service; needed when there are several and no URL.")
@click.option("--key", metavar="KEY", default="", help="An API key, put where the operation looks first.")
@click.option("--token", metavar="JWT", default="", help="A token, put where the operation looks first.")
@click.option("-H", "--header", "headers", metavar="NAME:VALUE", multiple=True, help="A header of the call.")
@click.option("--from", "address", metavar="IP", default="127.0.0.1", help="The caller's address.  [127.0.0.1]")
@click.option(
    "--file",
    "files",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Judge by this document, or by these: it may be given again.",
)
@json_option
@settings_options("data_dir", only=DECIDING)
def explain(
    method: str,
    target: str,
    service: str,
    key: str,
    token: str,
    headers: tuple[str, ...],
    address: str,
    files: tuple[Path, ...],
    as_json: bool,
    settings: Settings,
) -> int:
    """Say why a call would pass or fail.

    Tells which operation it reaches, what that asks for, and what the gateway would answer, without making the call.
    Judges by what was deployed (in --data-dir), or by FILEs. METHOD is gRPC for an RPC's own path; what a call's
    message holds is not judged. Exits with 1 if the call would fail.
    """
    from authz.admin.explain import Question
    from authz.admin.explain import explain as ask
    from authz.cli import screen
    from authz.sources import read_files

    named = dict(_header(header) for header in headers)
    method = "POST" if method.lower() == "grpc" else method
    question = Question(method, target, service, key, token, named, _address(address))
    with opened(settings) as store:
        found = ask(store, question, settings, now=time.time(), texts=read_files(files))
    if as_json:
        screen.print_json(_json(found, settings))
    else:
        _draw(found, settings)
    return 0 if found.passes else 1


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"'{text}' is no header", "Write NAME:VALUE, as in Referer:https://shop.example/")
    return name.strip().lower(), value.strip()


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise UsageError(f"'{text}' is no IP address", "Write the caller's, as in 192.0.2.7 or 2001:db8::7") from None


def _facts(found: Explanation, settings: Settings) -> dict[str, str]:
    """What the call reaches, in the words of the table of operations."""
    from authz.cli import screen

    match, config = found.match, found.config
    facts = {"service": config.name if config else "", "config": config.id if config else ""}
    facts["path"] = match.path if match else ""
    if config is not None and match is not None and match.operation is not None:
        row = screen.operation_row(config, match.operation, settings)
        facts |= {"operation": row["operation"], "template": f"{row['method']} {row['path']}"}
        facts |= {name: row[name] for name in ("guard", "quota", "backend", "deadline")}
    return facts | {"consumer": found.consumer}


def _json(found: Explanation, settings: Settings) -> dict[str, Any]:
    facts = _facts(found, settings)
    told = {"passes": found.passes, "status": found.status, "reason": found.reason, "message": found.sentence}
    return {**told, **facts, "allow": list(found.match.allow if found.match else ()), "notes": list(found.notes)}


def _draw(found: Explanation, settings: Settings) -> None:
    from authz.cli import screen

    screen.print_facts(_facts(found, settings))
    screen.print_outcome(passes=found.passes, text=found.sentence if found.passes else _denial(found))
    for note in found.notes:
        screen.print_note(note)


def _denial(found: Explanation) -> str:
    return f"{found.status} {found.reason}: {found.sentence}"
