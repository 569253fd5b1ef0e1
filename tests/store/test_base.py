"""What every store promises, whatever it is made of."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from authz.errors import UsageError
from authz.model.auth import AndroidApp, ApiKey, ApiTarget, Consumer, ConsumerKind, ConsumerStatus, Restrictions
from authz.model.inventory import Rollout, RolloutStatus
from authz.model.quota import Override
from authz.model.service import SourceText
from authz.store.base import Changes, Delivery, Gateway, Store, StoredConfig, digest_of

NOON = 1_795_262_400.0  # 2026-11-21T12:00:00Z
DAY = 86400.0
SHOP = "shop.example.com"
Opener = Callable[[], Store]


def texts(*contents: str) -> tuple[SourceText, ...]:
    return tuple(SourceText(f"{number}.yaml", content) for number, content in enumerate(contents))


def a_config(store: Store, content: str = "one", service: str = SHOP, now: float = NOON) -> StoredConfig:
    return store.add_config(service, texts(content), now)[0]


def a_rollout(store: Store, config: StoredConfig, now: float = NOON) -> Rollout:
    return store.add_rollout(config.service, [(config.id, 100.0)], now)


def a_consumer(store: Store, name: str = "ann") -> Consumer:
    return store.add_consumer(name, ConsumerKind.PROJECT, NOON)


def a_key(consumer: Consumer, text: str = "secret", **changes: object) -> ApiKey:
    digest = hashlib.sha256(text.encode()).digest()
    key = ApiKey(f"uid-{text}", digest, consumer, hint=text[:4] + "…", created_at=NOON)
    return dataclasses.replace(key, **changes)


# -- configs


def test_a_config_comes_back_as_it_was_kept(store: Store, reader: Store) -> None:
    documents = texts("openapi: 3.1.0\n", "swagger: '2.0'\näöü \N{SNOWMAN}\n")
    config, is_new = store.add_config(SHOP, documents, NOON)
    assert is_new
    assert config == StoredConfig(SHOP, "2026-11-21r1", digest_of(documents), documents, NOON)
    assert reader.config(SHOP, "2026-11-21r1") == config
    assert reader.configs() == [config]
    assert reader.services() == [SHOP]


def test_config_ids_count_per_service_and_day(store: Store) -> None:
    ids = [
        a_config(store, "a").id,
        a_config(store, "b").id,
        a_config(store, "a", service="other.example.com").id,
        a_config(store, "c", now=NOON + DAY / 2 - 1).id,
        a_config(store, "d", now=NOON + DAY / 2).id,
        a_config(store, "e", now=NOON + DAY).id,
    ]
    assert ids == ["2026-11-21r1", "2026-11-21r2", "2026-11-21r1", "2026-11-21r3", "2026-11-22r1", "2026-11-22r2"]


def test_after_the_ninth_config_of_a_day_comes_the_tenth(store: Store) -> None:
    ids = [a_config(store, str(number)).id for number in range(12)]
    assert ids == [f"2026-11-21r{number}" for number in range(1, 13)]
    assert [config.id for config in store.configs(SHOP)] == ids[::-1], "the newest comes first"


def test_the_same_text_is_one_config_whenever_it_comes_back(store: Store) -> None:
    first = a_config(store, "one")
    a_config(store, "two")
    renamed = (SourceText("renamed.yaml", "one"),)
    assert store.add_config(SHOP, renamed, NOON + DAY) == (first, False)
    assert len(store.configs(SHOP)) == 2


def test_texts_do_not_run_into_each_other(store: Store) -> None:
    assert digest_of(texts("ab", "c")) != digest_of(texts("a", "bc"))


def test_what_is_not_there_is_none(store: Store) -> None:
    a_config(store)
    assert store.config(SHOP, "2026-11-21r9") is None
    assert store.config("other.example.com", "2026-11-21r1") is None
    assert store.rollout(SHOP, "2026-11-21r1") is None
    assert store.consumer("nobody") is None
    assert store.key(bytes(32)) is None
    assert store.key_by_uid("none") is None
    assert store.configs("other.example.com") == []
    assert store.rollouts("other.example.com") == []
    assert store.keys("nobody") == []


def test_many_writers_get_ids_of_their_own(opener: Opener) -> None:
    stores = [opener(), opener()]
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(a_config, stores[number % 2], str(number)) for number in range(40)]
    ids = [job.result().id for job in jobs]
    assert sorted(ids) == sorted(f"2026-11-21r{number}" for number in range(1, 41))


def test_many_writers_of_one_text_make_one_config(opener: Opener) -> None:
    stores = [opener(), opener()]
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(stores[number % 2].add_deployment, SHOP, texts("same"), NOON) for number in range(16)]
    results = [job.result() for job in jobs]
    assert sum(result.is_new for result in results) == 1
    assert sum(result.rollout_is_new for result in results) == 1
    assert {result.rollout.id for result in results} == {"2026-11-21r1"}


# -- rollouts


def test_a_rollout_begins_as_pending_and_is_what_should_be_live(store: Store, reader: Store) -> None:
    config = a_config(store)
    rollout = a_rollout(store, config)
    assert rollout == Rollout("2026-11-21r1", SHOP, ((config.id, 100.0),), created_at=NOON)
    assert reader.rollout(SHOP, rollout.id) == rollout
    live = reader.live()
    assert (live.rollouts, live.configs) == ((rollout,), (config,))
    assert live.revision == store.revision()
    assert reader.live(including_pending=False).rollouts == ()


def test_a_split_rollout_names_all_its_configs(store: Store, reader: Store) -> None:
    one, two = a_config(store, "one"), a_config(store, "two")
    a_config(store, "three")
    store.add_rollout(SHOP, [(one.id, 87.5), (two.id, 12.5)], NOON, force=True)
    live = reader.live()
    assert live.rollouts[0].shares == ((one.id, 87.5), (two.id, 12.5))
    assert live.rollouts[0].force
    assert set(live.configs) == {one, two}


def test_a_rollout_of_a_config_that_is_not_there_is_refused(store: Store) -> None:
    a_config(store)
    before = store.revision()
    with pytest.raises(UsageError, match=r"shop\.example\.com has no config 2026-11-21r7"):
        store.add_rollout(SHOP, [("2026-11-21r1", 50.0), ("2026-11-21r7", 50.0)], NOON)
    assert store.rollouts() == []
    assert store.revision() == before


def test_the_newest_rollout_counts_and_a_live_one_retires_the_earlier(store: Store) -> None:
    first, second, third = (a_rollout(store, a_config(store, text)) for text in ("a", "b", "c"))
    store.set_rollout_status(SHOP, first.id, RolloutStatus.LIVE)
    store.set_rollout_status(SHOP, third.id, RolloutStatus.LIVE, "a warning")
    statuses = {rollout.id: rollout.status for rollout in store.rollouts(SHOP)}
    assert statuses == {
        first.id: RolloutStatus.SUPERSEDED,
        second.id: RolloutStatus.SUPERSEDED,
        third.id: RolloutStatus.LIVE,
    }
    assert [rollout.message for rollout in store.live().rollouts] == ["a warning"]


def test_a_failed_rollout_leaves_the_one_before_live(store: Store) -> None:
    first, second = (a_rollout(store, a_config(store, text)) for text in ("a", "b"))
    store.set_rollout_status(SHOP, first.id, RolloutStatus.LIVE)
    assert [rollout.id for rollout in store.live().rollouts] == [second.id]
    store.set_rollout_status(SHOP, second.id, RolloutStatus.FAILED, "Envoy's words")
    assert [rollout.id for rollout in store.live().rollouts] == [first.id]
    assert store.rollout(SHOP, second.id).message == "Envoy's words"


def test_a_rollout_that_was_overtaken_cannot_come_back_to_life(store: Store) -> None:
    first, second = (a_rollout(store, a_config(store, text)) for text in ("a", "b"))
    store.set_rollout_status(SHOP, second.id, RolloutStatus.LIVE)
    store.set_rollout_status(SHOP, first.id, RolloutStatus.LIVE)
    assert store.rollout(SHOP, first.id).status is RolloutStatus.SUPERSEDED
    assert [rollout.id for rollout in store.live().rollouts] == [second.id]


def test_services_do_not_retire_each_other(store: Store) -> None:
    here, there = (a_rollout(store, a_config(store, "a", service)) for service in ("a.example.com", "b.example.com"))
    for rollout in (there, here):
        store.set_rollout_status(rollout.service, rollout.id, RolloutStatus.LIVE)
    assert [rollout.service for rollout in store.live(including_pending=False).rollouts] == [
        "a.example.com",
        "b.example.com",
    ]


def test_the_status_of_a_rollout_that_is_not_there(store: Store) -> None:
    with pytest.raises(UsageError, match="has no rollout 2026-11-21r1"):
        store.set_rollout_status(SHOP, "2026-11-21r1", RolloutStatus.LIVE)


def test_a_deployment_is_config_and_rollout_in_one_step(store: Store, reader: Store) -> None:
    before = store.revision()
    deployed = store.add_deployment(SHOP, texts("one"), NOON)
    assert (deployed.is_new, deployed.rollout_is_new) == (True, True)
    assert deployed.rollout.shares == ((deployed.config.id, 100.0),)
    assert reader.live().rollouts == (deployed.rollout,)
    assert store.revision() == before + 1


def test_deploying_what_is_current_changes_nothing(store: Store) -> None:
    first = store.add_deployment(SHOP, texts("one"), NOON)
    before = store.revision()
    again = store.add_deployment(SHOP, texts("one"), NOON + DAY)
    assert (again.config, again.rollout) == (first.config, first.rollout)
    assert (again.is_new, again.rollout_is_new) == (False, False)
    assert store.revision() == before


def test_deploying_an_older_text_rolls_its_config_out_again(store: Store) -> None:
    first = store.add_deployment(SHOP, texts("one"), NOON)
    store.add_deployment(SHOP, texts("two"), NOON)
    back = store.add_deployment(SHOP, texts("one"), NOON + DAY)
    assert (back.config, back.is_new, back.rollout_is_new) == (first.config, False, True)
    assert back.rollout.id == "2026-11-22r1"


def test_deploying_what_failed_tries_again(store: Store) -> None:
    first = store.add_deployment(SHOP, texts("one"), NOON)
    store.set_rollout_status(SHOP, first.rollout.id, RolloutStatus.FAILED, "no")
    again = store.add_deployment(SHOP, texts("one"), NOON)
    assert (again.is_new, again.rollout_is_new) == (False, True)


def test_force_renews_a_rollout_that_waits_without_it(store: Store) -> None:
    store.add_deployment(SHOP, texts("one"), NOON)
    forced = store.add_deployment(SHOP, texts("one"), NOON, force=True)
    assert (forced.rollout_is_new, forced.rollout.force) == (True, True)
    assert not store.add_deployment(SHOP, texts("one"), NOON, force=True).rollout_is_new
    store.set_rollout_status(SHOP, forced.rollout.id, RolloutStatus.LIVE)
    assert not store.add_deployment(SHOP, texts("one"), NOON).rollout_is_new


def test_each_gateway_has_one_say_on_a_rollout(store: Store, reader: Store) -> None:
    rollout = a_rollout(store, a_config(store))
    refused = Delivery(rollout.id, SHOP, "gw-1", ok=False, message="bad regex", at=NOON)
    accepted = Delivery(rollout.id, SHOP, "gw-2", ok=True, at=NOON + 1)
    mended = dataclasses.replace(refused, ok=True, message="", at=NOON + 2)
    for delivery in (refused, accepted, mended):
        store.add_delivery(delivery)
    assert reader.deliveries(SHOP, rollout.id) == [mended, accepted]
    assert reader.deliveries(SHOP, "2026-11-21r9") == []


# -- consumers and keys


def test_consumers_get_numbers_of_their_own(store: Store, reader: Store) -> None:
    ann = store.add_consumer("ann", ConsumerKind.PROJECT, NOON)
    bob = store.add_consumer("bob", ConsumerKind.APP, NOON, number=123_456_789_012)
    eve = store.add_consumer("eve", ConsumerKind.PROJECT, NOON)
    assert bob == Consumer(123_456_789_012, "bob", ConsumerKind.APP)
    assert len({ann.number, bob.number, eve.number}) == 3
    assert reader.consumers() == [ann, bob, eve]
    assert reader.consumer("bob") == bob


def test_a_name_or_number_is_taken_once(store: Store) -> None:
    store.add_consumer("ann", ConsumerKind.PROJECT, NOON, number=7)
    with pytest.raises(UsageError, match="a consumer 'ann' already"):
        a_consumer(store)
    with pytest.raises(UsageError, match="number 7 belongs to the consumer 'ann'"):
        store.add_consumer("bob", ConsumerKind.PROJECT, NOON, number=7)


def test_a_deleted_consumer_keeps_its_name_and_number(store: Store) -> None:
    ann = a_consumer(store)
    assert store.set_consumer_status("ann", ConsumerStatus.DELETED).status is ConsumerStatus.DELETED
    with pytest.raises(UsageError, match="was deleted") as refused:
        a_consumer(store)
    assert "activate ann" in refused.value.remedy
    assert a_consumer(store, "bob").number != ann.number


def test_the_status_of_a_consumer_that_is_not_there(store: Store) -> None:
    with pytest.raises(UsageError, match="no consumer 'nobody'"):
        store.set_consumer_status("nobody", ConsumerStatus.SUSPENDED)


RESTRICTIONS = [
    Restrictions(),
    Restrictions(allow_ips=("10.0.0.0/8", "2001:db8::/32")),
    Restrictions(allow_referrers=("https://*.example.com/*",)),
    Restrictions(android_apps=(AndroidApp("com.example", "AB" * 20),), api_targets=(ApiTarget(SHOP, ("Get*",)),)),
    Restrictions(ios_bundles=("com.example.App",), api_targets=(ApiTarget(SHOP), ApiTarget("b.example.com"))),
]


@pytest.mark.parametrize("restrictions", RESTRICTIONS)
def test_a_key_comes_back_as_it_was_kept(store: Store, reader: Store, restrictions: Restrictions) -> None:
    key = a_key(
        a_consumer(store),
        display_name="Ann's phone",
        services=(SHOP, "b.example.com"),
        restrictions=restrictions,
        expires_at=NOON + DAY,
    )
    store.add_key(key)
    assert reader.key(key.digest) == key
    assert reader.key_by_uid(key.uid) == key
    assert reader.keys() == reader.keys("ann") == [key]
    assert reader.keys("bob") == []


def test_a_key_shows_its_consumer_as_it_is_now(store: Store, reader: Store) -> None:
    key = a_key(a_consumer(store))
    store.add_key(key)
    store.set_consumer_status("ann", ConsumerStatus.SUSPENDED)
    assert reader.key(key.digest).consumer.status is ConsumerStatus.SUSPENDED


@pytest.mark.parametrize("changes", [{"uid": "another"}, {"digest": bytes(32)}], ids=["same text", "same uid"])
def test_a_key_is_taken_once(store: Store, changes: dict[str, object]) -> None:
    key = a_key(a_consumer(store))
    store.add_key(key)
    before = store.revision()
    with pytest.raises(UsageError, match="exists already"):
        store.add_key(dataclasses.replace(key, **changes))
    assert store.keys() == [key]
    assert store.revision() == before


def test_many_keys_come_all_or_none(store: Store) -> None:
    ann = a_consumer(store)
    store.add_keys([a_key(ann, str(number)) for number in range(100)])
    with pytest.raises(UsageError):
        store.add_keys([a_key(ann, "fresh"), a_key(ann, "5")])
    assert len(store.keys()) == 100
    store.add_keys([])


def test_a_key_of_a_stranger_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="its consumer does not"):
        store.add_key(a_key(Consumer(99, "stranger")))


def test_revoking_is_once_and_for_all(store: Store, reader: Store) -> None:
    key = a_key(a_consumer(store))
    store.add_key(key)
    assert store.revoke_key(key.uid, NOON + 60).revoked_at == NOON + 60
    assert store.revoke_key(key.uid, NOON + 90).revoked_at == NOON + 60, "a later revocation gives nothing back"
    assert store.revoke_key(key.uid, NOON + 30).revoked_at == NOON + 30, "a grace can be cut short"
    assert not reader.key(key.digest).is_live(NOON + 30)
    with pytest.raises(UsageError, match="no key nothing"):
        store.revoke_key("nothing", NOON)


def test_replacing_a_key_is_one_step(store: Store) -> None:
    ann = a_consumer(store)
    old, new = a_key(ann, "old"), a_key(ann, "new")
    store.add_key(old)
    assert store.replace_key(old.uid, NOON + 60, new).revoked_at == NOON + 60
    assert store.key(new.digest) == new
    with pytest.raises(UsageError, match="no key nothing"):
        store.replace_key("nothing", NOON, a_key(ann, "third"))
    assert len(store.keys()) == 2


def test_keys_are_found_by_how_they_begin(store: Store) -> None:
    ann = a_consumer(store)
    keys = [a_key(ann, text, uid=uid) for text, uid in (("abcdef", "1f00"), ("ABCxyz", "1e00"), ("a%_", "2e00"))]
    store.add_keys(keys)
    assert {key.uid for key in store.keys_like("1", 9)} == {"1f00", "1e00"}
    assert [key.uid for key in store.keys_like("abc", 9)] == ["1f00"], "case matters"
    assert [key.uid for key in store.keys_like("a%", 9)] == ["2e00"], "nothing is a wildcard"
    assert len(store.keys_like("1", 1)) == 1


def test_whether_there_is_any_key(store: Store) -> None:
    ann = a_consumer(store)
    assert not store.has_keys()
    store.add_key(a_key(ann, "text"))
    assert store.has_keys()


# -- overrides, gateways, secrets


def test_an_override_is_one_value_that_can_change(store: Store, reader: Store) -> None:
    ann = a_consumer(store)
    by_metric = Override(SHOP, ann.number, "reads", 10)
    by_limit = Override(SHOP, ann.number, "reads", -1, "per-day")
    for override in (by_metric, by_limit, dataclasses.replace(by_metric, value=0)):
        store.set_override(override)
    wanted = [dataclasses.replace(by_metric, value=0), by_limit]
    assert reader.overrides() == reader.overrides(SHOP) == wanted
    assert set(reader.live().overrides) == set(wanted)
    assert reader.overrides("b.example.com") == []
    assert store.delete_override(by_metric)
    assert not store.delete_override(by_metric)
    assert reader.overrides() == [by_limit]


def test_gateways_are_known_while_they_beat(store: Store, reader: Store) -> None:
    store.beat(Gateway("gw-1", "http://127.0.0.1:8080", NOON))
    store.beat(Gateway("gw-2", "http://127.0.0.1:8081", NOON + 20))
    assert [gateway.id for gateway in reader.gateways(NOON + 10)] == ["gw-2"]
    store.beat(Gateway("gw-1", "http://127.0.0.1:9090", NOON + 25))
    assert reader.gateways(NOON + 10)[0] == Gateway("gw-1", "http://127.0.0.1:9090", NOON + 25)
    store.leave("gw-1")
    assert [gateway.id for gateway in reader.gateways(0)] == ["gw-2"]
    store.beat(Gateway("gw-3", "", NOON + 2 * DAY))
    assert [gateway.id for gateway in reader.gateways(0)] == ["gw-3"], "the dead are forgotten"


def test_the_first_secret_of_a_name_stays(store: Store, reader: Store) -> None:
    assert store.secret("signing-key", b"first") == b"first"
    assert reader.secret("signing-key", b"second") == b"first"
    assert reader.secret("another", b"second") == b"second"


# -- the feed

ANN, KEY = Consumer(1, "ann"), a_key(Consumer(1, "ann"))
NOTHING: Changes = Changes(0)
WRITES: dict[str, tuple[Callable[[Store], object], Changes]] = {
    "a config alone": (lambda s: s.add_config(SHOP, texts("new"), NOON), NOTHING),
    "a rollout": (
        lambda s: s.add_rollout(SHOP, [("2026-11-21r1", 100.0)], NOON),
        Changes(0, services=frozenset({SHOP})),
    ),
    "a deployment": (lambda s: s.add_deployment(SHOP, texts("new"), NOON), Changes(0, services=frozenset({SHOP}))),
    "the same deployment": (lambda s: s.add_deployment(SHOP, texts("one"), NOON), NOTHING),
    "a rollout went live": (lambda s: s.set_rollout_status(SHOP, "2026-11-21r1", RolloutStatus.LIVE), NOTHING),
    "a rollout failed": (
        lambda s: s.set_rollout_status(SHOP, "2026-11-21r1", RolloutStatus.FAILED),
        Changes(0, services=frozenset({SHOP})),
    ),
    "a delivery": (lambda s: s.add_delivery(Delivery("2026-11-21r1", SHOP, "gw", ok=True)), NOTHING),
    "a consumer": (lambda s: a_consumer(s, "bob"), NOTHING),
    "a consumer suspended": (
        lambda s: s.set_consumer_status("ann", ConsumerStatus.SUSPENDED),
        Changes(0, all_keys=True),
    ),
    "a consumer as it was": (lambda s: s.set_consumer_status("ann", ConsumerStatus.ACTIVE), NOTHING),
    "a new key": (
        lambda s: s.add_key(a_key(ANN, "new")),
        Changes(0, keys=frozenset({hashlib.sha256(b"new").digest()})),
    ),
    "a thousand keys": (
        lambda s: s.add_keys([a_key(ANN, str(number)) for number in range(1000)]),
        Changes(0, all_keys=True),
    ),
    "a revocation": (lambda s: s.revoke_key(KEY.uid, NOON), Changes(0, keys=frozenset({KEY.digest}))),
    "a replaced key": (
        lambda s: s.replace_key(KEY.uid, NOON, a_key(ANN, "new")),
        Changes(0, keys=frozenset({KEY.digest, hashlib.sha256(b"new").digest()})),
    ),
    "an override": (lambda s: s.set_override(Override(SHOP, 1, "writes", 5)), Changes(0, overrides=True)),
    "an override gone": (lambda s: s.delete_override(Override(SHOP, 1, "reads", 5)), Changes(0, overrides=True)),
    "no such override": (lambda s: s.delete_override(Override(SHOP, 1, "none", 5)), NOTHING),
    "a heartbeat": (lambda s: s.beat(Gateway("gw", "", NOON)), NOTHING),
    "a secret": (lambda s: s.secret("name", b"value"), NOTHING),
}


def furnish(store: Store) -> None:
    """One of everything."""
    store.add_deployment(SHOP, texts("one"), NOON)
    a_consumer(store)
    store.add_key(KEY)
    store.set_override(Override(SHOP, 1, "reads", 5))


@pytest.mark.parametrize("write", WRITES)
def test_the_feed_tells_exactly_what_a_write_touched(store: Store, reader: Store, write: str) -> None:
    furnish(store)
    since = reader.revision()
    assert reader.changes(since) == Changes(since)
    action, expected = WRITES[write]
    action(store)
    changes = reader.changes(since)
    assert changes == dataclasses.replace(expected, revision=reader.revision())
    assert (changes.revision > since) == (expected is not NOTHING)
    assert reader.changes(changes.revision) == Changes(changes.revision)


def test_changes_add_up_over_revisions(store: Store, reader: Store) -> None:
    start = store.revision()
    furnish(store)
    changes = reader.changes(start)
    assert changes == Changes(
        reader.revision(), services=frozenset({SHOP}), keys=frozenset({KEY.digest}), overrides=True
    )


def test_a_reader_from_another_store_is_told_everything(store: Store) -> None:
    furnish(store)
    everything = Changes(store.revision(), services=frozenset({SHOP}), all_keys=True, overrides=True)
    assert store.changes(store.revision() + 1000) == everything
    assert store.changes(-1) == everything


def test_a_store_survives_a_restart(opener: Opener) -> None:
    first = opener()
    furnish(first)
    kept = (first.live(), first.keys(), first.consumers(), first.revision(), first.secret("name", b"value"))
    first.close()
    second = opener()
    assert (
        second.live(),
        second.keys(),
        second.consumers(),
        second.revision(),
        second.secret("name", b"other"),
    ) == kept
