"""Domain builders: the smallest valid thing of each kind, changed by keyword where a test cares.

`from builders import a_service, an_operation, a_call, ...`
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from envoy.service.auth.v3 import external_auth_pb2

from authz.model.auth import (
    DEFAULT_KEY_PLACES,
    Alternative,
    ApiKey,
    Consumer,
    JwtProvider,
    JwtRequirement,
    Requirement,
    key_digest,
)
from authz.model.inventory import Inventory, LiveConfig, LiveService
from authz.model.paths import Template
from authz.model.quota import Limit, Metric, Override
from authz.model.service import Api, Operation, ServiceConfig

SERVICE = "api.example.test"
CONFIG = "2026-01-02r0"
API = "1.api_example_test"
ISSUER = "https://issuer.example.test"
NOW = 1_800_000_000.0

BY_KEY = Alternative(needs_key=True, key_places=DEFAULT_KEY_PLACES)
BY_TOKEN = Alternative(jwt=JwtRequirement("issuer"))
BY_BOTH = replace(BY_KEY, jwt=BY_TOKEN.jwt)


class Clock:
    """A clock that stands still until it is told to move; also usable as an async sleep."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def an_operation(name: str = "GetShelf", *ways: Alternative, optional: bool = False, **changes: Any) -> Operation:
    """An operation that any of `ways` opens; without any it is open."""
    base = Operation(
        selector=f"{API}.{name}",
        method="GET",
        template=Template.parse(f"/v1/{name.lower()}"),
        requirement=Requirement(ways, optional=optional),
    )
    return replace(base, **changes)


def a_provider(**changes: Any) -> JwtProvider:
    return replace(JwtProvider("issuer", ISSUER, jwks_uri=f"{ISSUER}/keys"), **changes)


def a_service(*operations: Operation, **changes: Any) -> ServiceConfig:
    """A service config with one provider, `issuer`."""
    base = ServiceConfig(
        name=SERVICE,
        title="Bookstore",
        apis=(Api(API, "1.0.0"),),
        operations=operations or (an_operation(),),
        providers=(a_provider(),),
        id=CONFIG,
    )
    return replace(base, **changes)


def a_limit(name: str = "reads-per-minute", metric: str = "reads", value: int = 10, **changes: Any) -> Limit:
    return replace(Limit(name, metric, value), **changes)


def a_metered_service(*operations: Operation, limits: tuple[Limit, ...] = (), **changes: Any) -> ServiceConfig:
    limits = limits or (a_limit(),)
    metrics = tuple(Metric(name) for name in dict.fromkeys(limit.metric for limit in limits))
    return a_service(*operations, metrics=metrics, limits=limits, **changes)


def an_inventory(*configs: ServiceConfig, overrides: tuple[Override, ...] = (), revision: int = 1) -> Inventory:
    """An Inventory with each config live on its own service; configs of one name share it evenly."""
    by_name: dict[str, list[ServiceConfig]] = {}
    for config in configs:
        by_name.setdefault(config.name, []).append(config)
    services = tuple(
        LiveService(name, tuple(LiveConfig(config, 100 / len(group)) for config in group))
        for name, group in by_name.items()
    )
    return Inventory(revision, services, overrides)


def a_consumer(number: int = 123456, name: str = "shop", **changes: Any) -> Consumer:
    return replace(Consumer(number, name), **changes)


def a_key(text: str = "good-key", **changes: Any) -> ApiKey:
    """The record of the key with this text."""
    base = ApiKey(uid="key-1", digest=key_digest(text), consumer=a_consumer(), hint=text[:4])
    return replace(base, **changes)


def a_check_request(
    path: str = "/v1/getshelf",
    headers: dict[str, str] | None = None,
    *,
    name: str = "GetShelf",
    service: str = SERVICE,
    config: str = CONFIG,
    peer: str = "192.0.2.7",
    charge: str = "",
) -> bytes:
    """A CheckRequest as Envoy sends it for an operation's route."""
    message = external_auth_pb2.CheckRequest()
    attributes = message.attributes
    attributes.source.address.socket_address.address = peer
    http = attributes.request.http
    http.method, http.path, http.host, http.scheme, http.protocol = "GET", path, service, "http", "HTTP/1.1"
    for header, value in (headers or {}).items():
        http.headers[header] = value
    extensions = attributes.context_extensions
    extensions["service"], extensions["config"], extensions["operation"] = service, config, f"{API}.{name}"
    if charge:
        extensions["charge"] = charge
    data: bytes = message.SerializeToString()
    return data
