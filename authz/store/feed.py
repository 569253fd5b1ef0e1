"""The revision feed in SQL: what a writing transaction adds, and what a reader asks.

A revision is a row's counter and no auto-incremented key: transactions take that row first and so commit in the order
of their revisions, on every database. A reader can therefore never see a later revision before an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, select, update

from authz.store.base import ChangeKind, Changes
from authz.store.tables import change, config, feed

KEPT_REVISIONS = 10_000
MOST_REFS = 500
"""More changes of one kind at once are written as one row: everything of that kind changed."""

EVERYTHING = "*"

_NEWEST = select(feed.c.revision).where(feed.c.id == 1)


def revision(connection: Connection) -> int:
    """The newest revision."""
    return int(connection.execute(_NEWEST).scalar_one())


def take_turn(connection: Connection) -> None:
    """Wait until no other transaction writes. SQLite has taken its only write lock before, and ignores this."""
    connection.execute(_NEWEST.with_for_update())


def record(connection: Connection, kind: ChangeKind, refs: Iterable[str]) -> None:
    """Make a new revision that touched these."""
    touched = sorted(set(refs))
    if len(touched) > MOST_REFS:
        touched = [EVERYTHING]
    new = revision(connection) + 1
    connection.execute(update(feed).values(revision=new))
    connection.execute(insert(change), [{"revision": new, "kind": kind.value, "ref": ref} for ref in touched])
    _prune(connection, new - KEPT_REVISIONS)


def _prune(connection: Connection, upto: int) -> None:
    # Every hundredth time is enough, and keeps the other writes short.
    if upto > 0 and upto % 100 == 0:
        connection.execute(delete(change).where(change.c.revision <= upto))
        connection.execute(update(feed).values(pruned=upto))


def changes(connection: Connection, since: int) -> Changes:
    """What happened after `since`: everything, if the feed does not reach back to it or has never been there."""
    newest, pruned = connection.execute(select(feed.c.revision, feed.c.pruned).where(feed.c.id == 1)).one()
    if since == newest:
        return Changes(newest)
    if not pruned <= since < newest:
        services = connection.execute(select(config.c.service).distinct()).scalars()
        return Changes(newest, services=frozenset(services), all_keys=True, overrides=True)
    touched: dict[str, set[str]] = {kind.value: set() for kind in ChangeKind}
    for kind, ref in connection.execute(select(change.c.kind, change.c.ref).where(change.c.revision > since)):
        touched[kind].add(ref)
    keys = touched[ChangeKind.KEY.value]
    all_keys = EVERYTHING in keys or bool(touched[ChangeKind.CONSUMER.value])
    return Changes(
        newest,
        services=frozenset(touched[ChangeKind.SERVICE.value]),
        keys=frozenset(bytes.fromhex(ref) for ref in keys - {EVERYTHING}),
        all_keys=all_keys,
        overrides=bool(touched[ChangeKind.OVERRIDE.value]),
    )
