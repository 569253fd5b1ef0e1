"""`authz up`, `serve` and `demo`, and the seam to what runs them.

The command line knows only these Protocols: `app` implements `Runners`, `progress` implements `Screen`, and
`authz.__main__` brings them together. So the face never imports the composition root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import click

from authz.cli.options import Command, files_argument, force_option, host_option, json_option, settings_options
from authz.errors import AuthzError
from authz.model.findings import Finding
from authz.model.service import ServiceConfig, SourceText
from authz.settings import Settings


@dataclass(frozen=True, slots=True)
class UpRequest:
    """What `authz up` was asked: files already read, not yet compiled. `service` names the host when no file does."""

    texts: tuple[SourceText, ...]
    service: str
    settings: Settings
    force: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """One line to paste into a shell, and what it shows."""

    title: str
    command: str


class Screen(Protocol):
    """What a runner tells while it starts, runs and stops: text for people, or one JSON object a line for programs."""

    def step(self, text: str) -> None:
        """What happens now: "Starting Envoy". JSON: `step`."""
        ...

    def warning(self, text: str, remedy: str = "") -> None:
        """Something works, but not as one may think. JSON: `warning`."""
        ...

    def findings(self, findings: Iterable[Finding]) -> None:
        """What lint said of the documents. JSON: one `finding` each."""
        ...

    def operations(self, configs: Sequence[ServiceConfig], settings: Settings) -> None:
        """The table of what is guarded, and how. JSON: `operations`."""
        ...

    def key(self, key: str, consumer: str) -> None:
        """A key was made; it is shown this once. JSON: `key`."""
        ...

    def examples(self, examples: Sequence[Example]) -> None:
        """Lines to paste (`cli.curl.examples` makes the usual ones). JSON: one `example` each."""
        ...

    def ready(self, url: str) -> None:
        """Envoy serves: requests to this URL are answered. JSON: `ready`."""
        ...

    def failure(self, error: AuthzError) -> None:
        """What ended it, with the remedy, on standard error. JSON: `error`, on standard output."""
        ...


class Runners(Protocol):
    """What runs processes. Each blocks until stopped and gives the exit code; AuthzError is printed by the caller."""

    def up(self, request: UpRequest, screen: Screen) -> int:
        """Deploy the files, run Envoy and the sidecar."""
        ...

    def serve(self, settings: Settings, screen: Screen) -> int:
        """Run the sidecar and the control plane; Envoy runs elsewhere."""
        ...

    def demo(self, settings: Settings, screen: Screen) -> int:
        """Run a sample API with a backend and a token issuer of its own behind `up`."""
        ...


@click.command(
    cls=Command,
    examples=(
        "authz up openapi.yaml --backend http://127.0.0.1:9000",
        "authz up shop.yaml pets.yaml --port 8443 --tls-self-signed",
        "authz up openapi.yaml --json | jq -r 'select(.event == \"ready\").url'",
    ),
)
@files_argument
@host_option
@force_option
@json_option
@settings_options("backend", "port", "host", "data_dir")
@click.pass_obj
def up(runners: Runners, files: tuple[Path, ...], service: str, force: bool, as_json: bool, settings: Settings) -> int:
    """Deploy OpenAPI FILEs and run a gateway that guards them.

    Starts Envoy and the process that answers its questions, prints what is guarded and how, and says `ready` when
    requests are answered. If the API needs keys and there is none, one is made and shown once. `authz deploy` changes
    what runs without a restart.
    """

    def start(screen: Screen) -> int:
        from authz.sources import read_files

        return runners.up(UpRequest(read_files(files), service, settings, force), screen)

    return _run(start, as_json=as_json)


@click.command(cls=Command, examples=("authz serve --sidecar-address 0.0.0.0:9001 --xds-address 0.0.0.0:9002",))
@json_option
@settings_options("sidecar_address", "xds_address", "data_dir")
@click.pass_obj
def serve(runners: Runners, as_json: bool, settings: Settings) -> int:
    """Run everything but Envoy.

    Answers Check and RateLimit, and serves configuration over ADS, for people who run Envoy their own way:
    `authz envoy bootstrap` and `authz envoy config` print what that Envoy needs.
    """
    return _run(lambda screen: runners.serve(settings, screen), as_json=as_json)


@click.command(cls=Command, examples=("authz demo", "authz demo --port 9080"))
@json_option
@settings_options("port", "host", "data_dir")
@click.pass_obj
def demo(runners: Runners, as_json: bool, settings: Settings) -> int:
    """Run a sample bookstore behind the gateway.

    It has a backend and a token issuer of its own. Prints `curl` lines that answer 200, 401, 403, 404, 405 and 429.
    """
    return _run(lambda screen: runners.demo(settings, screen), as_json=as_json)


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
