"""From documents' meaning to look-ups."""

from __future__ import annotations

from dataclasses import replace

import pytest

from authz.model.auth import Alternative, JwtRequirement
from authz.model.quota import Cost, Override, Unit
from authz.model.service import Backend
from authz.rulebook.compile import compile_book, merge
from authz.settings import Settings
from builders import (
    API,
    BY_BOTH,
    BY_KEY,
    BY_TOKEN,
    CONFIG,
    SERVICE,
    a_limit,
    a_metered_service,
    a_provider,
    a_service,
    an_inventory,
    an_operation,
)

SETTINGS = Settings()


def the_rule(config, name="GetShelf", settings=SETTINGS):
    return compile_book(an_inventory(config), settings).operations[config.name, config.id, f"{API}.{name}"]


def test_operations_are_found_by_what_routes_name():
    rule = the_rule(a_service(an_operation()))

    assert (rule.service, rule.config, rule.selector, rule.short_name) == (
        SERVICE,
        CONFIG,
        f"{API}.GetShelf",
        "GetShelf",
    )
    assert rule.alternatives == ()


@pytest.mark.parametrize(
    ("requirement", "provider", "setting", "audiences"),
    [
        ((), (), True, {f"https://{SERVICE}"}),
        ((), (), False, None),
        ((), ("a", "b"), True, {"a", "b"}),
        (("c",), ("a", "b"), True, {"c"}),
        (("c",), (), False, {"c"}),
    ],
)
def test_audiences_come_from_the_requirement_then_the_provider_then_the_service(
    requirement, provider, setting, audiences
):
    way = Alternative(jwt=JwtRequirement("issuer", audiences=requirement))
    config = a_service(an_operation("GetShelf", way), providers=(a_provider(audiences=provider),))
    (rule,) = the_rule(config, settings=Settings(default_audience=setting)).alternatives

    assert rule.jwt.audiences == audiences


@pytest.mark.parametrize(
    ("issuer", "issuers"),
    [
        ("https://accounts.google.com", {"accounts.google.com", "https://accounts.google.com"}),
        ("accounts.google.com", {"accounts.google.com", "https://accounts.google.com"}),
        ("https://accounts.google.com/", {"https://accounts.google.com/"}),
        ("issuer.example.test", {"issuer.example.test"}),
    ],
)
def test_only_google_has_an_alias(issuer, issuers):
    config = a_service(an_operation("GetShelf", BY_TOKEN), providers=(a_provider(issuer=issuer),))

    assert the_rule(config).alternatives[0].jwt.provider.issuers == issuers


def test_alternatives_keep_their_order_and_what_they_ask_for():
    way = Alternative(jwt=JwtRequirement("issuer", scopes=("r",), client_ids=("app",)))
    first, second, third = the_rule(a_service(an_operation("GetShelf", BY_KEY, way, BY_BOTH))).alternatives

    assert (first.key_places, first.jwt) == (BY_KEY.key_places, None)
    assert (second.key_places, second.jwt.scopes, second.jwt.client_ids) == ((), {"r"}, {"app"})
    assert third.key_places
    assert third.jwt


def test_places_of_an_alternative_that_needs_no_key_do_not_count():
    way = replace(BY_TOKEN, key_places=BY_KEY.key_places)

    assert the_rule(a_service(an_operation("GetShelf", way))).alternatives[0].key_places == ()


def test_each_cost_is_charged_on_every_limit_of_its_metric():
    limits = (a_limit("a"), a_limit("b", value=100, unit=Unit.HOUR, interval=2), a_limit("c", metric="writes"))
    costs = (Cost("reads", 2), Cost("writes", 0), Cost("unlimited", 7))
    rule = the_rule(a_metered_service(an_operation("GetShelf", costs=costs), limits=limits))

    assert [(c.counter, c.metric, c.value, c.unit, c.interval, c.amount) for c in rule.charges] == [
        ((SERVICE, "a"), "reads", 10, Unit.MINUTE, 1, 2),
        ((SERVICE, "b"), "reads", 100, Unit.HOUR, 2, 2),
    ]


def test_an_override_for_a_limit_beats_one_for_its_metric_in_any_order():
    config = a_metered_service(limits=(a_limit("a"), a_limit("b"), a_limit("c", metric="writes")))
    overrides = (
        Override(SERVICE, 7, "reads", 50, limit="a"),
        Override(SERVICE, 7, "reads", 20),
        Override(SERVICE, 8, "writes", -1),
        Override("other.example.test", 7, "reads", 1),
        Override(SERVICE, 7, "reads", 1, limit="gone"),
    )

    expected = {(SERVICE, "a", 7): 50, (SERVICE, "b", 7): 20, (SERVICE, "c", 8): -1}
    for order in (overrides, overrides[::-1]):
        assert compile_book(an_inventory(config, overrides=order), SETTINGS).overrides == expected


def test_only_providers_that_an_operation_asks_for_are_fetched_and_each_once():
    providers = (a_provider(), a_provider(id="unused", issuer="https://unused"))
    config = a_service(an_operation("A", BY_TOKEN), an_operation("B", BY_BOTH), providers=providers)
    again = replace(config, id="2026-01-02r1")

    assert [p.id for p in compile_book(an_inventory(config, again), SETTINGS).providers] == ["issuer"]


def test_backend_tokens_are_wanted_only_with_a_source_and_where_not_disabled():
    wanting = Backend("https://a", jwt_audience="https://a", disable_auth=False)
    disabled = Backend("https://b", jwt_audience="https://b", disable_auth=True)
    config = a_service(an_operation("A", backend=wanting), an_operation("B", backend=disabled), an_operation("C"))
    inventory = an_inventory(config)

    assert compile_book(inventory, SETTINGS).backend_audiences == frozenset()
    assert compile_book(inventory, Settings(backend_auth="self")).backend_audiences == {"https://a"}


def test_several_configs_of_a_service_live_side_by_side():
    old = a_service(an_operation("A"))
    new = a_service(an_operation("A", BY_KEY), id="2026-01-03r0")
    book = compile_book(an_inventory(old, new, revision=9), SETTINGS)

    assert book.revision == 9
    assert {key[1]: bool(rule.alternatives) for key, rule in book.operations.items()} == {
        CONFIG: False,
        "2026-01-03r0": True,
    }


def test_merging_keeps_what_an_envoy_may_still_ask_about():
    wanting = Backend("https://a", jwt_audience="https://a", disable_auth=False)
    settings = Settings(backend_auth="self")
    old_config = a_metered_service(an_operation("Old", BY_TOKEN, backend=wanting))
    old = compile_book(an_inventory(old_config, overrides=(Override(SERVICE, 7, "reads", 1),)), settings)
    new_config = a_metered_service(an_operation("New", BY_KEY), id="2026-01-03r0")
    new = compile_book(an_inventory(new_config, revision=2), settings)
    both = merge(new, old)

    assert both.operations.keys() == new.operations.keys() | old.operations.keys()
    assert both.revision == 2
    assert both.providers == old.providers
    assert both.backend_audiences == {"https://a"}
    assert both.overrides == {}


def test_merging_keeps_the_overrides_of_limits_that_only_the_old_config_has():
    """A consumer that was blocked stays blocked while Envoy still runs the old config."""
    old_config = a_metered_service(an_operation("A"), limits=(a_limit("old"), a_limit("both")))
    blocked = (Override(SERVICE, 7, "reads", 0),)
    old = compile_book(an_inventory(old_config, overrides=blocked), SETTINGS)
    new_config = a_metered_service(an_operation("A"), id="2026-01-03r0", limits=(a_limit("new"), a_limit("both")))
    raised = compile_book(an_inventory(new_config, revision=2, overrides=(Override(SERVICE, 7, "reads", 5),)), SETTINGS)
    lifted = compile_book(an_inventory(new_config, revision=3), SETTINGS)

    assert merge(raised, old).overrides == {(SERVICE, "old", 7): 0, (SERVICE, "both", 7): 5, (SERVICE, "new", 7): 5}
    assert merge(lifted, old).overrides == {(SERVICE, "old", 7): 0}


def test_merging_lets_the_new_rules_win():
    old = compile_book(an_inventory(a_service(an_operation("A"))), SETTINGS)
    new = compile_book(an_inventory(a_service(an_operation("A", BY_KEY)), revision=2), SETTINGS)

    assert merge(new, old).operations == new.operations
