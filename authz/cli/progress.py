"""The two screens of `up`, `serve` and `demo`: progress for people, events for programs (`cli.run.Screen`)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from authz.cli.runners import Example
from authz.cli.screen import (
    clean,
    console,
    error_json,
    finding_json,
    operation_rows,
    print_error,
    print_findings,
    print_operations,
)
from authz.errors import AuthzError
from authz.model.findings import Finding
from authz.model.service import ServiceConfig
from authz.settings import Settings

if TYPE_CHECKING:
    from rich.status import Status


class People:
    """A Screen of steps, tables and sentences."""

    def __init__(self) -> None:
        self._console = console()
        self._status: Status | None = None

    def step(self, text: str) -> None:
        """A spinner on a terminal, a line elsewhere."""
        if not self._console.is_terminal:
            self._console.print(text)
        elif self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def warning(self, text: str, remedy: str = "") -> None:
        """One warning, the remedy indented."""
        from rich.text import Text

        self._console.print(Text.assemble(("warning", "yellow"), ": ", clean(text)), soft_wrap=True)
        if remedy:
            self._console.print(Text("    " + clean(remedy), style="dim"), soft_wrap=True)

    def findings(self, findings: Iterable[Finding]) -> None:
        """Findings as lint prints them."""
        print_findings(findings)

    def operations(self, configs: Sequence[ServiceConfig], settings: Settings) -> None:
        """The table of operations, between blank lines."""
        self.close()
        self._console.print()
        print_operations(configs, settings)
        self._console.print()

    def key(self, key: str, consumer: str) -> None:
        """The key alone on its line, to be copied."""
        from rich.text import Text

        self.close()
        self._console.print(f"An API key was made for consumer '{consumer}'. It is shown only now:")
        self._console.print(Text(f"  {key}\n", style="bold green"), soft_wrap=True)

    def examples(self, examples: Sequence[Example]) -> None:
        """Each line under a comment, so that the whole block can be pasted."""
        from rich.text import Text

        self.close()
        for example in examples:
            self._console.print(Text(f"# {clean(example.title)}", style="dim"), soft_wrap=True)
            self._console.print(Text(clean(example.command)), soft_wrap=True)
        self._console.print()

    def worker(self, number: int, process: int, address: str) -> None:
        """A step among others."""
        self._console.print(f"Worker {number} (process {process}) answers on {address}", soft_wrap=True)

    def ready(self, url: str) -> None:
        """The word that says so, and the URL."""
        from rich.text import Text

        self.close()
        self._console.print(Text.assemble(("ready", "bold green"), f"  {url}   (Ctrl-C stops)"), soft_wrap=True)

    def failure(self, error: AuthzError) -> None:
        """The error on standard error."""
        self.close()
        print_error(error)

    def close(self) -> None:
        """End the spinner."""
        if self._status is not None:
            self._status.stop()
            self._status = None


class Programs:
    """A Screen of events: one JSON object a line, `event` first, flushed at once so that a program can wait for one."""

    def _say(self, event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}, ensure_ascii=False), flush=True)

    def step(self, text: str) -> None:
        """Event `step`."""
        self._say("step", text=text)

    def warning(self, text: str, remedy: str = "") -> None:
        """Event `warning`."""
        self._say("warning", text=text, remedy=remedy)

    def findings(self, findings: Iterable[Finding]) -> None:
        """One event `finding` each."""
        for finding in findings:
            self._say("finding", **finding_json(finding))

    def operations(self, configs: Sequence[ServiceConfig], settings: Settings) -> None:
        """Event `operations`."""
        self._say("operations", operations=operation_rows(configs, settings))

    def key(self, key: str, consumer: str) -> None:
        """Event `key`."""
        self._say("key", key=key, consumer=consumer)

    def examples(self, examples: Sequence[Example]) -> None:
        """One event `example` each."""
        for example in examples:
            self._say("example", **dataclasses.asdict(example))

    def worker(self, number: int, process: int, address: str) -> None:
        """Event `worker`."""
        self._say("worker", number=number, process=process, address=address)

    def ready(self, url: str) -> None:
        """Event `ready`."""
        self._say("ready", url=url)

    def failure(self, error: AuthzError) -> None:
        """Event `error`."""
        self._say("error", **error_json(error))

    def close(self) -> None:
        """Nothing is held."""


def for_output(*, as_json: bool) -> People | Programs:
    """The screen for people or for programs."""
    return Programs() if as_json else People()
