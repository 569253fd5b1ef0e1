"""Shares between configs, and the way back."""

from __future__ import annotations

import pytest

from authz.admin import rollouts
from authz.admin.deploy import deploy
from authz.errors import UsageError
from authz.model.inventory import Rollout, RolloutStatus
from authz.model.service import SourceText
from authz.store.base import Delivery, Store

NOON = 1_795_262_400.0
SHOP = "shop.example.com"
ONE, TWO, THREE = (f"2026-11-21r{number}" for number in (1, 2, 3))


@pytest.fixture(autouse=True)
def configs(store: Store, shop: SourceText) -> None:
    """Three configs of the shop, none of them accepted by a gateway yet."""
    for number in range(3):
        deploy(store, [SourceText(shop.file, shop.text + f"# {number}\n")], now=NOON)


def accept(store: Store, rollout_id: str) -> None:
    store.add_delivery(Delivery(rollout_id, SHOP, "gw", ok=True, at=NOON))
    store.set_rollout_status(SHOP, rollout_id, RolloutStatus.LIVE)


def test_traffic_is_split(store: Store) -> None:
    made = rollouts.create(store, SHOP, [(ONE, 99.5), (TWO, 0.5)], force=True, now=NOON)
    assert made == Rollout("2026-11-21r4", SHOP, ((ONE, 99.5), (TWO, 0.5)), created_at=NOON, force=True)
    assert rollouts.list_rollouts(store, SHOP)[0] == made
    assert len(rollouts.list_rollouts(store)) == 4


def test_thirds_are_hundred_percent(store: Store) -> None:
    third = 100 / 3
    rollouts.create(store, "", [(ONE, third), (TWO, third), (THREE, third)], now=NOON)


@pytest.mark.parametrize(
    ("shares", "message", "remedy"),
    [
        ([], "add up to 0 %", "100"),
        ([(ONE, 50.0)], "add up to 50 %", "100"),
        ([(ONE, 60.0), (TWO, 60.0)], "add up to 120 %", "100"),
        ([(ONE, 50.0), (ONE, 50.0)], f"{ONE} has two shares", "one"),
        ([(ONE, 100.0), (TWO, 0.0)], f"0 % is no share for the config {TWO}", "leave out"),
        ([(ONE, 110.0), (TWO, -10.0)], "110 % is no share", "at most 100"),
        ([(ONE, float("nan"))], "nan % is no share", "at most 100"),
        ([(ONE, 50.0), ("2026-11-21r9", 50.0)], "no config '2026-11-21r9'", "Did you mean"),
    ],
)
def test_shares_that_do_not_add_up_are_refused(
    store: Store, shares: list[tuple[str, float]], message: str, remedy: str
) -> None:
    before = store.revision()
    with pytest.raises(UsageError) as refused:
        rollouts.create(store, SHOP, shares, now=NOON)
    assert message in refused.value.message
    assert remedy in refused.value.remedy
    assert store.revision() == before


def test_rolling_back_goes_to_what_was_live_before(store: Store) -> None:
    accept(store, ONE)
    accept(store, THREE)
    back = rollouts.rollback(store, now=NOON)
    assert back.shares == ((ONE, 100.0),), "the second was overtaken and never live"
    accept(store, back.id)
    assert rollouts.rollback(store, SHOP, now=NOON).shares == ((THREE, 100.0),)


def test_rolling_back_brings_shares_back(store: Store) -> None:
    split = rollouts.create(store, SHOP, [(ONE, 50.0), (TWO, 50.0)], now=NOON)
    accept(store, split.id)
    rollouts.create(store, SHOP, [(TWO, 100.0)], now=NOON)
    assert rollouts.rollback(store, SHOP, now=NOON).shares == split.shares


def test_rolling_back_to_a_config_by_name(store: Store) -> None:
    back = rollouts.rollback(store, SHOP, to=ONE, force=True, now=NOON)
    assert (back.shares, back.force) == (((ONE, 100.0),), True)
    with pytest.raises(UsageError, match="no config '2026-01-01r1'"):
        rollouts.rollback(store, SHOP, to="2026-01-01r1", now=NOON)


def test_without_a_before_there_is_no_way_back(store: Store) -> None:
    accept(store, THREE)
    with pytest.raises(UsageError, match=r"Nothing of shop\.example\.com was live before") as refused:
        rollouts.rollback(store, SHOP, now=NOON)
    assert "configs list" in refused.value.remedy
