"""Which configs of a service are live, in which shares: listed, made, rolled back."""

from __future__ import annotations

import math
from collections.abc import Sequence

from authz.admin.configs import service_of, show
from authz.errors import UsageError
from authz.model.inventory import Rollout, RolloutStatus
from authz.store.base import Store

WHOLE = 100.0
_ROUNDING = 1e-6


def list_rollouts(store: Store, service: str = "") -> list[Rollout]:
    """The rollouts of one service, or of all; newest first.

    Raises:
        UsageError: there is no such service.
    """
    return store.rollouts(service_of(store, service) if service else None)


def create(
    store: Store, service: str, shares: Sequence[tuple[str, float]], *, force: bool = False, now: float
) -> Rollout:
    """Split a service's traffic between configs, in percent.

    Raises:
        UsageError: there is no such service or config, or the shares are not 100 % in all.
    """
    name = service_of(store, service)
    for config_id, _ in shares:
        show(store, name, config_id)
    _refuse_bad_shares(shares)
    return store.add_rollout(name, shares, now, force=force)


def rollback(store: Store, service: str = "", *, to: str = "", force: bool = False, now: float) -> Rollout:
    """Go back to a config; without one to what was live before, shares and all.

    Raises:
        UsageError: there is no such service or config, or nothing was live before.
    """
    name = service_of(store, service)
    if to:
        return create(store, name, [(to, WHOLE)], force=force, now=now)
    return store.add_rollout(name, _before(store, name).shares, now, force=force)


def _before(store: Store, service: str) -> Rollout:
    current = next((one for one in store.live().rollouts if one.service == service), None)
    for rollout in store.rollouts(service):
        if current and rollout.shares != current.shares and _was_live(store, rollout):
            return rollout
    raise UsageError(
        f"Nothing of {service} was live before what is live now.",
        "Name the config to go back to; 'authz configs list' shows them.",
    )


def _was_live(store: Store, rollout: Rollout) -> bool:
    """A rollout that another overtook before any Envoy had it is superseded too, but was never live."""
    if rollout.status is RolloutStatus.SUPERSEDED:
        return any(delivery.ok for delivery in store.deliveries(rollout.service, rollout.id))
    return rollout.status is RolloutStatus.LIVE


def _refuse_bad_shares(shares: Sequence[tuple[str, float]]) -> None:
    names = [config_id for config_id, _ in shares]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"The config {twice[0]} has two shares.", "Give each config one.")
    for config_id, percent in shares:
        # Written so that "not a number" is refused as well.
        if not 0 < percent <= WHOLE:
            raise UsageError(
                f"{percent:g} % is no share for the config {config_id}.",
                "Write more than 0 and at most 100; leave out configs that get nothing.",
            )
    total = math.fsum(percent for _, percent in shares)
    if abs(total - WHOLE) > _ROUNDING:
        raise UsageError(f"The shares add up to {total:g} %.", "Make them add up to 100.")
