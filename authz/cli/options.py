"""Options that commands share: every row of the settings table, `--json`, and help that shows an example."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authz.setting import Setting
from authz.settings import TABLE, Settings, misspelt

if TYPE_CHECKING:
    from authz.store.base import Store

GROUPS = {
    "process": "Where things are",
    "listener": "The listener",
    "requests": "Requests",
    "cors": "CORS",
    "backends": "Backends",
    "transcoding": "JSON to gRPC",
    "credentials": "Tokens and keys",
    "questions": "Envoy's questions",
}
"""The settings' groups in the order of the table, and the headings that help and reference give them."""

AS_JSON = "authz.as_json"
"""Where a command's context remembers that a program reads its output."""


class Command(click.Command):
    """A command whose help groups the settings and ends in examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = tuple(examples)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own and frequent options first, then one section per group of settings."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            if not isinstance(param, click.Option):
                continue
            heading = param.heading if isinstance(param, SettingOption) else "Options"
            if (record := param.get_help_record(ctx)) is not None:
                sections.setdefault(heading, []).append(record)
        for heading in ("Options", *GROUPS.values()):
            if rows := sections.get(heading):
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they are to be typed."""
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class Group(click.Group):
    """A noun with verbs, which help lists in the order they were written."""

    command_class = Command

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names, the most wanted first."""
        return list(self.commands)


class SettingOption(click.Option):
    """One row of the settings table as an option. Not given means None: the environment or the default counts."""

    def __init__(self, setting: Setting, *, frequent: bool) -> None:
        self.setting = setting
        self.heading = "Options" if frequent else GROUPS[setting.group]
        super().__init__([_flags(setting), setting.name], default=None, help=_sentence(setting), **_shape(setting))


def _flags(setting: Setting) -> str:
    if setting.kind is not bool:
        return setting.option
    return f"{setting.option}/--no-{setting.option.removeprefix('--')}"


def _sentence(setting: Setting) -> str:
    return f"{setting.sentence}  [{'; '.join(filter(None, (setting.variable, shown_default(setting))))}]"


def shown_default(setting: Setting) -> str:
    """The default as people would write it; empty when there is none."""
    if setting.kind is bool:
        return "on" if setting.default else "off"
    if setting.default in {"", ()}:
        return ""
    return (
        f"{setting.default:g} {setting.unit}" if setting.kind is float else f"{setting.default} {setting.unit}".strip()
    )


def _shape(setting: Setting) -> dict[str, Any]:
    if setting.kind is bool:
        return {"is_flag": True}
    if setting.choices:
        return {"type": click.Choice(setting.choices), "metavar": "|".join(filter(None, setting.choices))}
    if setting.name.endswith("port"):
        return {"type": click.IntRange(0, 65535), "metavar": "PORT"}
    kind = click.Path(path_type=Path) if setting.kind is Path else setting.kind
    metavar = {"s": "SECONDS", "KiB": "KIB"}.get(setting.unit)
    return {"type": kind, "multiple": setting.many, "metavar": metavar}


def settings_options(
    *frequent: str, only: Iterable[str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command every setting (or `only` some) as options, and its function one argument `settings`.

    The `frequent` ones stand first in its help, beside the command's own options.
    """
    wanted = {row.name for row in TABLE} if only is None else {*only, *frequent}
    rank = {name: index for index, name in enumerate(frequent)}
    rows = sorted((row for row in TABLE if row.name in wanted), key=lambda row: rank.get(row.name, len(rank)))

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            for name, near in misspelt(os.environ).items():
                click.echo(f"warning: {name} is no setting{f'; {near} is' if near else ''}", err=True)
            options = {row.name: given.pop(row.name) for row in rows}
            return function(*args, settings=Settings.read(options, os.environ), **given)

        # click reads the parameters from here, last one first.
        params: list[click.Parameter] = getattr(function, "__click_params__", [])
        added = [SettingOption(row, frequent=row.name in rank) for row in rows]
        call.__click_params__ = [*reversed(added), *params]  # type: ignore[attr-defined]
        return call

    return decorate


def _remember(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    ctx.meta[AS_JSON] = ctx.meta.get(AS_JSON, False) or value
    return value


def json_flag(sentence: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--json`, described by a sentence; errors follow it too."""
    return click.option("--json", "as_json", is_flag=True, is_eager=True, callback=_remember, help=sentence)


json_option = json_flag("Print JSON instead of a table.")
"""`--json`; errors follow it too."""

data_dir_option = settings_options("data_dir", only=())
"""`--data-dir` alone, for commands on the store."""

service_option = click.option(
    "--service", metavar="HOST", default="", help="The service; needed when there are several."
)

host_option = click.option("--service", metavar="HOST", default="", help="The service of documents that name no host.")

force_option = click.option("--force", is_flag=True, help="Go live even if an issuer's key set cannot be fetched.")

files_argument = click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
"""Documents. Whether they exist and can be read, `sources.read_files` says in its own words."""


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """The store of `--data-dir`, closed at the end."""
    from authz.store.sql import open_store

    with contextlib.closing(open_store(settings.data_dir)) as store:
        yield store
