"""Configs, rollouts and what gateways said to them, in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, delete, insert, select, update

from authz.errors import UsageError
from authz.model.inventory import Rollout, RolloutStatus
from authz.model.quota import Override
from authz.model.service import SourceText
from authz.store import feed, tables
from authz.store.base import ChangeKind, Delivery, Deployed, Live, StoredConfig, digest_of
from authz.store.engine import Database
from authz.store.tables import config, config_text, quota_override, rollout

_STANDING = (RolloutStatus.PENDING.value, RolloutStatus.LIVE.value)
_WHOLE = 100.0
_T = TypeVar("_T")


class Configs(Database):
    """The part of the store that holds what services mean and which of it is live."""

    def add_config(self, service: str, texts: Sequence[SourceText], now: float) -> tuple[StoredConfig, bool]:
        with self._write() as connection:
            return _add_config(connection, service, texts, now)

    def services(self) -> list[str]:
        with self._read() as connection:
            return list(connection.execute(select(config.c.service).distinct().order_by(config.c.service)).scalars())

    def configs(self, service: str | None = None) -> list[StoredConfig]:
        with self._read() as connection:
            return _configs(connection, *_of(config, service))

    def config(self, service: str, config_id: str) -> StoredConfig | None:
        with self._read() as connection:
            return _first(_configs(connection, config.c.service == service, config.c.id == config_id))

    def add_rollout(
        self, service: str, shares: Sequence[tuple[str, float]], now: float, *, force: bool = False
    ) -> Rollout:
        with self._write() as connection:
            return _add_rollout(connection, service, shares, now, force=force)

    def add_deployment(self, service: str, texts: Sequence[SourceText], now: float, *, force: bool = False) -> Deployed:
        with self._write() as connection:
            stored, is_new = _add_config(connection, service, texts, now)
            shares = ((stored.id, _WHOLE),)
            current = _first(_current(connection, service))
            if current and current.shares == shares and (current.force or not force or _is_live(current)):
                return Deployed(stored, is_new, current, rollout_is_new=False)
            return Deployed(stored, is_new, _add_rollout(connection, service, shares, now, force=force), True)

    def rollouts(self, service: str | None = None) -> list[Rollout]:
        with self._read() as connection:
            return _rollouts(connection, *_of(rollout, service))

    def rollout(self, service: str, rollout_id: str) -> Rollout | None:
        with self._read() as connection:
            return _first(_rollouts(connection, rollout.c.service == service, rollout.c.id == rollout_id))

    def set_rollout_status(self, service: str, rollout_id: str, status: RolloutStatus, message: str = "") -> None:
        with self._write() as connection:
            place = _place(connection, service, rollout_id)
            before = _current(connection, service)
            if status is RolloutStatus.LIVE:
                status = _make_way(connection, service, place)
            connection.execute(
                update(rollout).where(rollout.c.place == place).values(status=status.value, message=message)
            )
            if _identities(_current(connection, service)) != _identities(before):
                feed.record(connection, ChangeKind.SERVICE, [service])

    def add_delivery(self, delivery: Delivery) -> None:
        with self._write() as connection:
            connection.execute(
                delete(tables.delivery).where(
                    tables.delivery.c.service == delivery.service,
                    tables.delivery.c.rollout == delivery.rollout,
                    tables.delivery.c.gateway == delivery.gateway,
                )
            )
            connection.execute(
                insert(tables.delivery).values(
                    service=delivery.service,
                    rollout=delivery.rollout,
                    gateway=delivery.gateway,
                    ok=delivery.ok,
                    message=delivery.message,
                    at=delivery.at,
                )
            )

    def deliveries(self, service: str, rollout_id: str) -> list[Delivery]:
        wanted = (
            select(tables.delivery)
            .where(tables.delivery.c.service == service, tables.delivery.c.rollout == rollout_id)
            .order_by(tables.delivery.c.at.desc(), tables.delivery.c.gateway)
        )
        with self._read() as connection:
            return [
                Delivery(row.rollout, row.service, row.gateway, row.ok, row.message, row.at)
                for row in connection.execute(wanted)
            ]

    def live(self, *, including_pending: bool = True) -> Live:
        statuses = _STANDING if including_pending else (RolloutStatus.LIVE.value,)
        with self._read() as connection:
            rollouts = _current(connection, None, statuses)
            configs = [
                stored
                for one in rollouts
                for stored in _configs(
                    connection, config.c.service == one.service, config.c.id.in_([name for name, _ in one.shares])
                )
            ]
            rows = connection.execute(select(quota_override)).all()
            overrides = sorted((override_of(row) for row in rows), key=repr)
            return Live(feed.revision(connection), tuple(rollouts), tuple(configs), tuple(overrides))


def override_of(row: Row[Any]) -> Override:
    """A row of `quota_override`."""
    return Override(row.service, row.consumer, row.metric, row.value, row.limit_name)


def _add_config(
    connection: Connection, service: str, texts: Sequence[SourceText], now: float
) -> tuple[StoredConfig, bool]:
    digest = digest_of(texts)
    known = _first(_configs(connection, config.c.service == service, config.c.digest == digest))
    if known:
        return known, False
    stored = StoredConfig(service, _next_id(connection, config, service, now), digest, tuple(texts), now)
    inserted = connection.execute(
        insert(config).values(service=service, id=stored.id, digest=digest, created_at=now)
    ).inserted_primary_key
    place = inserted[0] if inserted else None
    rows = [
        {"config": place, "position": position, "file": text.file, "text": text.text}
        for position, text in enumerate(texts)
    ]
    connection.execute(insert(config_text), rows)
    return stored, True


def _add_rollout(
    connection: Connection, service: str, shares: Sequence[tuple[str, float]], now: float, *, force: bool
) -> Rollout:
    wanted = {name for name, _ in shares}
    known = set(
        connection.execute(select(config.c.id).where(config.c.service == service, config.c.id.in_(wanted))).scalars()
    )
    if missing := sorted(wanted - known):
        raise UsageError(
            f"The service {service} has no config {', '.join(missing)}.", "'authz configs list' shows what it has."
        )
    new = Rollout(_next_id(connection, rollout, service, now), service, tuple(shares), created_at=now, force=force)
    connection.execute(
        insert(rollout).values(
            service=service,
            id=new.id,
            shares=[list(share) for share in shares],
            status=new.status.value,
            message="",
            created_at=now,
            force=force,
        )
    )
    feed.record(connection, ChangeKind.SERVICE, [service])
    return new


def _next_id(connection: Connection, table: Table, service: str, now: float) -> str:
    """`YYYY-MM-DDrN`: N counts from 1 anew on each day (UTC)."""
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dr")
    ids = connection.execute(select(table.c.id).where(table.c.service == service, table.c.id.startswith(day))).scalars()
    return f"{day}{max((int(name.removeprefix(day)) for name in ids), default=0) + 1}"


def _make_way(connection: Connection, service: str, place: int) -> RolloutStatus:
    """Retire what a rollout that goes live overtakes; tells its own status, which a later live one may decide."""
    of_service = rollout.c.service == service
    overtaken = connection.execute(
        select(rollout.c.place).where(of_service, rollout.c.place > place, rollout.c.status == RolloutStatus.LIVE.value)
    ).first()
    if overtaken:
        return RolloutStatus.SUPERSEDED
    connection.execute(
        update(rollout)
        .where(of_service, rollout.c.place < place, rollout.c.status.in_(_STANDING))
        .values(status=RolloutStatus.SUPERSEDED.value)
    )
    return RolloutStatus.LIVE


def _current(connection: Connection, service: str | None, statuses: Iterable[str] = _STANDING) -> list[Rollout]:
    """Each service's newest rollout of these statuses, by the service's name."""
    newest: dict[str, Rollout] = {}
    for one in _rollouts(connection, *_of(rollout, service), rollout.c.status.in_(statuses)):
        newest.setdefault(one.service, one)
    return [newest[name] for name in sorted(newest)]


def _identities(rollouts: Iterable[Rollout]) -> list[tuple[str, str]]:
    return [(one.service, one.id) for one in rollouts]


def _is_live(one: Rollout) -> bool:
    return one.status is RolloutStatus.LIVE


def _place(connection: Connection, service: str, rollout_id: str) -> int:
    place = connection.execute(
        select(rollout.c.place).where(rollout.c.service == service, rollout.c.id == rollout_id)
    ).scalar()
    if place is None:
        raise UsageError(
            f"The service {service} has no rollout {rollout_id}.", "'authz rollouts list' shows what it has."
        )
    return int(place)


def _rollouts(connection: Connection, *conditions: ColumnElement[bool]) -> list[Rollout]:
    rows = connection.execute(select(rollout).where(*conditions).order_by(rollout.c.place.desc()))
    return [
        Rollout(
            row.id,
            row.service,
            tuple((name, float(percent)) for name, percent in row.shares),
            RolloutStatus(row.status),
            row.message,
            row.created_at,
            row.force,
        )
        for row in rows
    ]


def _configs(connection: Connection, *conditions: ColumnElement[bool]) -> list[StoredConfig]:
    texts: dict[int, list[SourceText]] = {}
    rows: dict[int, Row[Any]] = {}
    for row in connection.execute(_with_texts(*conditions)):
        rows[row.place] = row
        texts.setdefault(row.place, []).append(SourceText(row.file, row.text))
    return [
        StoredConfig(row.service, row.id, row.digest, tuple(texts[place]), row.created_at)
        for place, row in rows.items()
    ]


def _with_texts(*conditions: ColumnElement[bool]) -> Select[Any]:
    return (
        select(config, config_text.c.file, config_text.c.text)
        .join(config_text, config_text.c.config == config.c.place)
        .where(*conditions)
        .order_by(config.c.place.desc(), config_text.c.position)
    )


def _of(table: Table, service: str | None) -> list[ColumnElement[bool]]:
    column: Column[str] = table.c.service
    return [] if service is None else [column == service]


def _first(items: Sequence[_T]) -> _T | None:
    return items[0] if items else None
