"""One database: its connections, its transactions, and what its errors mean to a person.

Reads see one moment of the database. Writes come one after the other; on SQLite because the write lock is taken at
the beginning of the transaction, elsewhere because each takes the feed's row first.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from authz.errors import StoreError, UsageError
from authz.store import feed

LOCK_SECONDS = 5.0
FILE_NAME = "authz.db"

_WRITE = "authz_write"
_LONGEST_WORDS = 200

# What the database's own words contain, what that means, and what helps.
_MEANINGS = (
    (
        ("not a database", "malformed", "encrypted", "no such table", "no such column", "could not decode"),
        "is not a database of ours, or is damaged",
        "Restore a backup of it, or move it away: the next start makes a new one.",
    ),
    (
        ("locked", "busy"),
        "stayed locked by another process for too long",
        "Try again; if it stays so, find out which process holds it open.",
    ),
    (
        ("readonly", "read-only", "unable to open", "permission denied"),
        "cannot be written",
        "Give this user the right to write to the file and its directory, or choose another one with --data-dir.",
    ),
    (("full", "no space"), "cannot grow: the disk is full", "Make room on its disk."),
    (("disk i/o",), "cannot be read or written", "Make room on its disk if it is full, and see that it is sound."),
)


class Database:
    """A pool of connections to one database. `name` is what messages call it."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._explained(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._alone() as connection:
            feed.take_turn(connection)
            yield connection

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        with self._explained(), self._engine.connect() as plain:
            connection = plain.execution_options(**{_WRITE: True})
            with connection.begin():
                yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise explain(self._name, str(getattr(error, "orig", None) or error)) from error
        except (ValueError, LookupError, TypeError) as error:
            # What is kept was written by us: if it is no noun any more, the file was damaged behind SQLite's back.
            raise explain(self._name, f"malformed: {error}") from error

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def explain(name: str, words: str) -> StoreError:
    """A database's own words, and what they mean to a person."""
    words = "".join(letter if letter.isprintable() else "?" for letter in words[:_LONGEST_WORDS])
    for fragments, meaning, remedy in _MEANINGS:
        if any(fragment in words.lower() for fragment in fragments):
            return StoreError(f"The database {name} {meaning} ({words}).", remedy)
    return StoreError(f"The database {name} refused: {words}.", "Look at its own log, if it has one.")


def sqlite_engine(directory: Path, lock_seconds: float) -> tuple[Engine, str]:
    """An engine on the file in a directory; both are made if need be, for this user's eyes only.

    Raises:
        StoreError: the directory or the file cannot be made or written.
    """
    path = directory / FILE_NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite would make the file readable to everyone, and the gateway's signing key is in it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(
            f"The data directory {directory} cannot be used: {error.strerror} ({error.filename}).",
            "Choose a directory that you may write to with --data-dir.",
        ) from error
    return _engine(URL.create("sqlite", database=str(path)), lock_seconds), str(path)


def url_engine(text: str, lock_seconds: float) -> tuple[Engine, str]:
    """An engine on whatever a database URL names, and the URL without its password.

    Raises:
        UsageError: it is no such URL, or the package that speaks to such a database is not installed.
    """
    try:
        url = make_url(text)
        return _engine(url, lock_seconds), url.render_as_string(hide_password=True)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        # Its own words may repeat the URL, and with it the password.
        raise UsageError(
            "The database URL cannot be understood.", "Write DIALECT://USER:PASSWORD@HOST:PORT/NAME."
        ) from error
    except ImportError as error:
        raise UsageError(
            f"The database URL needs the Python package '{error.name}', which is not installed.",
            f"Install it: pip install {error.name}.",
        ) from error


def _engine(url: URL, lock_seconds: float) -> Engine:
    local = url.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {"timeout": lock_seconds} if local else {}
    return create_engine(url, connect_args=arguments, pool_timeout=lock_seconds, pool_pre_ping=not local)


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # None: the driver begins no transactions of its own accord; `_begin_sqlite` does.
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
