"""`authz up`, `serve` and `demo`: argv to one runner (see `cli.runners`)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from authz.cli.frameworks import application_option, read_sources
from authz.cli.options import Command, files_argument, force_option, host_option, json_option, settings_options
from authz.cli.runners import Code, Runners, Screen, UpRequest
from authz.errors import AuthzError
from authz.settings import Settings


@click.command(
    cls=Command,
    examples=(
        "authz up openapi.yaml --backend http://127.0.0.1:9000",
        "authz up shop.yaml pets.yaml --port 8443 --tls-self-signed",
        "authz up main:EchoApi",
        "authz up openapi.yaml --json | jq -r 'select(.event == \"ready\").url'",
    ),
)
@files_argument
@host_option
@application_option
@force_option
@json_option
@settings_options("backend", "port", "host", "data_dir")
@click.pass_context
def up(
    context: click.Context,
    files: tuple[Path, ...],
    service: str,
    application: Path,
    force: bool,
    as_json: bool,
    settings: Settings,
) -> int:
    """Deploy FILEs and run a gateway that guards them.

    FILEs are OpenAPI documents, .proto files or descriptor sets, and google.api.Service YAML files, in any order; or
    MODULE:CLASS, for classes that authz.frameworks decorates. Their documents are written, and without --backend they
    are served too, in a process of their own that knows the gateway by a secret.

    Starts Envoy and the process that answers its questions, prints what is guarded and how, and says `ready` when
    requests are answered. If the API needs keys and there is none, one is made and shown once. `authz deploy` changes
    what runs without a restart.
    """

    def start(screen: Screen) -> int:
        sources = read_sources(files, service, application)
        code = Code(sources.words, application) if sources.words and not has_backend else None
        runners: Runners = context.obj
        return runners.up(UpRequest(sources.texts, service, settings, force, code), screen)

    has_backend = context.params["backend"] is not None or "AUTHZ_BACKEND" in os.environ

    return _run(start, as_json=as_json)


@click.command(
    cls=Command,
    examples=(
        "authz serve --sidecar-address 0.0.0.0:9001 --xds-address 0.0.0.0:9002",
        "authz serve --sidecar-address 127.0.0.1:9001 --xds-address 127.0.0.1:9101 --workers 4",
    ),
)
@json_option
@settings_options("sidecar_address", "xds_address", "workers", "data_dir")
@click.pass_obj
def serve(runners: Runners, as_json: bool, settings: Settings) -> int:
    """Run everything but Envoy.

    Answers Check and RateLimit, and serves configuration over ADS, for people who run Envoy their own way:
    `authz envoy bootstrap` and `authz envoy config` print what that Envoy needs.
    """
    return _run(lambda screen: runners.serve(settings, screen), as_json=as_json)


@click.command(cls=Command, examples=("authz demo", "authz demo --grpc", "authz demo --port 9080"))
@click.option("--grpc", is_flag=True, help="With a backend that speaks gRPC, for JSON, gRPC and gRPC-Web callers.")
@json_option
@settings_options("port", "host", "data_dir")
@click.pass_obj
def demo(runners: Runners, grpc: bool, as_json: bool, settings: Settings) -> int:
    """Run a sample bookstore behind the gateway.

    It has a backend and a token issuer of its own. Prints `curl` lines that answer 200, 401, 403, 404, 405 and 429;
    with --grpc, a line for a gRPC client as well.
    """
    return _run(lambda screen: runners.demo(settings, screen, grpc=grpc), as_json=as_json)


def _run(start: Callable[[Screen], int], *, as_json: bool) -> int:
    from authz.cli.progress import for_output

    screen = for_output(as_json=as_json)
    try:
        return start(screen)
    except AuthzError as error:
        screen.failure(error)
        return error.exit_code
    finally:
        screen.close()
