"""Configs that were deployed: listed, shown, and compared with each other."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, replace

from authz.admin import unknown
from authz.errors import DocumentError, StateError, UsageError
from authz.model.auth import Alternative, Requirement
from authz.model.quota import UNLIMITED, Limit
from authz.model.service import Operation, ServiceConfig
from authz.sources import compile_texts
from authz.store.base import Store, StoredConfig


def service_of(store: Store, name: str) -> str:
    """The service of this name; the only one there is, if the name is empty.

    Raises:
        UsageError: there is none, or there are several to choose from.
    """
    services = store.services()
    if name in services:
        return name
    if name:
        raise unknown("service", name, services)
    if not services:
        raise UsageError("No service has been deployed yet.", "Deploy one with 'authz deploy FILE'.")
    if len(services) > 1:
        raise UsageError("There are several services.", f"Name one of: {', '.join(services)}.")
    return services[0]


def list_configs(store: Store, service: str = "") -> list[StoredConfig]:
    """The configs of one service, or of all; newest first.

    Raises:
        UsageError: there is no such service.
    """
    return store.configs(service_of(store, service) if service else None)


def show(store: Store, service: str, config_id: str) -> StoredConfig:
    """One config, with its texts as they were deployed.

    Raises:
        UsageError: there is no such service or config.
    """
    name = service_of(store, service)
    config = store.config(name, config_id)
    if config is None:
        raise unknown("config", config_id, (known.id for known in store.configs(name)), f" of the service {name}")
    return config


def current(store: Store, service: str) -> StoredConfig | None:
    """The config that has most of a service's traffic, or will have; None before the first rollout."""
    live = store.live()
    rollout = next((one for one in live.rollouts if one.service == service), None)
    if rollout is None:
        return None
    largest = max(rollout.shares, key=lambda share: share[1])[0]
    return next(config for config in live.configs if (config.service, config.id) == (service, largest))


def meaning(stored: StoredConfig) -> ServiceConfig:
    """What a config's texts mean.

    Raises:
        StateError: this version of the program reads the texts differently, and cannot make sense of them.
    """
    compiled = compile_texts(stored.texts, service=stored.service)
    if not compiled.configs:
        raise StateError(
            f"The config {stored.id} of {stored.service} cannot be read any more: {DocumentError(compiled.errors)}",
            "Deploy its documents again, mended.",
        )
    return replace(compiled.configs[0], id=stored.id)


class ChangeKind(enum.Enum):
    """What differs between two configs."""

    OPERATION_ADDED = "operation added"
    OPERATION_REMOVED = "operation removed"
    OPERATION_OPENED = "operation became open"
    ACCESS_WIDENED = "another way in"
    ACCESS_CHANGED = "access changed"
    PROVIDER_CHANGED = "token issuer changed"
    LIMIT_LIFTED = "limit lifted"
    LIMIT_CHANGED = "limit changed"


DANGEROUS = frozenset(
    {
        ChangeKind.OPERATION_REMOVED,
        ChangeKind.OPERATION_OPENED,
        ChangeKind.ACCESS_WIDENED,
        ChangeKind.PROVIDER_CHANGED,
        ChangeKind.LIMIT_LIFTED,
    }
)
"""What breaks callers, or lets in somebody who was kept out before."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; `subject` names the operation (`GET /v1/shelves`), provider or limit."""

    kind: ChangeKind
    subject: str
    before: str = ""
    after: str = ""

    @property
    def is_dangerous(self) -> bool:
        """Whether a person should look at it before it goes live."""
        return self.kind in DANGEROUS

    def __str__(self) -> str:
        words = f": {self.before or 'none'} -> {self.after or 'none'}" if self.before or self.after else ""
        return f"{self.kind.value}: {self.subject}{words}"


def changes(old: ServiceConfig, new: ServiceConfig) -> tuple[Change, ...]:
    """What differs, the dangerous first."""
    found = [*_operations(old, new), *_providers(old, new), *_limits(old, new)]
    return tuple(sorted(found, key=lambda change: (not change.is_dangerous, change.subject, change.kind.value)))


def _operations(old: ServiceConfig, new: ServiceConfig) -> Iterator[Change]:
    before, after = _by_route(old), _by_route(new)
    for route, operation in after.items():
        if route not in before:
            yield Change(ChangeKind.OPERATION_ADDED, _name(operation), after=_access(operation.requirement))
        elif kind := _access_change(before[route].requirement, operation.requirement):
            yield Change(kind, _name(operation), _access(before[route].requirement), _access(operation.requirement))
    for route, operation in before.items():
        if route not in after:
            yield Change(ChangeKind.OPERATION_REMOVED, _name(operation))


def _by_route(config: ServiceConfig) -> dict[object, Operation]:
    return {
        (operation.method, operation.template.shape): operation
        for operation in config.operations
        if not operation.generated
    }


def _name(operation: Operation) -> str:
    return f"{operation.method} {operation.template.text}"


def _access_change(old: Requirement, new: Requirement) -> ChangeKind | None:
    if old == new:
        return None
    if old.is_open:
        return ChangeKind.ACCESS_CHANGED
    if new.is_open or (new.optional and not old.optional):
        return ChangeKind.OPERATION_OPENED
    if set(new.alternatives) - set(old.alternatives):
        return ChangeKind.ACCESS_WIDENED
    return ChangeKind.ACCESS_CHANGED


def _access(requirement: Requirement) -> str:
    if requirement.is_open:
        return "open"
    ways = " or ".join(_way(alternative) for alternative in requirement.alternatives)
    return f"{ways}, or nothing" if requirement.optional else ways


def _way(alternative: Alternative) -> str:
    parts = ["API key"] if alternative.needs_key else []
    if jwt := alternative.jwt:
        scopes = f" with {' '.join(jwt.scopes)}" if jwt.scopes else ""
        parts.append(f"token of {jwt.provider}{scopes}")
    return " and ".join(parts)


def _providers(old: ServiceConfig, new: ServiceConfig) -> Iterator[Change]:
    after = {provider.id: provider for provider in new.providers}
    for provider in old.providers:
        now = after.get(provider.id)
        if now is None:
            continue
        then_trusted = (provider.issuer, provider.jwks_uri, " ".join(provider.audiences))
        now_trusted = (now.issuer, now.jwks_uri, " ".join(now.audiences))
        if then_trusted != now_trusted:
            yield Change(
                ChangeKind.PROVIDER_CHANGED,
                provider.id,
                ", ".join(filter(None, then_trusted)),
                ", ".join(filter(None, now_trusted)),
            )


def _limits(old: ServiceConfig, new: ServiceConfig) -> Iterator[Change]:
    after = {limit.name: limit for limit in new.limits}
    for limit in old.limits:
        now = after.get(limit.name)
        if now is None or (now.value == UNLIMITED != limit.value):
            yield Change(ChangeKind.LIMIT_LIFTED, limit.name, _amount(limit))
        elif _amount(now) != _amount(limit):
            yield Change(ChangeKind.LIMIT_CHANGED, limit.name, _amount(limit), _amount(now))


def _amount(limit: Limit) -> str:
    value = "unlimited" if limit.value == UNLIMITED else str(limit.value)
    window = limit.unit.value if limit.interval == 1 else f"{limit.interval}{limit.unit.value}"
    return f"{value} {limit.metric} per {window}"
