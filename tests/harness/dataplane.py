"""A real Envoy that follows a real ADS server, with a sidecar that answers what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import grpc.aio
from envoy.service.auth.v3 import external_auth_pb2
from envoy.service.ratelimit.v3 import rls_pb2

from authz import proxy, wire
from authz.model.auth import Alternative, Requirement
from authz.model.inventory import Inventory, LiveConfig, LiveService
from authz.model.paths import Template
from authz.model.quota import Cost
from authz.model.service import Operation, ServiceConfig
from authz.settings import Settings
from authz.xds import bootstrap, snapshot
from authz.xds.server import AdsServer, Outcome
from harness.http import Response, Upstream, fetch

KEY = Requirement((Alternative(needs_key=True),))


def an_operation(
    path: str = "/open", method: str = "GET", *, needs: Requirement | None = None, cost: int = 0, **more: object
) -> Operation:
    return Operation(
        selector=f"1.api.{method.title()}{path.title().replace('/', '')}",
        method=method,
        template=Template.parse(path),
        requirement=needs or Requirement(),
        costs=(Cost("reads", cost),) if cost else (),
        **more,  # type: ignore[arg-type]
    )


def an_inventory(*operations: Operation, config: str = "2026-01-01r0", revision: int = 1) -> Inventory:
    service = ServiceConfig(name="api.example.test", operations=operations, id=config)
    return Inventory(revision, (LiveService(service.name, (LiveConfig(service),)),))


class Sidecar:
    """Answers Check and RateLimit, and remembers what it was asked."""

    def __init__(self) -> None:
        self.checks: list[external_auth_pb2.CheckRequest] = []
        self.quotas: list[rls_pb2.RateLimitRequest] = []
        self.check: Callable[[external_auth_pb2.CheckRequest], external_auth_pb2.CheckResponse] = self.allow
        self.quota = rls_pb2.RateLimitResponse(overall_code=rls_pb2.RateLimitResponse.OK)

    @staticmethod
    def allow(_: external_auth_pb2.CheckRequest) -> external_auth_pb2.CheckResponse:
        response = external_auth_pb2.CheckResponse()
        response.ok_response.SetInParent()
        response.dynamic_metadata.update({wire.METADATA_CONSUMER: "Ann", wire.METADATA_DECISION: "allow"})
        return response

    @staticmethod
    def deny(_: external_auth_pb2.CheckRequest) -> external_auth_pb2.CheckResponse:
        response = external_auth_pb2.CheckResponse()
        response.status.code = 16
        response.denied_response.status.code = 401
        response.denied_response.body = 'say "please"'
        return response

    async def answer_check(self, request: external_auth_pb2.CheckRequest, _: object) -> object:
        self.checks.append(request)
        return self.check(request)

    async def answer_quota(self, request: rls_pb2.RateLimitRequest, _: object) -> object:
        self.quotas.append(request)
        return self.quota

    async def serve(self, address: str) -> grpc.aio.Server:
        server = grpc.aio.server()
        for path, function, kind in (
            (wire.CHECK_METHOD, self.answer_check, external_auth_pb2.CheckRequest),
            (wire.RATE_LIMIT_METHOD, self.answer_quota, rls_pb2.RateLimitRequest),
        ):
            service, method = path.strip("/").split("/")
            handler = grpc.unary_unary_rpc_method_handler(
                function, request_deserializer=kind.FromString, response_serializer=lambda one: one.SerializeToString()
            )
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        server.add_insecure_port(address)
        await server.start()
        return server


class Gateway:
    """ADS, sidecar and Envoy together, for one test."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.settings = settings
        self.directory = directory
        self.ads = AdsServer(self._at("xds"), self.report, linger=2)
        self.sidecar = Sidecar()
        self.outcomes: list[Outcome] = []
        self._changed = asyncio.Event()
        self.envoy = self._new_envoy()

    def _new_envoy(self) -> proxy.Proxy:
        return proxy.Proxy(self.settings, admin=self._at("admin"))

    def _at(self, name: str) -> str:
        return f"unix:{self.directory}/{name}"

    def report(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._changed.set()

    async def outcome_of(self, version: str) -> Outcome:
        async with asyncio.timeout(20):
            while not (found := [one for one in self.outcomes if one.version == version]):
                self._changed.clear()
                await self._changed.wait()
        return found[-1]

    async def start_envoy(self) -> None:
        config = bootstrap.dynamic(
            self.settings,
            sidecars=[self._at("sidecar")],
            xds=self._at("xds"),
            admin=self._at("admin"),
            node_id="envoy-1",
        )
        await self.envoy.start(config)

    async def restart_envoy(self) -> None:
        await self.envoy.stop()
        self.envoy = self._new_envoy()
        await self.start_envoy()
        await self.envoy.wait_ready()

    async def publish(self, inventory: Inventory) -> Outcome:
        built = snapshot.build(inventory, self.settings)
        snapshot.check(built)
        self.ads.publish(built)
        return await self.outcome_of(built.version)

    async def get(
        self, path: str, *headers: tuple[str, str], method: str = "GET", host: str = "api.example.test", **more: object
    ) -> Response:
        return await fetch(self.settings.port, method, path, headers, host=host, **more)  # type: ignore[arg-type]


Start = Callable[..., contextlib.AbstractAsyncContextManager[Gateway]]


@contextlib.asynccontextmanager
async def a_gateway(
    directory: Path, backend: Upstream, inventory: Inventory, *, address: str = "", **settings: object
) -> AsyncIterator[Gateway]:
    values = {"backend": address or f"http://{backend.address}", "port": proxy.free_port(), "envoy_concurrency": 1}
    chosen = dataclasses.replace(Settings(data_dir=directory), **{**values, **settings})  # type: ignore[arg-type]
    gateway = Gateway(chosen, directory)
    server = await gateway.sidecar.serve(f"unix:{directory}/sidecar")
    await gateway.ads.start()
    try:
        await gateway.start_envoy()
        outcome = await gateway.publish(inventory)
        assert outcome.ok, outcome.message
        await gateway.envoy.wait_ready()
        yield gateway
    finally:
        await gateway.envoy.stop()
        await gateway.ads.stop()
        await server.stop(None)
