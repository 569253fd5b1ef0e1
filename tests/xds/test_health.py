"""gRPC backends that are asked for their health, and what callers and load balancers hear of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster

from authz.errors import UsageError
from authz.model.inventory import Inventory
from authz.model.paths import Template
from authz.model.service import Backend, Operation, Protocol, Rpc
from authz.settings import Settings
from authz.xds import clusters
from harness.dataplane import Gateway, a_gateway, an_inventory, an_operation
from harness.grpc_health import NOT_SERVING, SERVING, Patient, a_patient
from harness.grpc_library import LIBRARY, Library, operations
from harness.grpc_stage import Callers, a_config, live
from harness.http import Upstream
from harness.waiting import until

HOST = "library.example.test"
RPC = Rpc(LIBRARY, "GetShelf")


def an_rpc(address: str = "", protocol: Protocol | None = Protocol.HTTP2) -> Operation:
    return Operation("GetShelf", "POST", Template.parse(RPC.path), backend=Backend(address, protocol=protocol), rpc=RPC)


def checked(*operations: Operation, **settings: Any) -> dict[str, Cluster]:
    """The clusters that are asked for their health, by name."""
    chosen = Settings(**({"health_check_grpc_backend": True} | settings))
    return {one.name: one for one in clusters.build(an_inventory(*operations), chosen) if one.health_checks}


@pytest.mark.parametrize(
    ("operation", "settings", "asked"),
    [
        (an_rpc("grpc://b.test"), {"health_check_grpc_backend": False}, []),
        (an_rpc("grpc://b.test"), {}, ["http:b.test:80:h2"]),
        (an_rpc("grpcs://b.test"), {}, ["https:b.test:443:h2"]),
        (an_rpc("grpc://b.test", None), {}, ["http:b.test:80:h2"]),
        (an_rpc("https://b.test"), {}, []),
        (an_rpc("http://b.test", Protocol.HTTP1), {}, []),
        (an_rpc("", Protocol.HTTP1), {}, []),
        (an_rpc(), {}, ["http:127.0.0.1:8082:h2"]),
        (an_rpc(), {"backend": "grpc://own.test:1"}, ["http:own.test:1:h2"]),
        (an_operation("/rest"), {"backend": "grpcs://own.test"}, ["https:own.test:443:h2"]),
        (an_operation("/rest", backend=Backend("https://b.test", protocol=Protocol.HTTP2)), {}, []),
        (an_rpc("grpc://b.test"), {"backend": "grpc://own.test:1", "backend_override": True}, ["http:own.test:1:h2"]),
    ],
)
def test_whoever_takes_grpc_calls_is_asked(operation: Operation, settings: dict[str, Any], asked: list[str]) -> None:
    assert list(checked(operation, **settings)) == asked


def test_what_is_asked_and_how_often_are_settings() -> None:
    more = {"service": "library", "interval": 0.5, "no_traffic_interval": 9.0}
    settings = {f"health_check_grpc_backend_{name}": value for name, value in more.items()}
    (check,) = checked(an_rpc("grpc://b.test:5000"), **settings)["http:b.test:5000:h2"].health_checks

    assert check.grpc_health_check
    assert (check.grpc_health_check.service_name, check.grpc_health_check.authority) == ("library", "b.test")
    spans = (check.interval, check.no_traffic_interval, check.no_traffic_healthy_interval)
    assert [span.total_seconds() for span in spans if span] == [0.5, 0.5, 9]


def test_a_backend_that_may_be_anything_is_not_guessed_at() -> None:
    with pytest.raises(UsageError, match="does not say whether it takes gRPC") as caught:
        checked(an_rpc(), backend="localhost:50051")

    assert "grpc://localhost:50051" in str(caught.value)


# -- with a real Envoy ----------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def opened(directory: Path, patient: Patient, given: Inventory, **more: Any) -> AsyncIterator[Gateway]:
    chosen = {
        "health_check_grpc_backend": True, "health_check_grpc_backend_interval": 0.05,
        "health_check_grpc_backend_no_traffic_interval": 0.05, "health_path": "/healthz",
        "address": f"grpc://{patient.address}",
    }  # fmt: skip
    async with Upstream() as rest, a_gateway(directory, rest, given, **(chosen | more)) as gateway:
        yield gateway


async def health(gateway: Gateway) -> int:
    return (await gateway.get("/healthz", host="10.0.0.1")).status


async def becomes(gateway: Gateway, status: int) -> None:
    async def is_so() -> bool:
        return await health(gateway) == status

    await until(is_so)


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("h")


async def test_a_backend_that_falls_ill_gets_no_call_and_comes_back_by_itself(directory: Path) -> None:
    async with (
        a_patient() as patient,
        opened(
            directory, patient, live(a_config(operations())), health_check_grpc_backend_service="library"
        ) as gateway,
    ):
        callers = Callers(gateway.settings.port, Library(), HOST)
        assert await callers.grpc("GetShelf") == (0, "")
        assert await health(gateway) == 200
        assert patient.asked[0] == "library"

        patient.state = NOT_SERVING
        await becomes(gateway, 503)
        assert await callers.grpc("GetShelf") == (14, "no healthy upstream")
        assert (await callers.web("GetShelf")).status == (14, "no healthy upstream")
        refused = await callers.rest("GET /v1/shelves/1")
        assert (refused.status, refused.json()) == (503, {"code": 503, "message": "no healthy upstream"})

        patient.state = SERVING
        await becomes(gateway, 200)
        assert await callers.grpc("GetShelf") == (0, "")

        await patient.stop()
        await becomes(gateway, 503)
        await patient.start()
        await becomes(gateway, 200)
        assert await callers.grpc("GetShelf") == (0, "")


async def test_a_backend_may_start_after_its_gateway(directory: Path) -> None:
    """It is served as soon as it is well, though nobody could call it before."""
    async with a_patient(NOT_SERVING) as patient:
        await patient.stop()
        async with opened(directory, patient, live(a_config(operations()))) as gateway:
            callers = Callers(gateway.settings.port, Library(), HOST)
            assert await health(gateway) == 503
            assert (await callers.grpc("GetShelf"))[0] == 14
            patient.state = SERVING
            await patient.start()
            await becomes(gateway, 200)
            assert await callers.grpc("GetShelf") == (0, "")


async def test_one_ill_backend_of_several_takes_nobody_away_from_the_others(directory: Path) -> None:
    async with a_patient() as patient, a_patient(state=None) as ill:
        found = [
            an_operation("/rest", backend=Backend()),
            *operations(backend=Backend(f"grpc://{ill.address}", protocol=Protocol.HTTP2)),
        ]
        async with Upstream() as rest:
            given = live(a_config(found))
            async with opened(directory, patient, given, address=f"http://{rest.address}") as gateway:
                callers = Callers(gateway.settings.port, Library(), HOST)
                assert (await callers.grpc("GetShelf"))[0] == 14
                assert (await callers.rest("GET /rest")).status == 200
                assert await health(gateway) == 200
