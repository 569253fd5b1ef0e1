"""All that is live, at one revision of the store."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from authz.model.quota import Override
from authz.model.service import ServiceConfig


class RolloutStatus(enum.Enum):
    """google.api.servicemanagement.v1.Rollout.RolloutStatus, as far as it applies."""

    PENDING = "pending"
    LIVE = "live"
    FAILED = "failed"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Rollout:
    """Which configs of a service are live, in which shares (percent, adding up to 100).

    `message` holds Envoy's own words, or the consistency check's, after a failure; else warnings, if any.
    `force` means: go live even if a key set cannot be fetched.
    """

    id: str
    service: str
    shares: tuple[tuple[str, float], ...]
    status: RolloutStatus = RolloutStatus.PENDING
    message: str = ""
    created_at: float = 0.0
    force: bool = False


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """One config of a service with its share of the traffic in percent."""

    config: ServiceConfig
    share: float = 100.0


@dataclass(frozen=True, slots=True)
class LiveService:
    """A service and its live configs; the shares add up to 100."""

    name: str
    configs: tuple[LiveConfig, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything the rulebook and the snapshot are made of, at one revision.

    API keys are not in it: there may be a million of them. The key cache asks the store for those it meets.
    """

    revision: int
    services: tuple[LiveService, ...] = ()
    overrides: tuple[Override, ...] = ()
