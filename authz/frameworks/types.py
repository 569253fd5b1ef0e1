"""The small records that decorators take: issuers, limits, namespaces, scopes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Issuer:
    """Who signs tokens: the `iss` claim, and where the keys are (None: OpenID discovery)."""

    issuer: str
    jwks_uri: str | None


@dataclass(frozen=True, slots=True)
class LimitDefinition:
    """How much of a metric one consumer may use each minute."""

    metric_name: str
    display_name: str
    default_limit: int


@dataclass(frozen=True, slots=True)
class Namespace:
    """Whose API it is, for discovery clients."""

    owner_domain: str
    owner_name: str
    package_path: str


@dataclass(frozen=True, slots=True)
class OAuth2Scope:
    """An OAuth 2.0 scope, and what people read of it."""

    scope: str
    description: str
