"""How answers are drawn: tables, findings, errors, JSON and YAML.

People get colours on a terminal and plain lines elsewhere; programs (`--json`) get JSON.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from authz.cli import curl
from authz.errors import AuthzError, DocumentError
from authz.model.findings import Finding, Severity
from authz.model.service import Operation, PathTranslation, ServiceConfig
from authz.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

_UNBROKEN = 10_000
"""The width of output that is no terminal: what is piped into `grep` must not be wrapped."""
_CONTROL = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""Documents are quoted in messages; their escape sequences must not reach the terminal."""

COLOURS = {
    "error": "red",
    "warning": "yellow",
    "live": "green",
    "active": "green",
    "pending": "yellow",
    "suspended": "yellow",
    "failed": "red",
    "deleted": "red",
    "revoked": "red",
    "expired": "red",
    "open": "yellow",
}
"""Words that tables colour when a cell is just that word."""


def console(*, err: bool = False) -> Console:
    """Where people read: colours only on a terminal."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _UNBROKEN, highlight=False, markup=False)


def clean(text: str) -> str:
    """Text without control characters other than line breaks and tabs."""
    return text.translate(_CONTROL)


# -- answers of commands --------------------------------------------------------------------------------------


def print_json(value: Any) -> None:
    """A value as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_yaml(value: Any) -> None:
    """A value as block YAML, in its own order."""
    import yaml

    # By way of JSON: a safe dumper knows plain dictionaries only.
    plain = json.loads(json.dumps(value))
    print(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120), end="")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "") -> None:
    """Rows under bold headings, or the sentence `empty` when there are none."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(str(cell)), style=COLOURS.get(str(cell), "")) for cell in row))
    console().print(table if table.row_count else empty)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one a line; what is empty is left out."""
    from rich.text import Text

    width = max(map(len, facts))
    for name, value in facts.items():
        if value not in {"", None}:
            console().print(Text.assemble((f"{name:{width}}  ", "bold"), clean(str(value))))


def print_outcome(*, passes: bool, text: str) -> None:
    """How it ends, in one coloured word and a sentence."""
    from rich.text import Text

    word = ("pass", "bold green") if passes else ("fail", "bold red")
    console().print(Text.assemble(word, f"  {clean(text)}"), soft_wrap=True)


def print_state(word: str, text: str, state: str) -> None:
    """How a rollout stands, coloured, and what was said to it."""
    from rich.text import Text

    message = f": {clean(text)}" if text else ""
    console().print(Text.assemble((word, COLOURS.get(state, "")), message), soft_wrap=True)


def say(text: str, style: str = "") -> None:
    """A line on standard output; `style` is one of the words in COLOURS."""
    from rich.text import Text

    console().print(Text(clean(text), style=COLOURS.get(style, "")), soft_wrap=True)


def tell(text: str, style: str = "") -> None:
    """A line beside the answer, on standard error."""
    from rich.text import Text

    label = Text.assemble((style, COLOURS[style]), ": ") if style else Text()
    console(err=True).print(label.append(clean(text)), soft_wrap=True)


def print_note(text: str) -> None:
    """Something to know beside the answer."""
    from rich.text import Text

    console().print(Text(f"  - {clean(text)}", style="dim"), soft_wrap=True)


def moment(at: float) -> str:
    """Unix seconds as a UTC time for people; empty for 0."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else ""


# -- findings and errors --------------------------------------------------------------------------------------


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding for programs."""
    return {
        "file": finding.file,
        "line": finding.line,
        "severity": finding.severity.value,
        "code": finding.code,
        "message": finding.message,
        "remedy": finding.hint,
    }


def print_findings(findings: Iterable[Finding], *, err: bool = False) -> None:
    """Findings for people: place, severity and code, then the remedy, indented."""
    from rich.text import Text

    out = console(err=err)
    for finding in findings:
        place = f"{finding.file}:{finding.line}" if finding.line else finding.file
        word = finding.severity.value
        text = Text.assemble((clean(place), "bold"), ": ", (f"{word} {finding.code}", COLOURS[word]), ": ")
        out.print(text.append(clean(finding.message)), soft_wrap=True)
        if finding.hint:
            out.print(Text("    " + clean(finding.hint), style="dim"), soft_wrap=True)


def count(findings: Iterable[Finding]) -> str:
    """`2 errors, 1 warning`; `no findings`."""
    totals = Counter(finding.severity for finding in findings)
    parts = [f"{n} {s.value}{'s' if n > 1 else ''}" for s in Severity if (n := totals[s])]
    return ", ".join(parts) or "no findings"


def error_json(error: AuthzError) -> dict[str, Any]:
    """An error for programs."""
    told: dict[str, Any] = {"error": error.message, "remedy": error.remedy}
    if isinstance(error, DocumentError):
        told["findings"] = [finding_json(f) for f in error.findings if isinstance(f, Finding)]
    return told


def print_error(error: AuthzError) -> None:
    """`error: message` and the remedy, on standard error."""
    from rich.text import Text

    out = console(err=True)
    if isinstance(error, DocumentError):
        findings = [f for f in error.findings if isinstance(f, Finding)]
        print_findings(findings, err=True)
        out.print(Text.assemble(("error", "bold red"), f": {count(findings)} in the documents"))
        return
    out.print(Text.assemble(("error", "bold red"), ": ", clean(error.message)), soft_wrap=True)
    if error.remedy:
        out.print(Text("  " + clean(error.remedy)), soft_wrap=True)


# -- operations -----------------------------------------------------------------------------------------------


def quota(config: ServiceConfig, operation: Operation) -> str:
    """What a call takes of which limits: `1 of 100/min reads`."""
    return ", ".join(
        f"{cost.amount} of {limit.value if limit.value >= 0 else 'unlimited'}"
        f"/{limit.interval if limit.interval > 1 else ''}{limit.unit.value} {limit.metric}"
        for cost in operation.costs
        for limit in config.limits
        if limit.metric == cost.metric
    )


def backend(operation: Operation, settings: Settings) -> str:
    """Where calls go: the operation's own address unless settings say otherwise."""
    own = operation.backend
    address = settings.backend if settings.backend_override or not own.address else own.address
    return f"{address} (constant)" if own.path_translation is PathTranslation.CONSTANT else address


def operation_row(config: ServiceConfig, operation: Operation, settings: Settings) -> dict[str, str]:
    """One operation in words, by column."""
    return {
        "service": config.name,
        "method": "gRPC" if operation.is_rpc_path else operation.method,
        "path": operation.template.text,
        "operation": operation.selector,
        "guard": curl.guard(config, operation),
        "quota": quota(config, operation),
        "backend": backend(operation, settings),
        "deadline": f"{operation.backend.deadline:g}s",
    }


def operation_rows(configs: Sequence[ServiceConfig], settings: Settings) -> list[dict[str, str]]:
    """The table of operations, in the order of the documents."""
    return [
        operation_row(config, operation, settings)
        for config in configs
        for operation in config.operations
        if not operation.generated
    ]


def print_operations(configs: Sequence[ServiceConfig], settings: Settings) -> None:
    """The table of operations; columns that say nothing are left out."""
    rows = operation_rows(configs, settings)
    hidden = {"operation"} | ({"service"} if len(configs) < 2 else set())
    columns = [c for c in (rows[0] if rows else {}) if c not in hidden and any(row[c] for row in rows)]
    print_table(columns, [[row[c] for c in columns] for row in rows], empty="no operations")
