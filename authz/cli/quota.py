"""`authz quota`: limits that single consumers have for themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from authz.cli.options import Group, data_dir_option, json_option, opened, service_option
from authz.model.quota import UNLIMITED
from authz.settings import Settings

if TYPE_CHECKING:
    from authz.admin.overrides import NamedOverride


@click.group(cls=Group)
def quota() -> None:
    """Give single consumers limits of their own."""


consumer_option = click.option("--consumer", required=True, metavar="NAME", help="Whose limit it is.")
metric_option = click.option("--metric", default="", metavar="NAME", help="All limits of this metric.")
limit_option = click.option("--limit", default="", metavar="NAME", help="This limit alone.")


@quota.command(
    "set",
    examples=(
        "authz quota set 5000 --consumer acme --metric read-requests",
        "authz quota set unlimited --consumer acme --limit reads-per-day --service shop.example",
    ),
)
@click.argument("value", metavar="NUMBER|unlimited")
@consumer_option
@metric_option
@limit_option
@service_option
@json_option
@data_dir_option
def set_(value: str, consumer: str, metric: str, limit: str, service: str, as_json: bool, settings: Settings) -> None:
    """Give a consumer its own limit; 0 blocks.

    It replaces the service's limit at once on running gateways; what was counted stays counted.
    """
    from authz.admin.overrides import set_override

    number = UNLIMITED if value == "unlimited" else _number(value)
    with opened(settings) as store:
        _show(set_override(store, service, consumer, number, metric=metric, limit=limit), as_json=as_json)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter(f"'{text}' is no limit; write a number or 'unlimited'") from None


@quota.command(examples=("authz quota unset --consumer acme --metric read-requests",))
@consumer_option
@metric_option
@limit_option
@service_option
@json_option
@data_dir_option
def unset(consumer: str, metric: str, limit: str, service: str, as_json: bool, settings: Settings) -> None:
    """Give a consumer the service's limit again."""
    from authz.admin.overrides import unset as take_back

    with opened(settings) as store:
        _show(take_back(store, service, consumer, metric=metric, limit=limit), as_json=as_json)


@quota.command("list", examples=("authz quota list", "authz quota list --consumer acme --json"))
@click.option("--consumer", default="", metavar="NAME", help="Only those of this consumer.")
@service_option
@json_option
@data_dir_option
def list_(consumer: str, service: str, as_json: bool, settings: Settings) -> None:
    """List the limits that consumers have for themselves."""
    from authz.admin.overrides import list_overrides
    from authz.cli import screen

    with opened(settings) as store:
        found = list_overrides(store, service, consumer)
    if as_json:
        screen.print_json([_json(one) for one in found])
        return
    rows = [[value for _, value in _facts(one).items()] for one in found]
    columns = ("service", "consumer", "metric", "limit", "value")
    screen.print_table(columns, rows, empty="no consumer has a limit of its own")


def _json(one: NamedOverride) -> dict[str, Any]:
    own = one.override
    return {
        "service": own.service,
        "consumer": one.consumer,
        "metric": own.metric,
        "limit": own.limit,
        "value": own.value,
    }


def _facts(one: NamedOverride) -> dict[str, Any]:
    facts = _json(one)
    value = "unlimited" if one.override.value == UNLIMITED else one.override.value
    return {**facts, "limit": facts["limit"] or "all of the metric", "value": value}


def _show(one: NamedOverride, *, as_json: bool) -> None:
    from authz.cli import screen

    if as_json:
        screen.print_json(_json(one))
    else:
        screen.print_facts(_facts(one))
