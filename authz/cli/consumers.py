"""`authz consumers`: who is counted, made, suspended, deleted and brought back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from authz.cli.options import Group, data_dir_option, json_option, opened
from authz.model.auth import Consumer, ConsumerKind
from authz.settings import Settings

if TYPE_CHECKING:
    from authz.store.base import Store


@click.group(cls=Group)
def consumers() -> None:
    """Manage who is counted: what keys belong to."""


name_argument = click.argument("name")


@consumers.command("list", examples=("authz consumers list", "authz consumers list --json"))
@json_option
@data_dir_option
def list_(as_json: bool, settings: Settings) -> None:
    """List consumers by name, deleted ones included."""
    from authz.admin.consumers import list_consumers
    from authz.cli import screen

    with opened(settings) as store:
        found = list_consumers(store)
    if as_json:
        screen.print_json([_json(consumer) for consumer in found])
        return
    rows = [(c.name, c.number, c.kind.value, c.status.value) for c in found]
    screen.print_table(("name", "number", "kind", "status"), rows, empty="no consumers")


@consumers.command(examples=("authz consumers create acme", "authz consumers create acme --number 4711 --kind app"))
@name_argument
@click.option("--number", type=int, metavar="NUMBER", help="What backends see; none: the next free one.")
@click.option(
    "--kind",
    type=click.Choice([kind.value.lower() for kind in ConsumerKind], case_sensitive=False),
    default=ConsumerKind.PROJECT.value.lower(),
    help="What it is.  [project]",
)
@json_option
@data_dir_option
def create(name: str, number: int | None, kind: str, as_json: bool, settings: Settings) -> None:
    """Make a consumer; `authz keys create` makes one too if there is none."""
    from authz.admin.consumers import create as make

    with opened(settings) as store:
        made = make(store, name, kind=ConsumerKind(kind.upper()), number=number, now=time.time())
    _show(made, as_json=as_json)


@consumers.command(examples=("authz consumers suspend acme",))
@name_argument
@json_option
@data_dir_option
def suspend(name: str, as_json: bool, settings: Settings) -> None:
    """Refuse a consumer's calls until it is activated again."""
    from authz.admin.consumers import suspend as verb

    _change(verb, name, settings, as_json=as_json)


@consumers.command(examples=("authz consumers activate acme",))
@name_argument
@json_option
@data_dir_option
def activate(name: str, as_json: bool, settings: Settings) -> None:
    """Let a suspended or deleted consumer call again."""
    from authz.admin.consumers import activate as verb

    _change(verb, name, settings, as_json=as_json)


@consumers.command(examples=("authz consumers delete acme",))
@name_argument
@json_option
@data_dir_option
def delete(name: str, as_json: bool, settings: Settings) -> None:
    """Refuse a consumer's calls for good.

    Its name and number are not given to others; `authz consumers activate` brings it back.
    """
    from authz.admin.consumers import delete as verb

    _change(verb, name, settings, as_json=as_json)


def _change(verb: Callable[[Store, str], Consumer], name: str, settings: Settings, *, as_json: bool) -> None:
    with opened(settings) as store:
        _show(verb(store, name), as_json=as_json)


def _json(consumer: Consumer) -> dict[str, Any]:
    return {
        "name": consumer.name,
        "number": consumer.number,
        "kind": consumer.kind.value,
        "status": consumer.status.value,
    }


def _show(consumer: Consumer, *, as_json: bool) -> None:
    from authz.cli import screen

    (screen.print_json if as_json else screen.print_facts)(_json(consumer))
