"""The reference sections of the README, made from the code that they describe: `authz settings`, `authz reference`.

A section stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->`; a test checks that the README's are current.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from authz.cli.options import GROUPS, Command, SettingOption, json_option, shown_default
from authz.errors import StateError, UsageError
from authz.setting import Setting
from authz.settings import TABLE

_MARKED = re.compile(r"(<!-- begin: (?P<name>[a-z0-9-]+) -->\n).*?(<!-- end: (?P=name) -->)", re.DOTALL)


@click.command(
    "settings", cls=Command, examples=("authz settings", "authz settings --json", "authz settings --markdown")
)
@json_option
@click.option("--markdown", is_flag=True, help="Print the README's tables.")
def settings(as_json: bool, markdown: bool) -> None:
    """List what can be set.

    Each row has the option, the environment variable, the default and the ESPv2 flag that it replaces.
    """
    from authz.cli import screen

    if as_json:
        screen.print_json([_setting_json(row) for row in TABLE])
    elif markdown:
        print(_settings())
    else:
        rows = [(row.option, row.variable, shown_default(row), row.espv2, row.sentence) for row in TABLE]
        screen.print_table(("option", "variable", "default", "ESPv2", "meaning"), rows)


@click.command(
    "reference",
    cls=Command,
    examples=("authz reference", "authz reference --write README.md", "authz reference --check README.md"),
)
@click.option("--write", type=click.Path(path_type=Path), help="Renew the marked sections of this file.")
@click.option("--check", type=click.Path(path_type=Path), help="Exit with 1 if a marked section of this file is old.")
def reference(write: Path | None, check: Path | None) -> None:
    """Print the reference as Markdown.

    It has the commands, the settings, the finding codes and the reasons of denials.
    """
    if check is not None:
        text = _read(check)
        if renewed(text) != text:
            raise StateError(f"{check} has old reference sections", f"Run: authz reference --write {check}")
    if write is not None:
        text = renewed(_read(write))
        write.write_text(text, encoding="utf-8")
    if write is None and check is None:
        print("\n\n".join(sections().values()))


def sections() -> dict[str, str]:
    """Every section by name, as Markdown without a heading of its own."""
    return {
        "commands": _commands(),
        "settings": _settings(),
        "espv2-flags": _flags(),
        "findings": _findings(),
        "migration-findings": _migration_findings(),
        "reasons": _reasons(),
    }


def renewed(text: str) -> str:
    """A document with its marked sections made anew.

    Raises:
        UsageError: it marks a section that does not exist, or none at all.
    """
    made = sections()

    def replace(match: re.Match[str]) -> str:
        if match["name"] not in made:
            raise UsageError(f"there is no section '{match['name']}'", f"Mark one of: {', '.join(made)}.")
        return f"{match[1]}\n{made[match['name']]}\n\n{match[3]}"

    new, number = _MARKED.subn(replace, text)
    if not number:
        raise UsageError("no section is marked", "Write <!-- begin: settings --> and <!-- end: settings --> into it.")
    return new


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "Name a text file.") from error


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in lines
    )


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _setting_json(row: Setting) -> dict[str, Any]:
    default = list(row.default) if row.many else str(row.default) if isinstance(row.default, Path) else row.default
    return {
        "name": row.name,
        "option": row.option,
        "variable": row.variable,
        "type": row.kind.__name__,
        "many": row.many,
        "choices": list(row.choices),
        "default": default,
        "unit": row.unit,
        "group": row.group,
        "espv2": row.espv2,
        "sentence": row.sentence,
    }


def _settings() -> str:
    return "\n\n".join(
        f"**{heading}**\n\n"
        + table(
            ("option", "variable", "default", "meaning"),
            [
                (_code(row.option), _code(row.variable), _code(shown_default(row)), row.sentence)
                for row in TABLE
                if row.group == group
            ],
        )
        for group, heading in GROUPS.items()
    )


def _flags() -> str:
    rows = sorted((row.espv2, row.option) for row in TABLE if row.espv2)
    return table(("ESPv2", "authz"), [(_code(flag), _code(option)) for flag, option in rows])


def _findings() -> str:
    from authz.sources.lint import RULES

    return table(("code", "severity", "meaning"), [(_code(r.code), r.severity.value, r.sentence) for r in RULES])


def _migration_findings() -> str:
    from authz.frameworks.migrate import RULES

    return table(("code", "severity", "meaning"), [(_code(r.code), r.severity.value, r.sentence) for r in RULES])


def _reasons() -> str:
    from authz.check.decide import Reason

    return table(("reason", "HTTP", "meaning"), [(_code(r.name), str(r.http), r.message("…")) for r in Reason])


def _commands() -> str:
    from authz.cli import root

    return "\n\n".join(_command(path, command) for path, command in leaves(root))


def leaves(group: click.Group, path: str = "authz") -> Iterator[tuple[str, Command]]:
    """Every command below a group with its full name, in the order of help."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path} {name}")
        elif isinstance(command, Command):
            yield f"{path} {name}", command


def _command(path: str, command: Command) -> str:
    ctx = click.Context(command, info_name=path)
    usage = " ".join(piece for param in command.params for piece in param.get_usage_pieces(ctx))
    help_text = re.sub(r"\s*\n\s*\n\s*", "\n\n", (command.help or "").strip()).replace("\n    ", "\n")
    own = [p for p in command.params if isinstance(p, click.Option) and not isinstance(p, SettingOption)]
    number = sum(isinstance(p, SettingOption) for p in command.params)
    rows = [f"* `{record[0]}`: {record[1]}" for p in own if (record := p.get_help_record(ctx))]
    if number > 1:
        rows.append("* and the [settings](#settings)")
    examples = "\n".join(command.examples)
    parts = [f"**`{path} {usage}`**".replace(" `**", "`**"), help_text, "\n".join(rows), f"```sh\n{examples}\n```"]
    return "\n\n".join(part for part in parts if part)
