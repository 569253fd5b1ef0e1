"""`authz envoy`: configuration for people who run Envoy their own way, beside `authz serve`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from authz.cli.openapi import compiled_or_raise
from authz.cli.options import Group, files_argument, host_option, opened, settings_options
from authz.model.inventory import Inventory, LiveConfig, LiveService
from authz.model.service import ServiceConfig, SourceText
from authz.settings import Settings

format_option = click.option(
    "--format", "form", type=click.Choice(("yaml", "json")), default="yaml", help="How it is written.  [yaml]"
)
sidecars_option = click.option(
    "--sidecar", "sidecars", required=True, multiple=True, metavar="ADDRESS",
    help="Where `authz serve` answers Check: HOST:PORT or unix:PATH; several share the load.",
)  # fmt: skip


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
@host_option
@sidecars_option
@format_option
@click.option("--config-id", metavar="ID", default="", help="The config that operations name; none: as deployed.")
@settings_options("data_dir", "backend", "port", "host", "workers")
def config(
    files: tuple[Path, ...], service: str, sidecars: tuple[str, ...], form: str, config_id: str, settings: Settings
) -> None:
    """Print a complete static bootstrap for FILEs.

    Its operations carry the ids of the configs that were deployed from the same FILEs (in --data-dir): the sidecar
    must know them to let a call pass, so deploy first.
    """
    from authz.sources import read_files
    from authz.xds import bootstrap
    from authz.xds.snapshot import build

    texts = read_files(files)
    configs = _identified(compiled_or_raise(texts, service).configs, texts, config_id, settings)
    services = tuple(LiveService(config.name, (LiveConfig(config),)) for config in configs)
    snapshot = build(Inventory(0, services), settings)
    _print(bootstrap.static(snapshot, settings, sidecars=_all_workers(sidecars, settings)), form)


@envoy.command(
    "bootstrap",
    examples=(
        "authz envoy bootstrap --xds 127.0.0.1:9002 --sidecar 127.0.0.1:9001",
        "authz envoy bootstrap --xds unix:/run/xds.sock --sidecar unix:/run/authz.sock --workers 4",
    ),
)
@click.option("--xds", required=True, metavar="ADDRESS", help="Where `authz serve` serves ADS: HOST:PORT or unix:PATH.")
@sidecars_option
@click.option("--admin", default="127.0.0.1:9901", metavar="ADDRESS", help="Envoy's admin interface.  [127.0.0.1:9901]")
@click.option("--node-id", default="authz", metavar="ID", help="How Envoy introduces itself.  [authz]")
@format_option
@settings_options(
    "workers", "sidecar_tls_ca", "sidecar_tls_client_cert", "sidecar_tls_client_key", "sidecar_tls_name", only=()
)
def bootstrap_(xds: str, sidecars: tuple[str, ...], admin: str, node_id: str, form: str, settings: Settings) -> None:
    """Print a bootstrap that fetches everything else from `authz serve` over ADS."""
    from authz.xds import bootstrap

    everyone = _all_workers(sidecars, settings)
    _print(bootstrap.dynamic(settings, sidecars=everyone, xds=xds, admin=admin, node_id=node_id), form)


def _all_workers(sidecars: Sequence[str], settings: Settings) -> list[str]:
    """Each sidecar stands for all of its workers."""
    from authz.sidecar.endpoints import endpoints

    return [place for first in sidecars for place in endpoints(first, settings.workers)]


def _identified(
    configs: Sequence[ServiceConfig], texts: Sequence[SourceText], config_id: str, settings: Settings
) -> list[ServiceConfig]:
    """The configs with the ids under which their texts were deployed, or will be: the sidecar knows them by these."""
    from authz.cli import screen

    known = {} if config_id or not settings.data_dir.exists() else _deployed(settings)
    found = []
    for config in configs:
        own = tuple(text.text for text in texts if text.file in config.documents)
        if not (one := config_id or known.get((config.name, own), "")):
            one = time.strftime("%Y-%m-%dr1", time.gmtime())
            screen.tell(
                f"{config.name} was not deployed from these files in {settings.data_dir}; config {one} is assumed, and "
                "the sidecar refuses calls to a config that it does not know",
                "warning",
            )
        found.append(replace(config, id=one))
    return found


def _deployed(settings: Settings) -> dict[tuple[str, tuple[str, ...]], str]:
    """The newest config id of each service's texts."""
    with opened(settings) as store:
        newest_last = reversed(store.configs())
        return {(one.service, tuple(text.text for text in one.texts)): one.id for one in newest_last}


def _print(document: Mapping[str, Any], form: str) -> None:
    from authz.cli import screen

    (screen.print_json if form == "json" else screen.print_yaml)(document)
