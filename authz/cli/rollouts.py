"""`authz configs` and `authz rollouts`: what was deployed, and what of it is live in which share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from authz.cli.options import (
    Group,
    data_dir_option,
    force_option,
    json_option,
    opened,
    service_option,
    settings_options,
)
from authz.errors import UsageError
from authz.model.inventory import Rollout
from authz.settings import Settings

if TYPE_CHECKING:
    from authz.store.base import StoredConfig


@click.group(cls=Group)
def configs() -> None:
    """Look at the configs that were deployed."""


@click.group(cls=Group)
def rollouts() -> None:
    """Say which configs are live, and in which shares."""


@configs.command("list", examples=("authz configs list", "authz configs list --service shop.example --json"))
@service_option
@json_option
@data_dir_option
def list_configs(service: str, as_json: bool, settings: Settings) -> None:
    """List configs, newest first."""
    from authz.admin.configs import list_configs as find
    from authz.cli import screen

    with opened(settings) as store:
        found = find(store, service)
        shares = {(r.service, config): share for r in store.live().rollouts for config, share in r.shares}
    if as_json:
        screen.print_json([_config_json(config, shares) for config in found])
        return
    rows = [
        (c.service, c.id, _percent(shares.get((c.service, c.id))), screen.moment(c.created_at), _files(c))
        for c in found
    ]
    screen.print_table(("service", "config", "share", "created", "files"), rows, empty="nothing has been deployed yet")


@configs.command(
    examples=("authz configs show 2026-11-21r0", "authz configs show 2026-11-21r0 --source > openapi.yaml")
)
@click.argument("config", metavar="CONFIG")
@service_option
@click.option("--source", is_flag=True, help="Print the documents as they were deployed.")
@json_option
@settings_options("data_dir", only=("backend", "backend_override"))
def show(config: str, service: str, source: bool, as_json: bool, settings: Settings) -> None:
    """Show the operations of a config, or its documents."""
    from authz.admin.configs import meaning
    from authz.admin.configs import show as find
    from authz.cli import screen

    with opened(settings) as store:
        found = find(store, service, config)
    if source:
        print("\n---\n".join(text.text.rstrip("\n") for text in found.texts))
    elif as_json:
        rows = screen.operation_rows([meaning(found)], settings)
        documents = [{"file": text.file, "text": text.text} for text in found.texts]
        screen.print_json({**_config_json(found, {}), "operations": rows, "documents": documents})
    else:
        screen.print_operations([meaning(found)], settings)


def _config_json(config: StoredConfig, shares: dict[tuple[str, str], float]) -> dict[str, Any]:
    return {
        "service": config.service,
        "config": config.id,
        "share": shares.get((config.service, config.id), 0),
        "created_at": config.created_at,
        "digest": config.digest,
        "files": [text.file for text in config.texts],
    }


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:g} %"


def _files(config: StoredConfig) -> str:
    return ", ".join(text.file for text in config.texts)


# -- rollouts -------------------------------------------------------------------------------------------------


@rollouts.command("list", examples=("authz rollouts list", "authz rollouts list --service shop.example --json"))
@service_option
@json_option
@data_dir_option
def list_rollouts(service: str, as_json: bool, settings: Settings) -> None:
    """List rollouts, newest first, with what Envoy said."""
    from authz.admin.rollouts import list_rollouts as find
    from authz.cli import screen

    with opened(settings) as store:
        found = find(store, service)
    if as_json:
        screen.print_json([_rollout_json(rollout) for rollout in found])
        return
    rows = [
        (r.service, r.id, _shares(r), r.status.value, screen.moment(r.created_at), r.message.partition("\n")[0])
        for r in found
    ]
    columns = ("service", "rollout", "shares", "status", "created", "message")
    screen.print_table(columns, rows, empty="nothing has been rolled out yet")


@rollouts.command(
    examples=(
        "authz rollouts create 2026-11-21r1=20 2026-11-20r0=80",
        "authz rollouts create 2026-11-20r0=100 --service shop.example",
    )
)
@click.argument("shares", nargs=-1, required=True, metavar="CONFIG=PERCENT...")
@service_option
@force_option
@json_option
@data_dir_option
def create(shares: tuple[str, ...], service: str, force: bool, as_json: bool, settings: Settings) -> None:
    """Split a service's traffic between configs.

    The shares are real: Envoy draws for every request.
    """
    from authz.admin.rollouts import create as make

    wanted = [_share(text) for text in shares]
    with opened(settings) as store:
        _show(make(store, service, wanted, force=force, now=time.time()), as_json=as_json)


@rollouts.command(examples=("authz rollouts rollback", "authz rollouts rollback --to 2026-11-20r0"))
@click.option("--to", metavar="CONFIG", default="", help="The config to go back to; none: what was live before.")
@service_option
@force_option
@json_option
@data_dir_option
def rollback(to: str, service: str, force: bool, as_json: bool, settings: Settings) -> None:
    """Go back to what was live before."""
    from authz.admin.rollouts import rollback as go_back

    with opened(settings) as store:
        _show(go_back(store, service, to=to, force=force, now=time.time()), as_json=as_json)


def _share(text: str) -> tuple[str, float]:
    config, equals, percent = text.partition("=")
    try:
        return config, float(percent if equals else 100)
    except ValueError:
        raise UsageError(f"'{text}' is no share", "Write CONFIG=PERCENT: 2026-11-21r1=20") from None


def _shares(rollout: Rollout) -> str:
    return ", ".join(f"{config}={share:g}" for config, share in rollout.shares)


def _rollout_json(rollout: Rollout) -> dict[str, Any]:
    return {
        "service": rollout.service,
        "rollout": rollout.id,
        "shares": dict(rollout.shares),
        "status": rollout.status.value,
        "message": rollout.message,
        "created_at": rollout.created_at,
    }


def _show(rollout: Rollout, *, as_json: bool) -> None:
    from authz.cli import screen

    if as_json:
        screen.print_json(_rollout_json(rollout))
        return
    screen.print_facts(
        {
            "service": rollout.service,
            "rollout": rollout.id,
            "shares": _shares(rollout),
            "status": rollout.status.value,
            "message": rollout.message,
        }
    )
