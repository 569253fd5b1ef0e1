"""The migrations and the tables say the same."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from authz.store import migrations
from authz.store.sql import open_store
from authz.store.tables import metadata


def test_migrating_makes_the_tables(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store, store._read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_versions_are_those_of_the_scripts_in_their_order() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    found = [script.revision for script in scripts.walk_revisions()][::-1]
    assert tuple(found) == migrations.VERSIONS
    assert scripts.get_current_head() == migrations.HEAD
