"""From documents to what gateways say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from authz.admin.configs import ChangeKind
from authz.admin.deploy import Deployment, State, deploy, wait_live
from authz.errors import DocumentError
from authz.model.inventory import RolloutStatus
from authz.model.service import SourceText
from authz.store.base import Delivery, Gateway, Store

NOON = 1_795_262_400.0
SHOP = "shop.example.com"


def edited(text: SourceText, old: str, new: str) -> SourceText:
    assert old in text.text
    return SourceText(text.file, text.text.replace(old, new))


def test_a_document_becomes_a_config_with_all_the_traffic(store: Store, shop: SourceText) -> None:
    (deployed,) = deploy(store, [shop], now=NOON).services
    assert (deployed.config.name, deployed.config.id) == (SHOP, "2026-11-21r1")
    assert {operation.short_name for operation in deployed.config.operations} >= {"ListShelves", "CreateShelf"}
    assert (deployed.is_new, deployed.rollout_is_new, deployed.changes) == (True, True, ())
    live = store.live()
    assert live.rollouts == (deployed.rollout,)
    assert live.configs[0].texts == (shop,)


def test_several_hosts_become_a_config_each_of_their_own_files(store: Store, shop: SourceText, bar: SourceText) -> None:
    deployment = deploy(store, [shop, bar], now=NOON)
    assert {deployed.config.name for deployed in deployment.services} == {SHOP, "bar.example.com"}
    assert {config.service: config.texts for config in store.configs()} == {SHOP: (shop,), "bar.example.com": (bar,)}


def test_deploying_twice_is_doing_nothing(store: Store, shop: SourceText) -> None:
    (first,) = deploy(store, [shop], now=NOON).services
    before = store.revision()
    (again,) = deploy(store, [shop], now=NOON + 86400).services
    assert (again.config.id, again.rollout) == (first.config.id, first.rollout)
    assert (again.is_new, again.rollout_is_new, again.changes) == (False, False, ())
    assert store.revision() == before


def test_the_way_back_to_an_older_text_is_a_rollout_of_its_config(store: Store, shop: SourceText) -> None:
    deploy(store, [shop], now=NOON)
    deploy(store, [edited(shop, "title: Shop", "title: Store")], now=NOON)
    (back,) = deploy(store, [shop], now=NOON).services
    assert (back.config.id, back.is_new, back.rollout_is_new) == ("2026-11-21r1", False, True)


def test_changes_are_told_against_what_was_current(store: Store, shop: SourceText) -> None:
    deploy(store, [shop], now=NOON)
    opened = edited(shop, "security: [{key: []}]\n      x-google", "x-google")
    (deployed,) = deploy(store, [opened], now=NOON).services
    assert [(change.kind, change.subject) for change in deployed.changes] == [
        (ChangeKind.OPERATION_OPENED, "GET /v1/shelves")
    ]
    assert deployed.dangers == deployed.changes


def test_errors_stop_a_deploy_before_anything_changes(store: Store, shop: SourceText) -> None:
    broken = edited(shop, "metricCosts: {reads: 1}", "metricCosts: {writes: 1}")
    with pytest.raises(DocumentError) as refused:
        deploy(store, [broken], now=NOON)
    assert refused.value.findings
    assert "shop.yaml:" in str(refused.value)
    assert (store.revision(), store.configs()) == (0, [])


def test_one_broken_document_stops_all(store: Store, shop: SourceText, bar: SourceText) -> None:
    with pytest.raises(DocumentError):
        deploy(store, [shop, SourceText("bar.yaml", "not: openapi")], now=NOON)
    assert store.configs() == []


def test_a_config_that_cannot_be_read_any_more_does_not_stand_in_the_way(store: Store, shop: SourceText) -> None:
    store.add_deployment(SHOP, [SourceText("old.yaml", "from: an older program")], NOON)
    (deployed,) = deploy(store, [shop], now=NOON).services
    assert (deployed.is_new, deployed.changes) == (True, ())


def test_force_goes_with_the_rollout(store: Store, shop: SourceText) -> None:
    assert deploy(store, [shop], force=True, now=NOON).services[0].rollout.force


# -- waiting


@dataclass
class Clock:
    """Time that passes only in sleep; `events` happen at their second."""

    events: dict[int, Callable[[], None]] = field(default_factory=dict)
    now: float = NOON

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for second in [second for second in self.events if NOON + second <= self.now]:
            self.events.pop(second)()


@pytest.fixture
def deployment(store: Store, shop: SourceText) -> Deployment:
    return deploy(store, [shop], now=NOON)


def beat(store: Store, gateway: str = "gw", at: float = NOON) -> None:
    store.beat(Gateway(gateway, "http://127.0.0.1:8080", at))


def says(store: Store, *, ok: bool = True, gateway: str = "gw", message: str = "") -> None:
    store.add_delivery(Delivery("2026-11-21r1", SHOP, gateway, ok, message, NOON))
    status = RolloutStatus.LIVE if ok else RolloutStatus.FAILED
    store.set_rollout_status(SHOP, "2026-11-21r1", status, message)


def waited(store: Store, deployment: Deployment, clock: Clock) -> tuple[State, str, float]:
    (outcome,) = wait_live(store, deployment, timeout=9, clock=clock, sleep=clock.sleep)
    assert (outcome.service, outcome.rollout) == (SHOP, "2026-11-21r1")
    return outcome.state, outcome.message, clock.now - NOON


def test_it_is_live_when_the_gateway_has_it(store: Store, deployment: Deployment) -> None:
    beat(store)
    state, _, seconds = waited(store, deployment, Clock({2: lambda: says(store)}))
    assert state is State.LIVE
    assert seconds == pytest.approx(2, abs=0.2)


def test_warnings_come_along(store: Store, deployment: Deployment) -> None:
    beat(store)
    says(store, message="key set away")
    assert waited(store, deployment, Clock()) == (State.LIVE, "key set away", 0)


def test_a_failure_is_told_in_envoys_own_words(store: Store, deployment: Deployment) -> None:
    beat(store)
    clock = Clock({1: lambda: says(store, ok=False, message="Envoy refused it: bad regex")})
    assert waited(store, deployment, clock)[:2] == (State.FAILED, "Envoy refused it: bad regex")


def test_a_gateway_that_refuses_what_another_took_is_named(store: Store, deployment: Deployment) -> None:
    beat(store)
    beat(store, "gw-2")
    says(store)
    store.add_delivery(Delivery("2026-11-21r1", SHOP, "gw-2", ok=False, message="no", at=NOON))
    assert waited(store, deployment, Clock())[:2] == (State.FAILED, "Gateway gw-2: no")


def test_nobody_waits_for_a_gateway_that_does_not_run(store: Store, deployment: Deployment) -> None:
    beat(store, at=NOON - 11)
    state, message, seconds = waited(store, deployment, Clock())
    assert (state, seconds) == (State.NO_GATEWAY, 0)
    assert "when one starts" in message


def test_every_running_gateway_is_waited_for(store: Store, deployment: Deployment) -> None:
    beat(store)
    beat(store, "gw-2")
    clock = Clock({1: lambda: says(store), 3: lambda: says(store, gateway="gw-2")})
    state, _, seconds = waited(store, deployment, clock)
    assert state is State.LIVE
    assert seconds == pytest.approx(3, abs=0.2)


def test_time_runs_out(store: Store, deployment: Deployment) -> None:
    beat(store, at=NOON + 5)
    state, message, seconds = waited(store, deployment, Clock())
    assert state is State.WAITING
    assert message == "No gateway's Envoy has taken it yet."
    assert seconds == pytest.approx(9, abs=0.2)


def test_time_runs_out_on_the_last_gateway(store: Store, deployment: Deployment) -> None:
    beat(store, at=NOON + 5)
    beat(store, "gw-2", at=NOON + 5)
    says(store)
    assert waited(store, deployment, Clock())[:2] == (State.WAITING, "Live, but not yet on gw-2.")


def test_a_later_rollout_ends_the_waiting(store: Store, shop: SourceText, deployment: Deployment) -> None:
    beat(store)
    later = deploy(store, [edited(shop, "title: Shop", "title: Store")], now=NOON).services[0].rollout
    store.set_rollout_status(SHOP, later.id, RolloutStatus.LIVE)
    assert waited(store, deployment, Clock())[0] is State.SUPERSEDED


def test_a_gateway_that_was_restarted_is_waited_for_again(store: Store, deployment: Deployment) -> None:
    beat(store, "gw-2")
    says(store, gateway="gw-of-yesterday")
    clock = Clock({2: lambda: says(store, gateway="gw-2")})
    state, _, seconds = waited(store, deployment, clock)
    assert state is State.LIVE
    assert seconds == pytest.approx(2, abs=0.2)


def test_what_a_dead_gateway_refused_does_not_count(store: Store, deployment: Deployment) -> None:
    beat(store)
    store.add_delivery(Delivery("2026-11-21r1", SHOP, "gone", ok=False, message="no", at=NOON))
    says(store)
    assert waited(store, deployment, Clock())[0] is State.LIVE


def test_what_went_live_without_asking_envoy_is_live(store: Store, deployment: Deployment) -> None:
    beat(store)
    store.set_rollout_status(SHOP, "2026-11-21r1", RolloutStatus.LIVE)
    assert waited(store, deployment, Clock())[0] is State.LIVE
