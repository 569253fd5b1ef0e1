from __future__ import annotations

import pytest
from grpc_health.v1 import health_pb2

from authz.errors import Code, Refusal
from authz.transport.health import Health

METHODS = ["/envoy.service.auth.v3.Authorization/Check", "/test.Echo/Echo"]


def ask(health: Health, service: str) -> int:
    reply = health.check(health_pb2.HealthCheckRequest(service=service).SerializeToString())
    return health_pb2.HealthCheckResponse.FromString(reply).status


@pytest.mark.parametrize("service", ["", "envoy.service.auth.v3.Authorization", "test.Echo"])
def test_a_known_service_serves_until_the_server_stops(service: str) -> None:
    health = Health(METHODS)

    assert ask(health, service) == health_pb2.HealthCheckResponse.SERVING
    health.serving = False
    assert ask(health, service) == health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("service", ["test", "test.Echo2", "é"])
def test_an_unknown_service_is_not_found(service: str) -> None:
    with pytest.raises(Refusal) as caught:
        ask(Health(METHODS), service)

    assert caught.value.code is Code.NOT_FOUND


def test_an_empty_name_written_out_means_the_server() -> None:
    assert Health([]).check(b"\x0a\x00") == Health([]).check(b"")
