"""The schema's versions and the way up. Importing alembic costs as much as a whole command, so only `upgrade` does."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

VERSIONS = ("0001",)
HEAD = VERSIONS[-1]


def upgrade(connection: Connection, current: str | None) -> None:
    """Apply every version after `current` (None: an empty database), within the connection's transaction."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(__file__).parent))
    context = MigrationContext.configure(connection)
    with Operations.context(context):
        # Alembic lists versions from the newest to the oldest.
        for step in reversed(list(scripts.iterate_revisions(HEAD, current or "base"))):
            step.module.upgrade()
    context.stamp(scripts, HEAD)
