"""A consumer's own limits: more, less, none or all of what a service gives everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authz.admin import consumers, unknown
from authz.admin.configs import current, meaning, service_of
from authz.errors import UsageError
from authz.model.quota import UNLIMITED, Limit, Override
from authz.store.base import Store

_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class NamedOverride:
    """An override, with the name of its consumer."""

    consumer: str
    override: Override


def set_override(
    store: Store, service: str, consumer: str, value: int, *, metric: str = "", limit: str = ""
) -> NamedOverride:
    """Give a consumer its own value for one limit, or for all limits of a metric. -1 is unlimited, 0 blocks.

    Raises:
        UsageError: the service, consumer, metric or limit does not exist, or the value is none.
    """
    name = service_of(store, service)
    if not UNLIMITED <= value <= _LARGEST:
        raise UsageError(f"{value} is no limit.", "Write -1 for unlimited, 0 to block, or how much is allowed.")
    owner = consumers.find(store, consumer)
    limits = _chosen(_limits(store, name), metric, limit, name)
    override = Override(name, owner.number, limits[0].metric, value, limit)
    store.set_override(override)
    return NamedOverride(owner.name, override)


def list_overrides(store: Store, service: str = "", consumer: str = "") -> list[NamedOverride]:
    """All overrides, or those of one service or consumer.

    Raises:
        UsageError: there is no such service or consumer.
    """
    names = {known.number: known.name for known in store.consumers()}
    wanted = store.overrides(service_of(store, service) if service else None)
    if consumer and consumer not in names.values():
        raise unknown("consumer", consumer, names.values())
    named = [NamedOverride(names[override.consumer], override) for override in wanted]
    return [one for one in named if consumer in {"", one.consumer}]


def unset(store: Store, service: str, consumer: str, *, metric: str = "", limit: str = "") -> NamedOverride:
    """Take an override back, even when its metric or limit is gone by now.

    Raises:
        UsageError: there is no such override.
    """
    _one_of(metric, limit)
    name = service_of(store, service)
    for one in list_overrides(store, name, consumer):
        override = one.override
        if override.limit == limit and metric in {override.metric, ""} and one.consumer == consumer:
            store.delete_override(override)
            return one
    what = f"the limit '{limit}'" if limit else f"the metric '{metric}'"
    raise UsageError(
        f"The consumer '{consumer}' has no override for {what} of {name}.", "'authz quota list' shows what there is."
    )


def _limits(store: Store, service: str) -> tuple[Limit, ...]:
    stored = current(store, service)
    return meaning(stored).limits if stored else ()


def _one_of(metric: str, limit: str) -> None:
    if not metric and not limit:
        raise UsageError("Neither a metric nor a limit is named.", "Name one of them.")


def _chosen(limits: Sequence[Limit], metric: str, limit: str, service: str) -> Sequence[Limit]:
    """The limits that an override is about: one of a name, or all of a metric; never none."""
    _one_of(metric, limit)
    where = f" of the service {service}"
    chosen = [one for one in limits if limit in {one.name, ""}]
    if not chosen:
        raise unknown("limit", limit, (one.name for one in limits), where)
    fitting = [one for one in chosen if metric in {one.metric, ""}]
    if limit and not fitting:
        raise UsageError(
            f"The limit '{limit}'{where} counts '{chosen[0].metric}', not '{metric}'.", "Leave the metric out."
        )
    if not fitting:
        raise unknown("limited metric", metric, (one.metric for one in limits), where)
    return fitting
