"""Consumers, their keys and their overrides, in SQL."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from authz.errors import UsageError
from authz.model.auth import AndroidApp, ApiKey, ApiTarget, Consumer, ConsumerKind, ConsumerStatus, Restrictions
from authz.model.quota import Override
from authz.store import feed
from authz.store.base import ChangeKind
from authz.store.configs import override_of
from authz.store.engine import Database
from authz.store.tables import api_key, consumer, quota_override

_KEYS = select(api_key, consumer.c.number, consumer.c.name, consumer.c.kind, consumer.c.status).join(
    consumer, consumer.c.number == api_key.c.consumer
)
_BY_DIGEST = _KEYS.where(api_key.c.digest == bindparam("digest"))
"""Made once: to build and to recognise a statement takes SQLAlchemy longer than to run this one."""


class Consumers(Database):
    """The part of the store that holds who calls, with what, and how much."""

    def add_consumer(self, name: str, kind: ConsumerKind, now: float, *, number: int | None = None) -> Consumer:
        with self._write() as connection:
            _refuse_taken(connection, name, number)
            if number is None:
                number = (connection.execute(select(func.max(consumer.c.number))).scalar() or 0) + 1
            new = Consumer(number, name, kind)
            connection.execute(
                insert(consumer).values(
                    number=number, name=name, kind=kind.value, status=new.status.value, created_at=now
                )
            )
            return new

    def consumer(self, name: str) -> Consumer | None:
        with self._read() as connection:
            return _consumer(connection, name)

    def consumers(self) -> list[Consumer]:
        with self._read() as connection:
            return [_consumer_of(row) for row in connection.execute(select(consumer).order_by(consumer.c.name))]

    def set_consumer_status(self, name: str, status: ConsumerStatus) -> Consumer:
        with self._write() as connection:
            known = _consumer(connection, name)
            if known is None:
                raise UsageError(f"There is no consumer '{name}'.", "'authz consumers list' shows those there are.")
            if known.status is status:
                return known
            connection.execute(update(consumer).where(consumer.c.name == name).values(status=status.value))
            feed.record(connection, ChangeKind.CONSUMER, [name])
            return dataclasses.replace(known, status=status)

    def add_key(self, key: ApiKey) -> None:
        self.add_keys([key])

    def add_keys(self, keys: Sequence[ApiKey]) -> None:
        if keys:
            with self._write() as connection:
                _add_keys(connection, keys)

    def key(self, digest: bytes) -> ApiKey | None:
        with self._read() as connection:
            row = connection.execute(_BY_DIGEST, {"digest": digest}).first()
            return _key_of(row) if row else None

    def key_by_uid(self, uid: str) -> ApiKey | None:
        with self._read() as connection:
            return _key(connection, api_key.c.uid == uid)

    def keys(self, consumer: str | None = None) -> list[ApiKey]:
        wanted = _KEYS if consumer is None else _KEYS.where(_named(consumer))
        return self._keys(wanted)

    def has_keys(self) -> bool:
        with self._read() as connection:
            return connection.execute(select(api_key.c.uid).limit(1)).first() is not None

    def keys_like(self, prefix: str, most: int) -> list[ApiKey]:
        columns = (api_key.c.uid, api_key.c.hint)
        wanted = _KEYS.where(or_(*(func.substr(column, 1, len(prefix)) == prefix for column in columns)))
        return self._keys(wanted.limit(most))

    def _keys(self, wanted: Select[Any]) -> list[ApiKey]:
        with self._read() as connection:
            rows = connection.execute(wanted.order_by(api_key.c.created_at.desc(), api_key.c.uid))
            return [_key_of(row) for row in rows]

    def revoke_key(self, uid: str, at: float) -> ApiKey:
        with self._write() as connection:
            return _revoke(connection, uid, at)

    def replace_key(self, uid: str, at: float, replacement: ApiKey) -> ApiKey:
        with self._write() as connection:
            _add_keys(connection, [replacement])
            return _revoke(connection, uid, at)

    def set_override(self, override: Override) -> None:
        with self._write() as connection:
            connection.execute(delete(quota_override).where(*_identity(override)))
            connection.execute(
                insert(quota_override).values(
                    service=override.service,
                    consumer=override.consumer,
                    metric=override.metric,
                    limit_name=override.limit,
                    value=override.value,
                )
            )
            feed.record(connection, ChangeKind.OVERRIDE, [override.service])

    def delete_override(self, override: Override) -> bool:
        with self._write() as connection:
            gone = connection.execute(delete(quota_override).where(*_identity(override))).rowcount
            if gone:
                feed.record(connection, ChangeKind.OVERRIDE, [override.service])
            return bool(gone)

    def overrides(self, service: str | None = None) -> list[Override]:
        wanted = select(quota_override).order_by(
            quota_override.c.service, quota_override.c.consumer, quota_override.c.metric, quota_override.c.limit_name
        )
        if service is not None:
            wanted = wanted.where(quota_override.c.service == service)
        with self._read() as connection:
            return [override_of(row) for row in connection.execute(wanted)]


def _named(name: str) -> ColumnElement[bool]:
    return consumer.c.name == name


def _refuse_taken(connection: Connection, name: str, number: int | None) -> None:
    known = _consumer(connection, name)
    if known and known.status is ConsumerStatus.DELETED:
        raise UsageError(
            f"The consumer '{name}' was deleted, and its name is kept for it.",
            f"Bring it back with 'authz consumers activate {name}', or choose another name.",
        )
    if known:
        raise UsageError(f"There is a consumer '{name}' already.", "Choose another name, or use that one.")
    if number is None:
        return
    owner = connection.execute(select(consumer.c.name).where(consumer.c.number == number)).scalar()
    if owner is not None:
        raise UsageError(
            f"The number {number} belongs to the consumer '{owner}'.", "Choose another one, or leave it out."
        )


def _consumer(connection: Connection, name: str) -> Consumer | None:
    row = connection.execute(select(consumer).where(_named(name))).first()
    return _consumer_of(row) if row else None


def _consumer_of(row: Row[Any]) -> Consumer:
    return Consumer(row.number, row.name, ConsumerKind(row.kind), ConsumerStatus(row.status))


def _add_keys(connection: Connection, keys: Sequence[ApiKey]) -> None:
    try:
        connection.execute(insert(api_key), [_row_of(key) for key in keys])
    except IntegrityError as error:
        raise UsageError(
            "A key with this text or uid exists already, or its consumer does not.",
            "'authz keys list' shows every key's beginning and consumer.",
        ) from error
    feed.record(connection, ChangeKind.KEY, (key.digest.hex() for key in keys))


def _revoke(connection: Connection, uid: str, at: float) -> ApiKey:
    known = _key(connection, api_key.c.uid == uid)
    if known is None:
        raise UsageError(f"There is no key {uid}.", "'authz keys list' shows those there are.")
    if known.revoked_at and known.revoked_at <= at:
        return known
    connection.execute(update(api_key).where(api_key.c.uid == uid).values(revoked_at=at))
    feed.record(connection, ChangeKind.KEY, [known.digest.hex()])
    return dataclasses.replace(known, revoked_at=at)


def _key(connection: Connection, condition: ColumnElement[bool]) -> ApiKey | None:
    row = connection.execute(_KEYS.where(condition)).first()
    return _key_of(row) if row else None


def _row_of(key: ApiKey) -> dict[str, Any]:
    return {
        "uid": key.uid,
        "digest": key.digest,
        "consumer": key.consumer.number,
        "hint": key.hint,
        "display_name": key.display_name,
        "services": list(key.services),
        "restrictions": dataclasses.asdict(key.restrictions),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def _key_of(row: Row[Any]) -> ApiKey:
    return ApiKey(
        row.uid,
        row.digest,
        _consumer_of(row),
        row.hint,
        row.display_name,
        tuple(row.services),
        _restrictions_of(row.restrictions),
        row.created_at,
        row.expires_at,
        row.revoked_at,
    )


def _restrictions_of(stored: Mapping[str, Any]) -> Restrictions:
    return Restrictions(
        tuple(stored["allow_ips"]),
        tuple(stored["allow_referrers"]),
        tuple(AndroidApp(app["package"], app["sha1"]) for app in stored["android_apps"]),
        tuple(stored["ios_bundles"]),
        tuple(ApiTarget(target["service"], tuple(target["methods"])) for target in stored["api_targets"]),
    )


def _identity(override: Override) -> tuple[ColumnElement[bool], ...]:
    return (
        quota_override.c.service == override.service,
        quota_override.c.consumer == override.consumer,
        quota_override.c.metric == override.metric,
        quota_override.c.limit_name == override.limit,
    )
