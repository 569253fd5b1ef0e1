"""Inventory -> Rulebook: every question that can be answered at deploy time is answered here.

It knows the model and the settings; it knows no Envoy, no store and no request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from authz.model.auth import DEFAULT_KEY_PLACES, Alternative, JwtProvider, JwtRequirement, Requirement
from authz.model.inventory import Inventory, LiveService
from authz.model.quota import Limit
from authz.model.service import Backend, Operation, ServiceConfig
from authz.rulebook.book import (
    AlternativeRule,
    ChargeRule,
    JwtRule,
    OperationKey,
    OperationRule,
    ProviderRule,
    Rulebook,
)
from authz.settings import Settings

_GOOGLE = frozenset({"accounts.google.com", "https://accounts.google.com"})
"""Google signs ID tokens under both names and documents them as one issuer; no other issuer has an alias."""


def compile_book(inventory: Inventory, settings: Settings) -> Rulebook:
    """The Rulebook of everything that is live in an Inventory."""
    operations: dict[OperationKey, OperationRule] = {}
    limits = {service.name: dict(_limit_metrics(service)) for service in inventory.services}
    for service in inventory.services:
        for live in service.configs:
            operations |= _ConfigRules(live.config, settings).operations()
    return Rulebook(
        revision=inventory.revision,
        operations=operations,
        providers=_providers(operations.values()),
        overrides=_overrides(inventory, limits),
        limits=frozenset((service, limit) for service, metrics in limits.items() for limit in metrics),
        backend_audiences=frozenset(r.backend_audience for r in operations.values() if r.backend_audience),
    )


def merge(new: Rulebook, old: Rulebook) -> Rulebook:
    """The new book with the old one's operations behind it.

    While Envoy takes over a snapshot, some of its routes still name the old configs: they keep their rules,
    their key sets, their backend tokens and the overrides of limits that only they have, until no Envoy runs them.
    """
    gone = {key: value for key, value in old.overrides.items() if key[:2] not in new.limits}
    return Rulebook(
        revision=new.revision,
        operations={**old.operations, **new.operations},
        providers=tuple(dict.fromkeys((*new.providers, *old.providers))),
        overrides=gone | {**new.overrides},
        limits=new.limits,
        backend_audiences=new.backend_audiences | old.backend_audiences,
    )


def _providers(rules: Iterable[OperationRule]) -> tuple[ProviderRule, ...]:
    found: dict[int, ProviderRule] = {}
    for rule in rules:
        for alternative in rule.alternatives:
            if alternative.jwt:
                found[id(alternative.jwt.provider)] = alternative.jwt.provider
    return tuple(dict.fromkeys(found.values()))


def _overrides(inventory: Inventory, limits: Mapping[str, Mapping[str, str]]) -> dict[tuple[str, str, int], int]:
    """Overrides by (service, limit, consumer). A metric-wide one goes in first, so that a limit's own one wins."""
    found: dict[tuple[str, str, int], int] = {}
    for override in sorted(inventory.overrides, key=lambda one: bool(one.limit)):
        for limit, metric in limits.get(override.service, {}).items():
            if limit == override.limit or (not override.limit and metric == override.metric):
                found[override.service, limit, override.consumer] = override.value
    return found


def _limit_metrics(service: LiveService) -> Iterator[tuple[str, str]]:
    return ((limit.name, limit.metric) for live in service.configs for limit in live.config.limits)


class _ConfigRules:
    """One config's operations as rules; equal parts are made once and shared."""

    def __init__(self, config: ServiceConfig, settings: Settings) -> None:
        self._config = config
        self._audience: Callable[[Backend], str] = (
            _backend_audience if settings.backend_auth != "none" else _no_audience
        )
        self._default = frozenset({f"https://{config.name}"}) if settings.default_audience else None
        self._declared = {provider.id: provider for provider in config.providers}
        self._providers = {provider.id: _provider(provider) for provider in config.providers}
        self._limits: dict[str, list[Limit]] = {}
        for limit in config.limits:
            self._limits.setdefault(limit.metric, []).append(limit)
        self._jwts: dict[tuple[object, ...], JwtRule] = {}
        self._alternatives: dict[int, tuple[AlternativeRule, ...]] = {}

    def operations(self) -> dict[OperationKey, OperationRule]:
        """All rules of the config, by the key that its routes name."""
        name, config_id = self._config.name, self._config.id
        return {(name, config_id, operation.selector): self._rule(operation) for operation in self._config.operations}

    def _rule(self, operation: Operation) -> OperationRule:
        return OperationRule(
            service=self._config.name,
            config=self._config.id,
            selector=operation.selector,
            short_name=operation.short_name,
            alternatives=(ways := self._ways(operation.requirement)),
            optional=operation.requirement.optional or len(ways) < len(operation.requirement.alternatives),
            charges=tuple(self._charges(operation)),
            backend_audience=self._audience(operation.backend),
        )

    def _ways(self, requirement: Requirement) -> tuple[AlternativeRule, ...]:
        """The ways that ask for something; one that asks for nothing makes the others optional, not void."""
        # By identity: a document's operations share their requirement objects, and hashing one walks all of it.
        if (ways := self._alternatives.get(id(requirement))) is None:
            asking = (way for way in requirement.alternatives if way.needs_key or way.jwt)
            ways = self._alternatives[id(requirement)] = tuple(map(self._way, asking))
        return ways

    def _way(self, alternative: Alternative) -> AlternativeRule:
        return AlternativeRule(
            key_places=(alternative.key_places or DEFAULT_KEY_PLACES) if alternative.needs_key else (),
            jwt=self._jwt(alternative.jwt) if alternative.jwt else None,
        )

    def _jwt(self, wanted: JwtRequirement) -> JwtRule:
        audiences = wanted.audiences or self._declared[wanted.provider].audiences
        key = (wanted.provider, audiences, wanted.scopes, wanted.client_ids)
        if (rule := self._jwts.get(key)) is None:
            rule = self._jwts[key] = JwtRule(
                provider=self._providers[wanted.provider],
                audiences=frozenset(audiences) if audiences else self._default,
                scopes=frozenset(wanted.scopes),
                client_ids=None if wanted.client_ids is None else frozenset(wanted.client_ids),
            )
        return rule

    def _charges(self, operation: Operation) -> Iterator[ChargeRule]:
        for cost in operation.costs:
            for limit in self._limits.get(cost.metric, ()) if cost.amount > 0 else ():
                yield ChargeRule(
                    counter=(self._config.name, limit.name),
                    limit=limit.name,
                    metric=limit.metric,
                    value=limit.value,
                    unit=limit.unit,
                    interval=limit.interval,
                    amount=cost.amount,
                )


def _provider(declared: JwtProvider) -> ProviderRule:
    issuers = _GOOGLE if declared.issuer in _GOOGLE else frozenset({declared.issuer})
    return ProviderRule(declared.id, declared.issuer, issuers, declared.jwks_uri, declared.places)


def _backend_audience(backend: Backend) -> str:
    return "" if backend.disable_auth else backend.jwt_audience


def _no_audience(_: Backend) -> str:
    return ""
