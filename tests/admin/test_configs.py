"""Looking at configs, and what a change report says."""

from __future__ import annotations

import pytest

from authz.admin import configs
from authz.admin.configs import Change, ChangeKind
from authz.admin.deploy import deploy
from authz.errors import StateError, UsageError
from authz.model.auth import Alternative, JwtProvider, JwtRequirement, Requirement
from authz.model.paths import Template
from authz.model.quota import Limit, Unit
from authz.model.service import Operation, ServiceConfig, SourceText
from authz.store.base import Store, StoredConfig

NOON = 1_795_262_400.0
KEY = Alternative(needs_key=True)
TOKEN = Alternative(jwt=JwtRequirement("auth0"))
SCOPED = Alternative(jwt=JwtRequirement("auth0", scopes=("read", "write")))
BOTH = Alternative(needs_key=True, jwt=JwtRequirement("auth0"))


def a_config(*alternatives: Alternative, path: str = "/v1/a", optional: bool = False) -> ServiceConfig:
    requirement = Requirement(alternatives, optional)
    return ServiceConfig("shop", operations=(Operation("1.shop.Get", "GET", Template.parse(path), requirement),))


@pytest.mark.parametrize(
    ("old", "new", "kind", "words"),
    [
        (a_config(KEY), a_config(), ChangeKind.OPERATION_OPENED, "API key -> open"),
        (a_config(KEY), a_config(KEY, optional=True), ChangeKind.OPERATION_OPENED, "API key -> API key, or nothing"),
        (a_config(KEY), a_config(KEY, TOKEN), ChangeKind.ACCESS_WIDENED, "API key -> API key or token of auth0"),
        (a_config(BOTH), a_config(TOKEN), ChangeKind.ACCESS_WIDENED, "API key and token of auth0 -> token of auth0"),
        (
            a_config(SCOPED),
            a_config(TOKEN),
            ChangeKind.ACCESS_WIDENED,
            "token of auth0 with read write -> token of auth0",
        ),
        (a_config(KEY, TOKEN), a_config(KEY), ChangeKind.ACCESS_CHANGED, "API key or token of auth0 -> API key"),
        (a_config(), a_config(KEY), ChangeKind.ACCESS_CHANGED, "open -> API key"),
    ],
)
def test_a_change_of_access_says_from_what_to_what(
    old: ServiceConfig, new: ServiceConfig, kind: ChangeKind, words: str
) -> None:
    (change,) = configs.changes(old, new)
    assert change.kind is kind
    assert str(change) == f"{kind.value}: GET /v1/a: {words}"
    assert change.is_dangerous == (kind is not ChangeKind.ACCESS_CHANGED)


def test_the_same_config_has_not_changed() -> None:
    assert configs.changes(a_config(KEY), a_config(KEY)) == ()


def test_an_operation_is_the_same_whatever_its_variables_are_called() -> None:
    assert configs.changes(a_config(KEY, path="/v1/{a}"), a_config(KEY, path="/v1/{b}")) == ()


def test_operations_that_come_and_go_are_told_the_dangerous_first() -> None:
    assert configs.changes(a_config(path="/z"), a_config(KEY, path="/a")) == (
        Change(ChangeKind.OPERATION_REMOVED, "GET /z"),
        Change(ChangeKind.OPERATION_ADDED, "GET /a", after="API key"),
    )


def test_an_issuer_that_changes_behind_its_name_is_told() -> None:
    def with_issuer(*issuers: str) -> ServiceConfig:
        return ServiceConfig("shop", providers=tuple(JwtProvider(f"p{n}", name) for n, name in enumerate(issuers)))

    (change,) = configs.changes(with_issuer("https://a", "https://b"), with_issuer("https://evil"))
    assert change == Change(ChangeKind.PROVIDER_CHANGED, "p0", "https://a", "https://evil")
    assert change.is_dangerous


@pytest.mark.parametrize(
    ("old", "new", "kind", "words"),
    [
        ((10, Unit.MINUTE), None, ChangeKind.LIMIT_LIFTED, "10 reads per min -> none"),
        ((10, Unit.MINUTE), (-1, Unit.MINUTE), ChangeKind.LIMIT_LIFTED, "10 reads per min -> none"),
        ((10, Unit.MINUTE), (20, Unit.MINUTE), ChangeKind.LIMIT_CHANGED, "10 reads per min -> 20 reads per min"),
        ((10, Unit.MINUTE), (10, Unit.DAY), ChangeKind.LIMIT_CHANGED, "10 reads per min -> 10 reads per d"),
        ((-1, Unit.DAY), (5, Unit.DAY), ChangeKind.LIMIT_CHANGED, "unlimited reads per d -> 5 reads per d"),
    ],
)
def test_a_limit_that_changes_is_told(
    old: tuple[int, Unit], new: tuple[int, Unit] | None, kind: ChangeKind, words: str
) -> None:
    def with_limit(value: tuple[int, Unit] | None) -> ServiceConfig:
        return ServiceConfig("shop", limits=(Limit("cap", "reads", *value),) if value else ())

    (change,) = configs.changes(with_limit(old), with_limit(new))
    assert str(change) == f"{kind.value}: cap: {words}"


def test_configs_are_listed_and_shown(store: Store, shop: SourceText, bar: SourceText) -> None:
    deploy(store, [shop, bar], now=NOON)
    assert {config.service for config in configs.list_configs(store)} == {"shop.example.com", "bar.example.com"}
    (listed,) = configs.list_configs(store, "shop.example.com")
    assert configs.show(store, "shop.example.com", listed.id) == listed
    assert listed.texts == (shop,)


def test_a_config_that_is_not_there(store: Store, shop: SourceText) -> None:
    deploy(store, [shop], now=NOON)
    with pytest.raises(UsageError, match=r"no config '2026-11-21r2' of the service shop\.example\.com") as refused:
        configs.show(store, "", "2026-11-21r2")
    assert refused.value.remedy == "Did you mean '2026-11-21r1'?"


def test_the_only_service_needs_no_name(store: Store, shop: SourceText, bar: SourceText) -> None:
    with pytest.raises(UsageError, match="No service has been deployed"):
        configs.service_of(store, "")
    deploy(store, [shop], now=NOON)
    assert configs.service_of(store, "") == "shop.example.com"
    deploy(store, [bar], now=NOON)
    with pytest.raises(UsageError, match="several services") as refused:
        configs.service_of(store, "")
    assert refused.value.remedy == "Name one of: bar.example.com, shop.example.com."


def test_a_service_that_is_not_there(store: Store, shop: SourceText) -> None:
    deploy(store, [shop], now=NOON)
    with pytest.raises(UsageError, match=r"no service 'shop\.exampel\.com'") as refused:
        configs.list_configs(store, "shop.exampel.com")
    assert refused.value.remedy == "Did you mean 'shop.example.com'?"


def test_a_config_that_cannot_be_read_any_more_says_so() -> None:
    with pytest.raises(StateError, match="2020-01-01r1 of shop cannot be read any more"):
        configs.meaning(StoredConfig("shop", "2020-01-01r1", "", (SourceText("old.yaml", "nothing: here"),)))
