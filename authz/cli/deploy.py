"""`authz deploy`: documents go live on the gateways that run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authz.cli.frameworks import application_option, read_sources
from authz.cli.options import (
    Command,
    data_dir_option,
    files_argument,
    force_option,
    host_option,
    json_option,
    opened,
)
from authz.settings import Settings

if TYPE_CHECKING:
    from authz.admin.deploy import DeployedService, Deployment, Outcome

COMES_BACK_WITH_1 = frozenset({"failed", "waiting", "superseded"})
"""What a script must not take for success. No gateway is fine: the config goes live when one starts."""


@click.command(
    cls=Command,
    examples=(
        "authz deploy openapi.yaml",
        "authz deploy bookstore.proto openapi.yaml",
        "authz deploy shop.yaml pets.yaml --no-wait --json",
        "authz deploy main:EchoApi,GreetApi --service api.example.com",
    ),
)
@files_argument
@host_option
@application_option
@force_option
@click.option("--wait/--no-wait", default=True, help="Wait until every running gateway serves it.  [on]")
@click.option("--timeout", type=click.FloatRange(0), default=30.0, metavar="SECONDS", help="How long to wait.  [30]")
@json_option
@data_dir_option
def deploy(
    files: tuple[Path, ...],
    service: str,
    application: Path,
    force: bool,
    wait: bool,
    timeout: float,
    as_json: bool,
    settings: Settings,
) -> int:
    """Make FILEs live on the running gateways.

    FILEs are OpenAPI documents, .proto files or descriptor sets, and google.api.Service YAML files, in any order; or
    MODULE:CLASS, for the documents of classes that authz.frameworks decorates.

    Nothing restarts and no request is dropped. Prints what changed and `live`, or Envoy's own words if it refuses;
    then what was live before stays live and the exit code is 1. Mistakes in FILEs are told, change nothing, and exit
    with 2.
    """
    from authz.admin import deploy as deploying

    texts = read_sources(files, service, application).texts
    with opened(settings) as store:
        done = deploying.deploy(store, texts, service=service, force=force, now=time.time())
        if not as_json:
            _draw(done)
        outcomes = deploying.wait_live(store, done, timeout=timeout) if wait else ()
    _end(done, outcomes, as_json=as_json)
    return 1 if any(outcome.state.value in COMES_BACK_WITH_1 for outcome in outcomes) else 0


def _draw(done: Deployment) -> None:
    from authz.cli import screen

    screen.print_findings(done.warnings)
    for deployed in done.services:
        same = "" if deployed.rollout_is_new else " (nothing new)"
        screen.say(f"{deployed.config.name} {deployed.config.id}{same}")
        for change in deployed.changes:
            screen.say(f"  {change}", "warning" if change.is_dangerous else "")


def _end(done: Deployment, outcomes: tuple[Outcome, ...], *, as_json: bool) -> None:
    from authz.cli import screen

    if as_json:
        told = {outcome.service: outcome for outcome in outcomes}
        screen.print_json(
            {
                "services": [_json(deployed, told.get(deployed.config.name)) for deployed in done.services],
                "warnings": [screen.finding_json(finding) for finding in done.warnings],
            }
        )
        return
    for outcome in outcomes:
        name = f"{outcome.service}: " if len(outcomes) > 1 else ""
        screen.print_state(f"{name}{outcome.state.value}", outcome.message, outcome.state.value)


def _json(deployed: DeployedService, outcome: Outcome | None) -> dict[str, Any]:
    return {
        "service": deployed.config.name,
        "config": deployed.config.id,
        "rollout": deployed.rollout.id,
        "is_new": deployed.rollout_is_new,
        "changes": [
            {
                "kind": change.kind.value,
                "subject": change.subject,
                "before": change.before,
                "after": change.after,
                "dangerous": change.is_dangerous,
            }
            for change in deployed.changes
        ],
        "state": outcome.state.value if outcome else "not waited for",
        "message": outcome.message if outcome else "",
    }
