"""The store on SQLite, or on any database that SQLAlchemy speaks to: how it is opened, and the store put together."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import delete, insert, inspect, select, text, update

from authz.errors import StoreError
from authz.store import feed, migrations, tables
from authz.store.base import Changes, Gateway, Store
from authz.store.configs import Configs
from authz.store.consumers import Consumers
from authz.store.engine import LOCK_SECONDS, sqlite_engine, url_engine
from authz.store.tables import secret

_VERSION_TABLE = "alembic_version"
_FORGOTTEN_AFTER = 86400.0


class SqlStore(Configs, Consumers, Store):
    """A `Store`. Safe to use from many threads, and from many processes at once."""

    def revision(self) -> int:
        with self._read() as connection:
            return feed.revision(connection)

    def changes(self, since: int) -> Changes:
        with self._read() as connection:
            return feed.changes(connection, since)

    def beat(self, gateway: Gateway) -> None:
        with self._write() as connection:
            known = connection.execute(
                update(tables.gateway)
                .where(tables.gateway.c.id == gateway.id)
                .values(url=gateway.url, seen_at=gateway.seen_at)
            ).rowcount
            if not known:
                connection.execute(
                    insert(tables.gateway).values(id=gateway.id, url=gateway.url, seen_at=gateway.seen_at)
                )
            connection.execute(
                delete(tables.gateway).where(tables.gateway.c.seen_at < gateway.seen_at - _FORGOTTEN_AFTER)
            )

    def leave(self, gateway_id: str) -> None:
        with self._write() as connection:
            connection.execute(delete(tables.gateway).where(tables.gateway.c.id == gateway_id))

    def gateways(self, seen_since: float) -> list[Gateway]:
        wanted = select(tables.gateway).where(tables.gateway.c.seen_at >= seen_since).order_by(tables.gateway.c.id)
        with self._read() as connection:
            return [Gateway(row.id, row.url, row.seen_at) for row in connection.execute(wanted)]

    def secret(self, name: str, fresh: bytes) -> bytes:
        with self._write() as connection:
            kept = connection.execute(select(secret.c.value).where(secret.c.name == name)).scalar()
            if kept is None:
                connection.execute(insert(secret).values(name=name, value=fresh))
            return fresh if kept is None else bytes(kept)

    def migrate(self) -> None:
        """Bring the schema up to this program's version.

        Raises:
            StoreError: the schema is of a version that this program does not know.
        """
        if self._version() == migrations.HEAD:
            return
        # Another process may be doing the same: look again once nobody else can write.
        with self._alone() as connection:
            current = self._version()
            if current is not None and current not in migrations.VERSIONS:
                raise StoreError(
                    f"The database {self._name} has the schema version '{current}', which this program does not know; "
                    f"it knows up to '{migrations.HEAD}'.",
                    "Use the newer authz that wrote it, or another directory with --data-dir.",
                )
            if current != migrations.HEAD:
                migrations.upgrade(connection, current)

    def _version(self) -> str | None:
        with self._read() as connection:
            if not inspect(connection).has_table(_VERSION_TABLE):
                return None
            return connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608


def open_store(data_dir: Path, *, lock_seconds: float = LOCK_SECONDS) -> SqlStore:
    """The store in a directory, which is made if need be.

    Raises:
        StoreError: it cannot be used; says why, and what helps.
    """
    return _migrated(SqlStore(*sqlite_engine(data_dir, lock_seconds)))


def open_url(url: str, *, lock_seconds: float = LOCK_SECONDS) -> SqlStore:
    """The store that a database URL names.

    Raises:
        UsageError: it is no database URL, or its driver is not installed.
        StoreError: the database cannot be used.
    """
    return _migrated(SqlStore(*url_engine(url, lock_seconds)))


def _migrated(store: SqlStore) -> SqlStore:
    try:
        store.migrate()
    except BaseException:
        store.close()
        raise
    return store
