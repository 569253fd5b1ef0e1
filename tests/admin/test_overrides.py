"""Giving single consumers limits of their own."""

from __future__ import annotations

import pytest

from authz.admin import consumers, overrides
from authz.errors import UsageError
from authz.model.quota import Override
from authz.store.base import Store

NOON = 1_795_262_400.0
SHOP = "shop.example.com"

pytestmark = pytest.mark.usefixtures("deploy_shop")


@pytest.fixture(autouse=True)
def acme(store: Store) -> int:
    return consumers.create(store, "acme", now=NOON).number


@pytest.mark.parametrize("value", [-1, 0, 1, 2**63 - 1])
def test_an_override_is_set_listed_and_taken_back(store: Store, acme: int, value: int) -> None:
    made = overrides.set_override(store, SHOP, "acme", value, metric="reads")
    assert made == overrides.NamedOverride("acme", Override(SHOP, acme, "reads", value))
    assert overrides.list_overrides(store) == overrides.list_overrides(store, SHOP, "acme") == [made]
    assert overrides.unset(store, SHOP, "acme", metric="reads") == made
    assert overrides.list_overrides(store) == []


def test_an_override_of_one_limit_knows_its_metric(store: Store, acme: int) -> None:
    made = overrides.set_override(store, "", "acme", 5, limit="reads-per-minute")
    assert made.override == Override(SHOP, acme, "reads", 5, "reads-per-minute")
    assert overrides.unset(store, "", "acme", limit="reads-per-minute") == made


def test_overrides_of_a_metric_and_of_its_limit_stand_side_by_side(store: Store) -> None:
    by_metric = overrides.set_override(store, SHOP, "acme", 5, metric="reads")
    by_limit = overrides.set_override(store, SHOP, "acme", 6, limit="reads-per-minute")
    assert overrides.list_overrides(store) == [by_metric, by_limit]
    overrides.unset(store, SHOP, "acme", metric="reads")
    assert overrides.list_overrides(store) == [by_limit]


def test_overrides_are_listed_by_consumer(store: Store) -> None:
    consumers.create(store, "other", now=NOON)
    for name in ("acme", "other"):
        overrides.set_override(store, SHOP, name, 5, metric="reads")
    assert [one.consumer for one in overrides.list_overrides(store, consumer="other")] == ["other"]


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        ({"service": "shop.example.org"}, "no service 'shop.example.org'", "Did you mean 'shop.example.com'?"),
        ({"consumer": "acne"}, "no consumer 'acne'", "Did you mean 'acme'?"),
        ({"metric": "read"}, "no limited metric 'read' of the service shop", "Did you mean 'reads'?"),
        ({"metric": "", "limit": "per-day"}, "no limit 'per-day' of the service shop", "There is: reads-per-minute."),
        ({"metric": "x", "limit": "reads-per-minute"}, "counts 'reads', not 'x'", "Leave the metric out."),
        ({"metric": ""}, "Neither a metric nor a limit", "Name one"),
        ({"value": -2}, "-2 is no limit", "-1 for unlimited, 0 to block"),
        ({"value": 2**63}, "is no limit", "-1 for unlimited"),
    ],
)
def test_what_does_not_fit_is_refused(store: Store, words: dict[str, object], message: str, remedy: str) -> None:
    given = {"service": SHOP, "consumer": "acme", "value": 5, "metric": "reads"} | words
    with pytest.raises(UsageError) as refused:
        overrides.set_override(store, **given)
    assert message in refused.value.message
    assert remedy in refused.value.remedy
    assert overrides.list_overrides(store) == []


def test_an_override_that_is_not_there_cannot_be_taken_back(store: Store) -> None:
    with pytest.raises(UsageError, match="'acme' has no override for the metric 'reads' of shop"):
        overrides.unset(store, SHOP, "acme", metric="reads")
    with pytest.raises(UsageError, match="no override for the limit 'x'"):
        overrides.unset(store, SHOP, "acme", limit="x")
    with pytest.raises(UsageError, match="no consumer 'nobody'"):
        overrides.unset(store, SHOP, "nobody", metric="reads")
    with pytest.raises(UsageError, match="Neither"):
        overrides.unset(store, SHOP, "acme")
