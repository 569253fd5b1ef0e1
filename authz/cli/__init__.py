"""argv to one admin call, one file a noun. This room knows neither SQL nor rules.

Commands import the rooms they need when they run, so that `--help` and `openapi lint` start fast. What runs
processes is passed in (`cli.runners.Runners`), because the composition root stands above this room.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from authz import __version__
from authz.cli import consumers, deploy, envoy, explain, frameworks, keys, openapi, quota, reference, rollouts, run
from authz.cli.options import AS_JSON, Group
from authz.cli.runners import Runners
from authz.errors import AuthzError

INTERRUPTED = 130
"""128 and SIGINT, what shells give a command that Ctrl-C ended."""


class _Root(Group):
    """The command `authz`: every error becomes one message and an exit code."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the command that was named; its return value, if it is a number, is the exit code."""
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except AuthzError as error:
            _tell(error, as_json=ctx.meta.get(AS_JSON, False))
            code = error.exit_code
        except KeyboardInterrupt:
            code = INTERRUPTED
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if os.environ.get("AUTHZ_DEBUG"):
                raise
            _tell(_unexpected(error), as_json=ctx.meta.get(AS_JSON, False))
            code = 1
        ctx.exit(code if isinstance(code, int) else 0)


def _tell(error: AuthzError, *, as_json: bool) -> None:
    from authz.cli import screen

    if as_json:
        screen.print_json(screen.error_json(error))
    screen.print_error(error)


def _unexpected(error: Exception) -> AuthzError:
    words = str(error).strip().splitlines() or [""]
    return AuthzError(
        f"unexpected {type(error).__name__}: {words[0]}",
        "This is a mistake in authz. Run the command with AUTHZ_DEBUG=1 to see where, and report it.",
    )


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="authz")
def root() -> None:
    """Cloud Endpoints, self-hosted: an OpenAPI file in, a guarded API on Envoy out.

    Start with `authz up openapi.yaml --backend http://127.0.0.1:9000`, or with `authz demo`.
    """


for _command in (
    run.up,
    run.demo,
    deploy.deploy,
    explain.explain,
    openapi.openapi,
    frameworks.frameworks,
    envoy.envoy,
    keys.keys,
    consumers.consumers,
    quota.quota,
    rollouts.configs,
    rollouts.rollouts,
    run.serve,
    reference.settings,
    reference.reference,
):
    root.add_command(_command)


def main(runners: Runners, args: Sequence[str] | None = None) -> Any:
    """Run the command line and leave the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return root.main(args=args, prog_name="authz", obj=runners)
