"""The seam between the command line and what it runs.

The command line knows only these Protocols: `app` implements `Runners`, `progress` implements `Screen`, and
`authz.__main__` brings them together. So the face never imports the composition root.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from authz.errors import AuthzError
from authz.model.findings import Finding
from authz.model.service import ServiceConfig, SourceText
from authz.settings import Settings


@dataclass(frozen=True, slots=True)
class Code:
    """Decorated classes that `authz up` serves itself, `MODULE:CLASS` each, and where their modules are."""

    words: tuple[str, ...]
    directory: Path


@dataclass(frozen=True, slots=True)
class UpRequest:
    """What `authz up` was asked: files already read, not yet compiled. `service` names the host when no file does.

    `code` is what is served as the backend; None where there is one.
    """

    texts: tuple[SourceText, ...]
    service: str
    settings: Settings
    force: bool = False
    code: Code | None = None


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

    def worker(self, number: int, process: int, address: str) -> None:
        """A worker process answers Check and RateLimit at its address, for the first time or again. JSON: `worker`."""
        ...

    def ready(self, url: str) -> None:
        """What was asked for serves: requests to this URL, or Envoy's questions to this address. JSON: `ready`."""
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

    def demo(self, settings: Settings, screen: Screen, *, grpc: bool = False) -> int:
        """Run a sample API with a backend and a token issuer of its own behind `up`; a backend in gRPC, if wanted."""
        ...
