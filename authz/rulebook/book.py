"""The Rulebook: the Inventory compiled for look-ups. Immutable; the hot path only reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from authz.model.auth import Place
from authz.model.quota import Unit

OperationKey = tuple[str, str, str]
"""(service, config id, selector): what the route's context extensions name."""


@dataclass(frozen=True, slots=True)
class ProviderRule:
    """A provider as Check needs it. `audiences` None means that any audience passes.

    `issuers` are the accepted `iss` values (the declared one, and Google's documented https alias of it).
    """

    id: str
    issuer: str
    issuers: frozenset[str]
    jwks_uri: str
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class JwtRule:
    """A JwtRequirement made ready: audiences resolved, scopes and client ids as sets. None: any."""

    provider: ProviderRule
    audiences: frozenset[str] | None
    scopes: frozenset[str] = frozenset()
    client_ids: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class AlternativeRule:
    """One way in: a key, a token, or both. `key_places` is empty when no key is needed."""

    key_places: tuple[Place, ...] = ()
    jwt: JwtRule | None = None


@dataclass(frozen=True, slots=True)
class ChargeRule:
    """One limit that one operation counts against. `counter` is (service, limit name)."""

    counter: tuple[str, str]
    limit: str
    metric: str
    value: int
    unit: Unit
    interval: int
    amount: int


@dataclass(frozen=True, slots=True)
class OperationRule:
    """Everything that Check and RateLimit need to know of one operation.

    `alternatives` empty: open. `backend_audience` not empty: Check puts a token for it into Authorization.
    `short_name` is the selector's method, for API targets of keys.
    """

    service: str
    config: str
    selector: str
    short_name: str
    alternatives: tuple[AlternativeRule, ...] = ()
    optional: bool = False
    charges: tuple[ChargeRule, ...] = ()
    backend_audience: str = ""


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All operations that any Envoy may still ask about, and the consumers' overrides.

    `overrides` maps (service, limit name, consumer number) to the consumer's own value; `limits` are all (service,
    limit name) that there are.
    """

    revision: int = 0
    operations: Mapping[OperationKey, OperationRule] = field(default_factory=dict)
    providers: tuple[ProviderRule, ...] = ()
    overrides: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    limits: frozenset[tuple[str, str]] = frozenset()
    backend_audiences: frozenset[str] = frozenset()
