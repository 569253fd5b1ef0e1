"""Deploying: documents become a config, the config gets all the traffic, and gateways say what came of it."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from authz.admin.configs import Change, changes, current, meaning
from authz.errors import DocumentError, StateError
from authz.model.findings import Finding
from authz.model.inventory import Rollout, RolloutStatus
from authz.model.service import ServiceConfig, SourceText
from authz.sources import compile_texts
from authz.store.base import Delivery, Store, StoredConfig

HEARTBEAT_SECONDS = 10.0
"""A gateway that has not been seen for so long does not run."""

POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class DeployedService:
    """What became of one service. `is_new`: its texts were new; `rollout_is_new`: they were not current before.

    `changes` compares with what was current before; empty when that was nothing, or the same.
    """

    config: ServiceConfig
    is_new: bool
    rollout: Rollout
    rollout_is_new: bool
    changes: tuple[Change, ...] = ()

    @property
    def dangers(self) -> tuple[Change, ...]:
        """The changes that a person should look at."""
        return tuple(change for change in self.changes if change.is_dangerous)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a deploy did, service by service, and what lint warned of."""

    services: tuple[DeployedService, ...]
    warnings: tuple[Finding, ...] = ()


class State(enum.Enum):
    """What came of a rollout."""

    LIVE = "live"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    NO_GATEWAY = "no gateway"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one service's rollout. `message` holds Envoy's own words after a failure, else warnings."""

    service: str
    rollout: str
    state: State
    message: str = ""


def deploy(
    store: Store, texts: Sequence[SourceText], *, service: str = "", force: bool = False, now: float
) -> Deployment:
    """Make documents the current config of each service that they describe.

    `force`: go live even if a key set cannot be fetched.

    Raises:
        DocumentError: the documents have errors, or nothing in them; nothing was changed.
    """
    compiled = compile_texts(texts, service=service)
    if compiled.errors or not compiled.configs:
        raise DocumentError(tuple(compiled.errors))
    deployed = tuple(_deploy(store, config, texts, force=force, now=now) for config in compiled.configs)
    return Deployment(deployed, tuple(compiled.warnings))


def _deploy(
    store: Store, config: ServiceConfig, texts: Sequence[SourceText], *, force: bool, now: float
) -> DeployedService:
    before = current(store, config.name)
    own = [text for text in texts if text.file in config.documents]
    done = store.add_deployment(config.name, own, now, force=force)
    new = replace(config, id=done.config.id)
    # Gateways are at work from here on: what has changed is found out meanwhile.
    return DeployedService(new, done.is_new, done.rollout, done.rollout_is_new, _changes(before, new))


def _changes(before: StoredConfig | None, new: ServiceConfig) -> tuple[Change, ...]:
    try:
        return changes(meaning(before), new) if before else ()
    except StateError:
        # What cannot be read any more must not stand in the way of what replaces it.
        return ()


def wait_live(
    store: Store,
    deployment: Deployment,
    *,
    timeout: float = 10.0,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Outcome, ...]:
    """Wait until every running gateway has each rollout, or one refuses it, or the time is up.

    Nobody is waited for when no gateway runs: the rollout goes live when one starts.
    """
    end = clock() + timeout
    while True:
        now = clock()
        outcomes = tuple(_outcome(store, deployed.rollout, now) for deployed in deployment.services)
        if now >= end or all(outcome.state is not State.WAITING for outcome in outcomes):
            return outcomes
        sleep(POLL_SECONDS)


def _outcome(store: Store, begun: Rollout, now: float) -> Outcome:
    rollout = store.rollout(begun.service, begun.id) or begun
    deliveries = store.deliveries(rollout.service, rollout.id)
    running = {gateway.id for gateway in store.gateways(now - HEARTBEAT_SECONDS)}
    state, message = _state(rollout, deliveries, running)
    return Outcome(rollout.service, rollout.id, state, message)


def _state(rollout: Rollout, deliveries: Sequence[Delivery], running: set[str]) -> tuple[State, str]:
    refused = next((delivery for delivery in deliveries if not delivery.ok and delivery.gateway in running), None)
    missing = sorted(running - {delivery.gateway for delivery in deliveries})
    if rollout.status is RolloutStatus.FAILED:
        return State.FAILED, rollout.message
    if rollout.status is RolloutStatus.SUPERSEDED:
        return State.SUPERSEDED, "A later rollout is live."
    if refused:
        return State.FAILED, f"Gateway {refused.gateway}: {refused.message}"
    if not running:
        return State.NO_GATEWAY, "No gateway runs; it goes live when one starts."
    if rollout.status is RolloutStatus.PENDING:
        return State.WAITING, "No gateway's Envoy has taken it yet."
    # Without any delivery it went live without Envoy being asked: what it means was there already.
    if deliveries and missing:
        return State.WAITING, f"Live, but not yet on {', '.join(missing)}."
    return State.LIVE, rollout.message
